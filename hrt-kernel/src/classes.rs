//! How the HRT kernel serves each system call: the dispatch table of design.md.

/// How a system call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// By the kernel alone.
    Local,
    /// By Linux, with the caller's own arguments.
    Forward,
    /// By both: kernel work before or after Linux's part.
    Mediated,
}

/// Numbers from here on have no entry of their own; they are forwarded and counted together.
pub const TABLE_SIZE: usize = 512;

/// Calls that the kernel mediates.
const MEDIATED: &[u16] = &[
    9,   // mmap: new code is registered for patching
    10,  // mprotect: code that becomes writable is no longer ours to patch
    11,  // munmap: likewise
    12,  // brk: the heap grows ahead
    13,  // rt_sigaction: handlers are entered through the kernel
    14,  // rt_sigprocmask: the dispatch signal stays deliverable
    25,  // mremap: as munmap
    26,  // msync: sees what is mapped
    27,  // mincore: likewise
    28,  // madvise: what the kernel may keep of the program's memory
    30,  // shmat: a place that the kernel may have mapped ahead
    56,  // clone: the child gets a kernel block of its own
    57,  // fork
    58,  // vfork
    59,  // execve: the dispatch signal's disposition and mask, as the program sees them
    60,  // exit: the thread's kernel block is freed
    105, // setuid, and its like below: the server of posted calls ends
    106, // setgid
    113, // setreuid
    114, // setregid
    116, // setgroups
    117, // setresuid
    119, // setresgid
    122, // setfsuid
    123, // setfsgid
    126, // capset
    127, // rt_sigpending: SIGSYS, which is never really blocked
    128, // rt_sigtimedwait: likewise
    130, // rt_sigsuspend: mask as for rt_sigprocmask
    131, // sigaltstack: the real one is the kernel's
    135, // personality: as setuid
    149, // mlock: as madvise
    151, // mlockall: memory that is mapped ahead would be locked
    157, // prctl: dispatch itself, seccomp
    158, // arch_prctl: the GS base is the kernel's
    160, // setrlimit: limits of memory
    203, // sched_setaffinity: the server's cores
    231, // exit_group: the report
    237, // mbind: as madvise
    270, // pselect6: mask
    272, // unshare: as setuid
    271, // ppoll: mask
    281, // epoll_pwait: mask
    302, // prlimit64: as setrlimit
    308, // setns: as setuid
    317, // seccomp
    322, // execveat
    323, // userfaultfd: no memory is kept any more
    325, // mlock2: as madvise
    329, // pkey_mprotect
    435, // clone3
    436, // close_range: descriptors of its own
    441, // epoll_pwait2: mask
    446, // landlock_restrict_self: as setuid
];

/// Calls that the kernel serves alone.
const LOCAL: &[u16] = &[
    39,  // getpid
    186, // gettid
];

/// The class of system call `nr`.
#[must_use]
pub fn class(nr: usize) -> Class {
    if nr == hrt_abi::api::CALL {
        return Class::Mediated;
    }
    match u16::try_from(nr) {
        Ok(n) if LOCAL.contains(&n) => Class::Local,
        Ok(n) if MEDIATED.contains(&n) => Class::Mediated,
        _ => Class::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_has_is_never_refused() {
        assert_eq!(class(0), Class::Forward);
        assert_eq!(class(39), Class::Local);
        assert_eq!(class(56), Class::Mediated);
        assert_eq!(class(usize::MAX), Class::Forward);
        assert_eq!(class(0x1_0000 + 39), Class::Forward);
    }

    #[test]
    fn the_table_has_room() {
        assert!(
            MEDIATED
                .iter()
                .chain(LOCAL)
                .all(|n| usize::from(*n) < TABLE_SIZE)
        );
    }
}
