//! The kernel's own descriptors, which the program must not see: kept at the upper end of what it may use, and shut off from
//! its calls.

use crate::raw::{self, errno, nr};
use core::sync::atomic::{AtomicU64, Ordering};

const MAX: usize = 65536;
static HIDDEN: [AtomicU64; MAX / 64] = [const { AtomicU64::new(0) }; MAX / 64];
/// Descriptors are moved to this number or above.
const ABOVE: usize = 512;

fn place(fd: usize) -> Option<(&'static AtomicU64, u64)> {
    Some((HIDDEN.get(fd / 64)?, 1 << (fd % 64)))
}

/// True if `fd` is one of the kernel's.
#[must_use]
pub fn hidden(fd: usize) -> bool {
    place(fd as u32 as usize).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// What the process may open (RLIMIT_NOFILE).
fn limit() -> u64 {
    raw::limit(raw::RLIMIT_NOFILE)
}

/// True if the program may have so few descriptors that it would miss the kernel's.
#[must_use]
pub fn few() -> bool {
    limit() < hrt_abi::kvm::DESCRIPTORS
}

/// Moves `fd` up, out of the program's way, and hides it; returns its new number.
#[must_use]
pub fn protect(fd: i32) -> i32 {
    const F_DUPFD_CLOEXEC: usize = 1030;
    let from = ABOVE.min(limit() as usize / 2);
    // SAFETY: the descriptors are ours.
    unsafe {
        let up = raw::syscall4(nr::FCNTL, fd as usize, F_DUPFD_CLOEXEC, from, 0);
        let kept = if raw::is_err(up) { fd } else { up as i32 };
        if kept != fd {
            raw::syscall4(nr::CLOSE, fd as usize, 0, 0, 0);
        }
        if let Some((word, bit)) = place(kept as usize) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        kept
    }
}

/// Closes a descriptor of the kernel's; a negative one is none.
pub fn close(fd: i32) {
    if fd < 0 {
        return;
    }
    if let Some((word, bit)) = place(fd as usize) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
    // SAFETY: our own descriptor.
    unsafe { raw::syscall4(nr::CLOSE, fd as usize, 0, 0, 0) };
}

/// close_range(2) for the program: what is hidden stays open.
pub fn close_range(first: usize, last: usize, flags: usize) -> isize {
    const CLOEXEC: usize = 4;
    let (first, last) = (first as u32 as usize, last as u32 as usize);
    let call = |first: usize, last: usize| {
        // SAFETY: the program asked for it; none of the descriptors is ours.
        unsafe { raw::syscall4(nr::CLOSE_RANGE, first, last, flags, 0) }
    };
    if first > last || flags & CLOEXEC != 0 {
        // The kernel's are closed by exec anyway.
        return call(first, last);
    }
    let mut from = first;
    while from <= last {
        let next = (from..=last.min(MAX - 1)).find(|fd| hidden(*fd));
        let Some(fd) = next else {
            return call(from, last);
        };
        if from < fd {
            let r = call(from, fd - 1);
            if r != 0 {
                return r;
            }
        }
        from = fd + 1;
    }
    0
}

/// True if the first argument of system call `number` is a descriptor.
#[must_use]
pub fn takes(number: usize) -> bool {
    // Ranges of the x86-64 table (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
    const TAKE: [(usize, usize); 40] = [
        (0, 1),     // read, write
        (3, 3),     // close
        (5, 5),     // fstat
        (8, 8),     // lseek
        (16, 20),   // ioctl, pread64, pwrite64, readv, writev
        (32, 33),   // dup, dup2
        (40, 40),   // sendfile
        (42, 52),   // connect to getpeername
        (54, 55),   // setsockopt, getsockopt
        (72, 75),   // fcntl, flock, fsync, fdatasync
        (77, 78),   // ftruncate, getdents
        (81, 81),   // fchdir
        (91, 91),   // fchmod
        (93, 93),   // fchown
        (138, 138), // fstatfs
        (187, 187), // readahead
        (190, 190), // fsetxattr
        (193, 193), // fgetxattr
        (196, 196), // flistxattr
        (199, 199), // fremovexattr
        (217, 217), // getdents64
        (221, 221), // fadvise64
        (232, 233), // epoll_wait, epoll_ctl
        (254, 255), // inotify_add_watch, inotify_rm_watch
        (257, 265), // openat to linkat
        (267, 269), // readlinkat, fchmodat, faccessat
        (275, 278), // splice, tee, sync_file_range, vmsplice
        (280, 281), // utimensat, epoll_pwait
        (285, 288), // fallocate, timerfd_settime, timerfd_gettime, accept4
        (292, 292), // dup3
        (295, 296), // preadv, pwritev
        (299, 299), // recvmmsg
        (306, 308), // syncfs, sendmmsg, setns
        (326, 328), // copy_file_range, preadv2, pwritev2
        (332, 332), // statx
        (426, 427), // io_uring_enter, io_uring_register
        (437, 437), // openat2
        (439, 439), // faccessat2
        (441, 441), // epoll_pwait2
        (452, 452), // fchmodat2
    ];
    TAKE.iter()
        .any(|(low, high)| (*low..=*high).contains(&number))
}

/// What the program is told when it names a descriptor of the kernel's.
pub const CLOSED: isize = raw::err(errno::EBADF);
