//! How the kernel is reached: one system call that Linux does not have, which gives the addresses of kernel functions; those are called directly.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

/// An error: a number of Linux (`errno(3)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error(i32);

impl Error {
    /// The kernel is not there, or cannot do it on this platform.
    pub const NOT_SUPPORTED: Error = Error(38);
    /// The deadline has passed.
    pub const TIMED_OUT: Error = Error(110);
    /// It is in use.
    pub const BUSY: Error = Error(16);
    /// It cannot be had now.
    pub const AGAIN: Error = Error(11);

    /// The number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::NOT_SUPPORTED => f.write_str("the HRT kernel is not there"),
            Error::TIMED_OUT => f.write_str("the deadline has passed"),
            Error::BUSY => f.write_str("it is in use"),
            Error::AGAIN => f.write_str("it cannot be had now"),
            Error(n) => write!(f, "error {n}"),
        }
    }
}

impl core::error::Error for Error {}

/// What a function's result means: a value, or an error.
///
/// # Errors
/// The error.
pub fn check(r: isize) -> Result<usize, Error> {
    match r {
        -4095..=-1 => Err(Error(-r as i32)),
        r => Ok(r as usize),
    }
}

const CALL: usize = 0x4852_5400;
const OP_INFO: usize = 0;
const OP_FUNCTION: usize = 3;

fn call(operation: usize, a: usize, b: usize) -> isize {
    let r: isize;
    // SAFETY: Linux has no call of this number; the kernel writes what `info` gives it, and nothing else.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") CALL as isize => r,
            in("rdi") operation, in("rsi") a, in("rdx") b, in("r10") 0usize,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    r
}

/// Where the program executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// In a virtual machine that the process has made inside itself.
    Kvm,
    /// In the process itself.
    Hosted,
}

/// What the kernel is and does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Version of the interface.
    pub abi: u32,
    /// Where the program executes.
    pub platform: Platform,
    /// In which ring.
    pub ring: u8,
    /// Ring 0 is emulated here.
    pub emulated: bool,
}

/// What the kernel is and does here.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn info() -> Result<Info, Error> {
    let mut words = [0u32; 4];
    check(call(
        OP_INFO,
        words.as_mut_ptr() as usize,
        size_of_val(&words),
    ))?;
    Ok(Info {
        abi: words[0],
        platform: match words[1] {
            1 => Platform::Kvm,
            _ => Platform::Hosted,
        },
        ring: words[2] as u8,
        emulated: words[3] != 0,
    })
}

/// True if the kernel is there.
#[must_use]
pub fn available() -> bool {
    function(number::CYCLES).is_some()
}

/// Numbers of kernel functions.
#[allow(missing_docs)]
pub mod number {
    pub const CYCLES: usize = 0;
    pub const THREAD_CREATE: usize = 1;
    pub const THREAD_JOIN: usize = 2;
    pub const THREAD_DETACH: usize = 4;
    pub const THREAD_YIELD: usize = 7;
    pub const THREAD_SLEEP: usize = 8;
    pub const TIME: usize = 9;
    pub const MUTEX_LOCK: usize = 10;
    pub const MUTEX_TRY_LOCK: usize = 11;
    pub const MUTEX_LOCK_UNTIL: usize = 12;
    pub const MUTEX_UNLOCK: usize = 13;
    pub const CONDITION_WAIT_UNTIL: usize = 15;
    pub const CONDITION_SIGNAL: usize = 16;
    pub const CONDITION_BROADCAST: usize = 17;
    pub const SEMAPHORE_TRY_WAIT: usize = 19;
    pub const SEMAPHORE_WAIT_UNTIL: usize = 20;
    pub const SEMAPHORE_POST: usize = 21;
    pub const EVENT_WAIT_UNTIL: usize = 23;
    pub const EVENT_SET: usize = 24;
    pub const EVENT_RESET: usize = 25;
    pub const BARRIER_WAIT: usize = 26;
    pub const RWLOCK_READ_UNTIL: usize = 28;
    pub const RWLOCK_WRITE_UNTIL: usize = 30;
    pub const RWLOCK_UNLOCK: usize = 31;
    pub const THREADS_INFO: usize = 43;
    pub const THREADS_MAKER: usize = 44;
    pub const CALLS_POST: usize = 62;
    pub const CALL_DONE: usize = 63;
    pub const CALLS_WAIT: usize = 64;
    pub const THREADS_PREEMPT: usize = 65;
}

const FUNCTIONS: usize = 96;
static FOUND: [AtomicUsize; FUNCTIONS] = [const { AtomicUsize::new(0) }; FUNCTIONS];

/// The address of a kernel function, asked for once.
#[must_use]
#[inline]
pub fn function(number: usize) -> Option<usize> {
    match FOUND.get(number)?.load(Ordering::Relaxed) {
        0 => ask(number),
        at => Some(at),
    }
}

#[cold]
fn ask(number: usize) -> Option<usize> {
    let at = check(call(OP_FUNCTION, number, 0)).ok()?;
    FOUND[number].store(at, Ordering::Relaxed);
    Some(at)
}

/// Calls kernel function `number` with up to five arguments.
///
/// # Errors
/// What it answers; [`Error::NOT_SUPPORTED`] without the kernel.
///
/// # Safety
/// The arguments must be what `hrt.h` says.
#[inline]
pub unsafe fn invoke(number: usize, a: [usize; 5]) -> Result<usize, Error> {
    let at = function(number).ok_or(Error::NOT_SUPPORTED)?;
    // SAFETY: a kernel function has the C calling convention and takes no more than these, all integers.
    let r = unsafe {
        let f: extern "C" fn(usize, usize, usize, usize, usize) -> isize = core::mem::transmute(at);
        f(a[0], a[1], a[2], a[3], a[4])
    };
    check(r)
}

/// The processor's time stamp, in cycles.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn cycles() -> Result<u64, Error> {
    // SAFETY: it takes no argument.
    unsafe { invoke(number::CYCLES, [0; 5]) }.map(|r| r as u64)
}

/// The monotonic clock, of which deadlines are times.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn time() -> Result<core::time::Duration, Error> {
    // SAFETY: it takes no argument.
    unsafe { invoke(number::TIME, [0; 5]) }.map(|r| core::time::Duration::from_nanos(r as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        let of = |name| hrt_abi::functions::number(name).expect(name);
        for (have, name) in [
            (number::CYCLES, "hrt_cycles"),
            (number::THREAD_CREATE, "hrt_thread_create"),
            (number::THREAD_JOIN, "hrt_thread_join"),
            (number::THREAD_DETACH, "hrt_thread_detach"),
            (number::THREAD_YIELD, "hrt_thread_yield"),
            (number::THREAD_SLEEP, "hrt_thread_sleep"),
            (number::TIME, "hrt_time"),
            (number::MUTEX_LOCK, "hrt_mutex_lock"),
            (number::MUTEX_TRY_LOCK, "hrt_mutex_try_lock"),
            (number::MUTEX_LOCK_UNTIL, "hrt_mutex_lock_until"),
            (number::MUTEX_UNLOCK, "hrt_mutex_unlock"),
            (number::CONDITION_WAIT_UNTIL, "hrt_condition_wait_until"),
            (number::CONDITION_SIGNAL, "hrt_condition_signal"),
            (number::CONDITION_BROADCAST, "hrt_condition_broadcast"),
            (number::SEMAPHORE_TRY_WAIT, "hrt_semaphore_try_wait"),
            (number::SEMAPHORE_WAIT_UNTIL, "hrt_semaphore_wait_until"),
            (number::SEMAPHORE_POST, "hrt_semaphore_post"),
            (number::EVENT_WAIT_UNTIL, "hrt_event_wait_until"),
            (number::EVENT_SET, "hrt_event_set"),
            (number::EVENT_RESET, "hrt_event_reset"),
            (number::BARRIER_WAIT, "hrt_barrier_wait"),
            (number::RWLOCK_READ_UNTIL, "hrt_rwlock_read_until"),
            (number::RWLOCK_WRITE_UNTIL, "hrt_rwlock_write_until"),
            (number::RWLOCK_UNLOCK, "hrt_rwlock_unlock"),
            (number::THREADS_INFO, "hrt_threads_info"),
            (number::THREADS_MAKER, "hrt_threads_maker"),
            (number::CALLS_POST, "hrt_calls_post"),
            (number::CALL_DONE, "hrt_call_done"),
            (number::CALLS_WAIT, "hrt_calls_wait"),
            (number::THREADS_PREEMPT, "hrt_threads_preempt"),
        ] {
            assert_eq!(have, of(name), "{name}");
        }
        assert!(hrt_abi::functions::FUNCTIONS.len() <= FUNCTIONS);
    }

    #[test]
    fn without_the_kernel_everything_says_so() {
        assert!(!available());
        assert_eq!(info(), Err(Error::NOT_SUPPORTED));
        assert_eq!(cycles(), Err(Error::NOT_SUPPORTED));
    }
}
