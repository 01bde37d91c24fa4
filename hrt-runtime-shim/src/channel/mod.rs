//! Event channels: system calls that a *server*, a thread of the kernel's, makes on behalf of the program's threads.
//!
//! Calls come to the server by memory that it polls: posted ones in queues ([`posts`], on every platform), and on `kvm` those that call sites would
//! leave the guest for (`kvm::channel`). Here is what it may make, and what ends it; [`server`] has its life.
//!
//! A server makes only what any thread of the process can make on another's behalf: such calls wait for nobody, raise no signal and tell nothing of
//! the thread ([`serves`], [`answer`]).

pub mod posts;
pub mod server;

use crate::kernel::block::Block;
use crate::kernel::{CONFINED, observe, policy};
use crate::kvm::hidden;
use crate::raw::{self, nr};
use core::sync::atomic::{AtomicU32, Ordering};
use hrt_kernel::calls::Queue;

/// Numbers of the calls that the server makes (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
mod call {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const FSTAT: usize = 5;
    pub const LSEEK: usize = 8;
    pub const PREAD64: usize = 17;
    pub const PWRITE64: usize = 18;
    pub const READV: usize = 19;
    pub const WRITEV: usize = 20;
    pub const UNAME: usize = 63;
    pub const GETCWD: usize = 79;
    pub const GETTIMEOFDAY: usize = 96;
    pub const SYSINFO: usize = 99;
    pub const GETUID: usize = 102;
    pub const GETGID: usize = 104;
    pub const GETEUID: usize = 107;
    pub const GETEGID: usize = 108;
    pub const GETPPID: usize = 110;
    pub const GETPGRP: usize = 111;
    pub const FSTATFS: usize = 138;
    pub const TIME: usize = 201;
}

/// True for calls that the server may make, as far as the number tells.
#[must_use]
pub fn serves(number: usize) -> bool {
    use call::*;
    matches!(
        number,
        READ | WRITE
            | FSTAT
            | LSEEK
            | PREAD64
            | PWRITE64
            | READV
            | WRITEV
            | UNAME
            | GETCWD
            | GETTIMEOFDAY
            | SYSINFO
            | GETUID
            | GETGID
            | GETEUID
            | GETEGID
            | GETPPID
            | GETPGRP
            | TIME
            | nr::FUTEX
            | nr::CLOCK_GETTIME
    )
}

/// What is known of descriptors and file systems, so that Linux is not asked for each call.
pub struct Judge {
    /// A device with a local file system, until the time stamp that follows.
    device: u64,
    until: u64,
    /// A descriptor that waits for nobody, for calls whose ticket is less than what follows. They were outstanding when it was looked at, so it is
    /// the program's to leave it as it is.
    descriptor: usize,
    before: Option<u32>,
}

/// Cycles for which a device is taken to have the same file system: it may have been unmounted, and another one may have its number.
const DEVICE: u64 = 100_000_000;

impl Judge {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Judge {
            device: 0,
            until: 0,
            descriptor: 0,
            before: None,
        }
    }

    /// Other calls than those that are outstanding now follow.
    pub fn forget_descriptor(&mut self) {
        self.before = None;
    }

    /// True if the call, which is one that [`serves`] knows, can be made here. `posted`: the queue whose next call it is.
    fn fits(&mut self, number: usize, args: &[usize; 6], posted: Option<&Queue>) -> bool {
        use call::*;
        match number {
            READ | WRITE | LSEEK | PREAD64 | PWRITE64 | READV | WRITEV => {
                let fd = args[0];
                let same = fd == self.descriptor
                    && matches!((self.before, posted), (Some(b), Some(q)) if (q.next().wrapping_sub(b) as i32) < 0);
                if same {
                    return true;
                }
                let outstanding = posted.map(Queue::tail);
                let good = self.waits_for_nobody(fd);
                (self.descriptor, self.before) = (fd, outstanding.filter(|_| good));
                good
            }
            FSTAT => !hidden(args[0]),
            // FUTEX_WAKE and FUTEX_WAKE_BITSET
            nr::FUTEX => matches!(args[1] & 0x7f, 1 | 10),
            // CLOCK_REALTIME, CLOCK_MONOTONIC and those made from them
            nr::CLOCK_GETTIME => matches!(args[0], 0 | 1 | 4..=7 | 11),
            _ => true,
        }
    }

    /// True if reading and writing descriptor `fd` waits for no other process, and does not depend on who does it: a file of a local
    /// file system, or /dev/null.
    fn waits_for_nobody(&mut self, fd: usize) -> bool {
        // Of ext2 to 4, XFS, btrfs, F2FS, tmpfs, overlayfs (statfs(2)).
        const LOCAL: [u64; 6] = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0xf2f5_2010,
            0x0102_1994,
            0x794c_7630,
        ];
        const TYPE: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        const CHARACTER: u32 = 0o20_000;
        const NULL: u64 = 0x103;
        if hidden(fd) {
            return false;
        }
        let mut stat = [0u64; 18];
        // SAFETY: struct stat is 144 bytes.
        let r = unsafe { raw::syscall4(nr::FSTAT, fd, (&raw mut stat) as usize, 0, 0) };
        if r != 0 {
            return false;
        }
        // st_mode follows three words, st_rdev five; st_dev is the first.
        match stat[3] as u32 & TYPE {
            CHARACTER => stat[5] == NULL,
            REGULAR => {
                let now = server::stamp();
                if stat[0] == self.device && now < self.until {
                    return true;
                }
                let mut fs = [0u64; 15];
                // SAFETY: struct statfs is 120 bytes.
                let r = unsafe { raw::syscall4(call::FSTATFS, fd, (&raw mut fs) as usize, 0, 0) };
                let local = r == 0 && LOCAL.contains(&fs[0]);
                if local {
                    (self.device, self.until) = (stat[0], now.saturating_add(DEVICE));
                }
                local
            }
            _ => false,
        }
    }

    /// Makes the call, if that is for a server to do. Not for code that runs in the guest.
    pub fn answer(
        &mut self,
        number: usize,
        args: &[usize; 6],
        posted: Option<&Queue>,
    ) -> Option<isize> {
        if !serves(number) || !policy::forwards(number) || !self.fits(number, args, posted) {
            return None;
        }
        // SAFETY: the program asked for it.
        let r = unsafe { raw::syscall6(number, *args) };
        // What may go with a signal to the thread has done nothing, and the thread does it once more. (EPIPE, EFBIG)
        if r == raw::err(32) || r == raw::err(27) {
            return None;
        }
        Some(r)
    }
}

/// Whether the kernel may ask Linux what it needs to know: [`UNKNOWN`], [`FREE`] or [`JAILED`].
static JAIL: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = 0;
const FREE: u32 = 1;
const JAILED: u32 = 2;

/// True in a seccomp jail: the kernel makes no calls there but those that the program's threads make themselves. Not for code that runs in the guest.
fn jailed() -> bool {
    const PR_GET_SECCOMP: usize = 21;
    if JAIL.load(Ordering::Relaxed) == UNKNOWN {
        // SAFETY: only asks.
        let jail = unsafe { raw::syscall4(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0) };
        JAIL.store(if jail > 0 { JAILED } else { FREE }, Ordering::Relaxed);
    }
    JAIL.load(Ordering::Relaxed) == JAILED || CONFINED.load(Ordering::Relaxed)
}

/// At the start of the program, whose block is `b`. `wanted`: the server may be there; `ahead`: its memory is taken now.
pub fn init(b: *mut Block, wanted: bool, ahead: bool) {
    // A trace is of calls that the threads make.
    server::init(b, wanted && !observe::tracing(), ahead);
}

/// What a call of the program's does to the server's fitness to stand for its threads.
enum Parting {
    /// Nothing.
    No,
    /// Nothing; but what the thread has posted comes before it.
    Settle,
    /// The server must know anew which cores there are.
    Cores,
    /// A thread is, or may be, another than the server in something that calls depend on, from now on.
    ForGood,
    /// So it is, and the kernel makes no calls of its own accord.
    Jail,
}

fn parting(number: usize, args: &[usize; 6]) -> Parting {
    match number {
        105 | 106 | 113 | 114 | 116 | 117 | 119 | 122 | 123 // setuid and its like
        | 126 // capset
        | 135 // personality
        | 272 // unshare
        | 308 // setns
        | 446 // landlock_restrict_self
        => Parting::ForGood,
        317 => Parting::Jail, // seccomp
        nr::PRCTL if args[0] == 22 => Parting::Jail, // PR_SET_SECCOMP
        nr::CLOSE_RANGE if args[2] & 2 != 0 => Parting::ForGood, // CLOSE_RANGE_UNSHARE
        203 => Parting::Cores, // sched_setaffinity
        nr::EXIT_GROUP | nr::EXECVE | nr::EXECVEAT | nr::CLONE | nr::CLONE3 | nr::FORK => Parting::Settle,
        _ => Parting::No,
    }
}

/// Before a call of the program's is made: what its thread has posted is made first, if the call ends or copies the process or makes the thread another
/// one; and if that parts the calling thread from the server, the server ends.
pub fn before(b: *mut Block, number: usize, args: &[usize; 6]) {
    let parting = parting(number, args);
    if matches!(parting, Parting::No) || !server::is_for(b) {
        return;
    }
    if !matches!(parting, Parting::Cores) {
        posts::settle();
    }
    match parting {
        Parting::Cores => server::cores_changed(),
        Parting::ForGood => server::forbid(),
        Parting::Jail => {
            server::forbid();
            JAIL.store(JAILED, Ordering::Relaxed);
        }
        Parting::No | Parting::Settle => {}
    }
}

/// In the child of a fork, whose thread's block is `b`: there is no server, and nothing is outstanding.
pub fn after_fork(b: *mut Block) {
    server::after_fork(b);
    posts::after_fork();
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrt_kernel::classes::{Class, TABLE_SIZE, class};

    #[test]
    fn the_server_makes_what_the_kernel_just_forwards() {
        let all: Vec<usize> = (0..TABLE_SIZE).filter(|n| serves(*n)).collect();
        assert!(all.len() > 20 && all.iter().all(|n| class(*n) == Class::Forward));
    }

    #[test]
    fn what_parts_a_thread_from_the_server_passes_through_the_kernel() {
        for n in 0..TABLE_SIZE {
            for args in [[0; 6], [22, 0, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0]] {
                if !matches!(parting(n, &args), Parting::No) {
                    assert_eq!(class(n), Class::Mediated, "{n}");
                }
            }
        }
    }
}
