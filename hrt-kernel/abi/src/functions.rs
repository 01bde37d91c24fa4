//! Kernel functions: what a program calls directly (`hrt.h`, the crate `hrt`), and what overrides run in the place of legacy
//! functions. A function's number is its place in [`FUNCTIONS`]; mv-link knows names, the payload addresses.

/// What is known of a kernel function outside of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, as in `hrt.h`.
    pub name: &'static str,
    /// How many arguments it has, all integers or pointers (System V psABI, at most 6).
    pub args: u8,
}

const fn f(name: &'static str, args: u8) -> Function {
    Function { name, args }
}

/// All kernel functions. A new one goes to the end: numbers are compiled into programs.
pub const FUNCTIONS: &[Function] = &[
    f("hrt_cycles", 0),
    f("hrt_thread_create", 5),
    f("hrt_thread_join", 2),
    f("hrt_thread_join_until", 3),
    f("hrt_thread_detach", 1),
    f("hrt_thread_exit", 1),
    f("hrt_thread_self", 0),
    f("hrt_thread_yield", 0),
    f("hrt_thread_sleep", 1),
    f("hrt_time", 0),
    f("hrt_mutex_lock", 1),
    f("hrt_mutex_try_lock", 1),
    f("hrt_mutex_lock_until", 2),
    f("hrt_mutex_unlock", 1),
    f("hrt_condition_wait", 2),
    f("hrt_condition_wait_until", 3),
    f("hrt_condition_signal", 1),
    f("hrt_condition_broadcast", 1),
    f("hrt_semaphore_wait", 1),
    f("hrt_semaphore_try_wait", 1),
    f("hrt_semaphore_wait_until", 2),
    f("hrt_semaphore_post", 1),
    f("hrt_event_wait", 1),
    f("hrt_event_wait_until", 2),
    f("hrt_event_set", 1),
    f("hrt_event_reset", 1),
    f("hrt_barrier_wait", 1),
    f("hrt_rwlock_read", 1),
    f("hrt_rwlock_read_until", 2),
    f("hrt_rwlock_write", 1),
    f("hrt_rwlock_write_until", 2),
    f("hrt_rwlock_unlock", 1),
    f("hrt_once", 2),
    f("hrt_key_create", 1),
    f("hrt_key_delete", 1),
    f("hrt_key_set", 2),
    f("hrt_key_get", 1),
    f("hrt_timer_start", 3),
    f("hrt_timer_stop", 1),
    f("hrt_fiber_create", 3),
    f("hrt_fiber_switch", 3),
    f("hrt_fiber_self", 0),
    f("hrt_fiber_delete", 1),
    f("hrt_threads_info", 1),
    f("hrt_threads_maker", 3),
    f("hrt_invoke", 4),
    f("hrt_invoke_async", 4),
    f("hrt_merge", 2),
    f("hrt_unmerge", 2),
    // Time and heap: as the C library's functions of those names, errno included.
    f("hrt_clock_gettime", 2),
    f("hrt_gettimeofday", 2),
    f("hrt_seconds", 1),
    f("hrt_malloc", 1),
    f("hrt_free", 1),
    f("hrt_calloc", 2),
    f("hrt_realloc", 2),
    f("hrt_reallocarray", 3),
    f("hrt_memalign", 2),
    f("hrt_posix_memalign", 3),
    f("hrt_valloc", 1),
    f("hrt_pvalloc", 1),
    f("hrt_malloc_usable_size", 1),
    // Posted calls.
    f("hrt_calls_post", 2),
    f("hrt_call_done", 1),
    f("hrt_calls_wait", 2),
    f("hrt_threads_preempt", 1),
];

/// The number of the function called `name`.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    FUNCTIONS.iter().position(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, f) in FUNCTIONS.iter().enumerate() {
            assert_eq!(number(f.name), Some(i));
            assert!(f.args <= 6);
        }
        assert_eq!(number("hrt_nothing"), None);
    }
}
