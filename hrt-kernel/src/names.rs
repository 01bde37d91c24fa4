//! Names and argument kinds of system calls, for traces and reports.

use syscalls::Errno;
use syscalls::x86_64::Sysno;

/// How to show an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Signed decimal.
    Int,
    /// A file descriptor, or `AT_FDCWD`.
    Fd,
    /// Hexadecimal flags or an address.
    Hex,
    /// Octal mode.
    Mode,
    /// A NUL-terminated string in the program's memory.
    Str,
    /// A signal number.
    Signal,
}

/// The name of system call `nr` on x86-64, if Linux has one.
#[must_use]
pub fn name(nr: usize) -> Option<&'static str> {
    Sysno::new(nr).map(|s| s.name())
}

/// The name of error number `e`, if Linux has one.
#[must_use]
pub fn error(e: i32) -> Option<&'static str> {
    Errno::new(e).name()
}

/// The name of signal `n` on x86-64 (signal(7)).
#[must_use]
pub fn signal(n: i32) -> Option<&'static str> {
    const NAMES: [&str; 32] = [
        "0",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(usize::try_from(n).ok()?).copied()
}

/// The arguments of system call `nr`; six hexadecimal ones where they are not described here.
#[must_use]
pub fn args(nr: usize) -> &'static [Arg] {
    use Arg::{Fd, Hex, Int, Mode, Signal, Str};
    const UNKNOWN: &[Arg] = &[Hex, Hex, Hex, Hex, Hex, Hex];
    match name(nr).unwrap_or("") {
        "read" | "write" => &[Fd, Hex, Int],
        "pread64" | "pwrite64" => &[Fd, Hex, Int, Int],
        "readv" | "writev" => &[Fd, Hex, Int],
        "open" | "creat" => &[Str, Hex, Mode],
        "openat" => &[Fd, Str, Hex, Mode],
        "close" | "fsync" | "fdatasync" | "dup" | "epoll_create1" | "fchdir" => &[Fd],
        "stat" | "lstat" | "statfs" => &[Str, Hex],
        "fstat" | "fstatfs" => &[Fd, Hex],
        "newfstatat" => &[Fd, Str, Hex, Hex],
        "statx" => &[Fd, Str, Hex, Hex, Hex],
        "access" | "chmod" | "mkdir" => &[Str, Mode],
        "faccessat" | "mkdirat" | "fchmodat" => &[Fd, Str, Mode],
        "faccessat2" => &[Fd, Str, Mode, Hex],
        "readlink" => &[Str, Hex, Int],
        "readlinkat" => &[Fd, Str, Hex, Int],
        "unlink" | "rmdir" | "chdir" | "chroot" => &[Str],
        "unlinkat" => &[Fd, Str, Hex],
        "rename" | "link" | "symlink" => &[Str, Str],
        "renameat" => &[Fd, Str, Fd, Str],
        "lseek" => &[Fd, Int, Int],
        "mmap" => &[Hex, Int, Hex, Hex, Fd, Hex],
        "mprotect" => &[Hex, Int, Hex],
        "munmap" => &[Hex, Int],
        "mremap" => &[Hex, Int, Int, Hex, Hex],
        "madvise" => &[Hex, Int, Int],
        "brk" | "set_tid_address" | "unshare" => &[Hex],
        "ioctl" | "fcntl" => &[Fd, Hex, Hex],
        "dup2" => &[Fd, Fd],
        "dup3" => &[Fd, Fd, Hex],
        "pipe" => &[Hex],
        "pipe2" => &[Hex, Hex],
        "poll" => &[Hex, Int, Int],
        "ppoll" => &[Hex, Int, Hex, Hex, Int],
        "select" => &[Int, Hex, Hex, Hex, Hex],
        "pselect6" => &[Int, Hex, Hex, Hex, Hex, Hex],
        "epoll_wait" => &[Fd, Hex, Int, Int],
        "epoll_pwait" => &[Fd, Hex, Int, Int, Hex, Int],
        "epoll_ctl" => &[Fd, Int, Fd, Hex],
        "rt_sigaction" => &[Signal, Hex, Hex, Int],
        "rt_sigprocmask" => &[Int, Hex, Hex, Int],
        "rt_sigsuspend" | "rt_sigpending" => &[Hex, Int],
        "rt_sigtimedwait" => &[Hex, Hex, Hex, Int],
        "sigaltstack" => &[Hex, Hex],
        "kill" | "tkill" => &[Int, Signal],
        "tgkill" => &[Int, Int, Signal],
        "getpid" | "gettid" | "getppid" | "getuid" | "geteuid" | "getgid" | "getegid" | "fork"
        | "vfork" | "sched_yield" | "pause" | "rt_sigreturn" | "restart_syscall" | "sync"
        | "setsid" | "getpgrp" => &[],
        "clone" => &[Hex, Hex, Hex, Hex, Hex],
        "clone3" | "set_robust_list" => &[Hex, Int],
        "execve" => &[Str, Hex, Hex],
        "execveat" => &[Fd, Str, Hex, Hex, Hex],
        "exit" | "exit_group" | "umask" | "getpgid" | "getsid" => &[Int],
        "wait4" => &[Int, Hex, Hex, Hex],
        "waitid" => &[Int, Int, Hex, Hex, Hex],
        "futex" => &[Hex, Hex, Int, Hex, Hex, Int],
        "nanosleep" => &[Hex, Hex],
        "clock_nanosleep" => &[Int, Hex, Hex, Hex],
        "clock_gettime" | "clock_getres" | "getrlimit" | "setrlimit" | "getrusage" => &[Int, Hex],
        "prlimit64" => &[Int, Int, Hex, Hex],
        "arch_prctl" => &[Hex, Hex],
        "prctl" => &[Int, Hex, Hex, Hex, Hex],
        "getrandom" => &[Hex, Int, Hex],
        "socket" => &[Int, Hex, Int],
        "bind" | "connect" => &[Fd, Hex, Int],
        "listen" => &[Fd, Int],
        "accept" => &[Fd, Hex, Hex],
        "accept4" => &[Fd, Hex, Hex, Hex],
        "sendto" | "recvfrom" => &[Fd, Hex, Int, Hex, Hex, Int],
        "sendmsg" | "recvmsg" => &[Fd, Hex, Hex],
        "getdents64" => &[Fd, Hex, Int],
        "ftruncate" | "fchmod" => &[Fd, Int],
        "getcwd" => &[Hex, Int],
        "uname" | "sysinfo" | "times" | "time" => &[Hex],
        "rseq" => &[Hex, Int, Hex, Hex],
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_linux_names() {
        assert_eq!(name(0), Some("read"));
        assert_eq!(name(39), Some("getpid"));
        assert_eq!(name(435), Some("clone3"));
        assert_eq!(name(100_000), None);
    }

    #[test]
    fn every_described_call_exists() {
        assert_eq!(args(257), &[Arg::Fd, Arg::Str, Arg::Hex, Arg::Mode]);
        assert_eq!(args(39), &[] as &[Arg]);
        assert_eq!(args(4000).len(), 6);
    }
}
