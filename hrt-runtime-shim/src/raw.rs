//! Raw system calls made by the payload itself. They execute inside the payload's text, which the system-call dispatch
//! of the `hosted` platform leaves alone.

use core::arch::asm;

/// x86-64 system call numbers that the payload makes or mediates (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
#[allow(missing_docs)]
pub mod nr {
    pub const WRITE: usize = 1;
    pub const OPEN: usize = 2;
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const STAT: usize = 4;
    pub const FSTAT: usize = 5;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const BRK: usize = 12;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGRETURN: usize = 15;
    pub const IOCTL: usize = 16;
    pub const PREAD64: usize = 17;
    pub const SCHED_YIELD: usize = 24;
    pub const MREMAP: usize = 25;
    pub const MSYNC: usize = 26;
    pub const MINCORE: usize = 27;
    pub const MADVISE: usize = 28;
    pub const SHMAT: usize = 30;
    pub const DUP: usize = 32;
    pub const DUP2: usize = 33;
    pub const GETPID: usize = 39;
    pub const CLONE: usize = 56;
    pub const FORK: usize = 57;
    pub const VFORK: usize = 58;
    pub const EXECVE: usize = 59;
    pub const EXIT: usize = 60;
    pub const SHMDT: usize = 67;
    pub const FCNTL: usize = 72;
    pub const GETCWD: usize = 79;
    pub const SYSINFO: usize = 99;
    pub const RT_SIGPENDING: usize = 127;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const RT_SIGQUEUEINFO: usize = 129;
    pub const RT_SIGSUSPEND: usize = 130;
    pub const SIGALTSTACK: usize = 131;
    pub const MLOCK: usize = 149;
    pub const MLOCKALL: usize = 151;
    pub const MODIFY_LDT: usize = 154;
    pub const PRCTL: usize = 157;
    pub const ARCH_PRCTL: usize = 158;
    pub const SETRLIMIT: usize = 160;
    pub const IOPL: usize = 172;
    pub const IOPERM: usize = 173;
    pub const GETTID: usize = 186;
    pub const FUTEX: usize = 202;
    pub const SCHED_GETAFFINITY: usize = 204;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const TGKILL: usize = 234;
    pub const MBIND: usize = 237;
    pub const PSELECT6: usize = 270;
    pub const PPOLL: usize = 271;
    pub const EPOLL_PWAIT: usize = 281;
    pub const UNSHARE: usize = 272;
    pub const DUP3: usize = 292;
    pub const RT_TGSIGQUEUEINFO: usize = 297;
    pub const PRLIMIT64: usize = 302;
    pub const SETNS: usize = 308;
    pub const PROCESS_VM_READV: usize = 310;
    pub const PROCESS_VM_WRITEV: usize = 311;
    pub const SECCOMP: usize = 317;
    pub const EXECVEAT: usize = 322;
    pub const USERFAULTFD: usize = 323;
    pub const MEMBARRIER: usize = 324;
    pub const MLOCK2: usize = 325;
    pub const PKEY_MPROTECT: usize = 329;
    pub const PKEY_ALLOC: usize = 330;
    pub const CLONE3: usize = 435;
    pub const CLOSE_RANGE: usize = 436;
    pub const EPOLL_PWAIT2: usize = 441;
}

/// Rights of a mapping (mmap(2)).
#[allow(missing_docs)]
pub mod prot {
    pub const READ: usize = 1;
    pub const WRITE: usize = 2;
    pub const EXEC: usize = 4;
}

/// Kinds of mappings (mmap(2)).
#[allow(missing_docs)]
pub mod map {
    pub const PRIVATE: usize = 2;
    pub const FIXED: usize = 0x10;
    pub const ANONYMOUS: usize = 0x20;
    pub const LOW: usize = 0x40; // MAP_32BIT
    pub const GROWSDOWN: usize = 0x100;
    pub const NORESERVE: usize = 0x4000;
    pub const STACK: usize = 0x2_0000;
    pub const HUGETLB: usize = 0x4_0000;
    pub const FIXED_NOREPLACE: usize = 0x10_0000;
}

/// Linux error numbers that the payload looks at or gives back (`errno(3)`).
#[allow(missing_docs)]
pub mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ESRCH: i32 = 3;
    pub const EINTR: i32 = 4;
    pub const ENXIO: i32 = 6;
    pub const EBADF: i32 = 9;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EACCES: i32 = 13;
    pub const EFAULT: i32 = 14;
    pub const EBUSY: i32 = 16;
    pub const ENODEV: i32 = 19;
    pub const EINVAL: i32 = 22;
    pub const ENFILE: i32 = 23;
    pub const EMFILE: i32 = 24;
    pub const ENOTTY: i32 = 25;
    pub const ENOSPC: i32 = 28;
    pub const ENOSYS: i32 = 38;
    pub const ETIMEDOUT: i32 = 110;
}

/// The value a system call returns for error `e`.
#[must_use]
pub const fn err(e: i32) -> isize {
    -(e as isize)
}

/// True if a system call's result is an error (−4095..=−1).
#[must_use]
pub const fn is_err(r: isize) -> bool {
    r < 0 && r >= -4095
}

/// Makes system call `n` with six arguments.
///
/// # Safety
/// The call must be sound for this process at this moment: no memory that Rust code relies on may be unmapped or
/// written by it.
#[inline(always)]
pub unsafe fn syscall6(n: usize, a: [usize; 6]) -> isize {
    let r: isize;
    // SAFETY: the register convention of `syscall` on x86-64 (syscall(2), "Architecture calling conventions").
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") n as isize => r,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    r
}

/// Makes system call `n` with up to four arguments; see [`syscall6`].
///
/// # Safety
/// As [`syscall6`].
#[inline(always)]
pub unsafe fn syscall4(n: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { syscall6(n, [a, b, c, d, 0, 0]) }
}

/// Writes all of `bytes` to `fd` as far as it takes them; errors are dropped, since there is nobody to tell.
pub fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: write(2) only reads the slice.
        let n = unsafe {
            syscall4(
                nr::WRITE,
                fd as usize,
                bytes.as_ptr() as usize,
                bytes.len(),
                0,
            )
        };
        if n <= 0 {
            if n == -4 {
                continue; // EINTR
            }
            return;
        }
        bytes = bytes.get(n as usize..).unwrap_or(&[]);
    }
}

/// Ends the whole process with `status`.
pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: exit_group(2) does not return.
        unsafe { syscall4(nr::EXIT_GROUP, status as usize, 0, 0, 0) };
    }
}

/// `resource` of [`limit`]: descriptors.
pub const RLIMIT_NOFILE: usize = 7;
/// `resource` of [`limit`]: bytes of address space.
pub const RLIMIT_AS: usize = 9;

/// The soft limit of `resource` (getrlimit(2)); `u64::MAX`: none.
#[must_use]
pub fn limit(resource: usize) -> u64 {
    let mut limit = [u64::MAX; 2];
    // SAFETY: writes a local.
    unsafe { syscall4(nr::PRLIMIT64, 0, resource, 0, (&raw mut limit) as usize) };
    limit[0]
}

/// A clock (clock_gettime(2)) in nanoseconds.
#[must_use]
pub fn clock(id: usize) -> u64 {
    let mut t = [0u64; 2];
    // SAFETY: writes a local.
    unsafe { syscall4(nr::CLOCK_GETTIME, id, (&raw mut t) as usize, 0, 0) };
    t[0] * 1_000_000_000 + t[1]
}

/// Processors that the calling thread may use (sched_getaffinity(2)); 1 if Linux does not say.
#[must_use]
pub fn processors() -> usize {
    let mut set = [0u64; 128];
    let (size, at) = (size_of_val(&set), set.as_mut_ptr() as usize);
    // SAFETY: writes a local.
    let n = unsafe { syscall4(nr::SCHED_GETAFFINITY, 0, size, at, 0) };
    if is_err(n) {
        return 1;
    }
    set.iter().map(|w| w.count_ones() as usize).sum()
}

/// The caller's process id and thread id.
#[must_use]
pub fn ids() -> (u32, u32) {
    // SAFETY: the calls change nothing.
    unsafe {
        (
            syscall4(nr::GETPID, 0, 0, 0, 0) as u32,
            syscall4(nr::GETTID, 0, 0, 0, 0) as u32,
        )
    }
}

/// All signals, as a kernel signal set.
pub const ALL_SIGNALS: u64 = !0;

/// `how` of [`sigmask`].
pub const SIG_BLOCK: usize = 0;
/// `how` of [`sigmask`].
pub const SIG_UNBLOCK: usize = 1;
/// `how` of [`sigmask`].
pub const SIG_SETMASK: usize = 2;

/// Changes the calling thread's signal mask (rt_sigprocmask(2)) and returns the old one.
pub fn sigmask(how: usize, set: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: both pointers are to locals of eight bytes, the size given.
    unsafe {
        syscall6(
            nr::RT_SIGPROCMASK,
            [
                how,
                (&raw const set) as usize,
                (&raw mut old) as usize,
                8,
                0,
                0,
            ],
        )
    };
    old
}

/// Sets the calling thread's signal mask and returns the old one.
pub fn set_sigmask(mask: u64) -> u64 {
    sigmask(SIG_SETMASK, mask)
}
