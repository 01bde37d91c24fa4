//! What clone(2), clone3(2), fork(2) and vfork(2) take on every platform: their arguments, and what a block and the process's
//! counters have to do with a child.

use super::block::{self, BLOCK_SIZE, Block};
use super::{STARTED, patch, user};
use crate::raw::{self, nr};
use core::sync::atomic::Ordering;

/// Flags (clone(2)).
#[allow(missing_docs)]
pub mod flag {
    pub const VM: u64 = 0x100;
    /// FS and FILES.
    pub const SHARED: u64 = 0x600;
    pub const VFORK: u64 = 0x4000;
    pub const THREAD: u64 = 0x1_0000;
    pub const SETTLS: u64 = 0x8_0000;
    pub const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
}
const SIGCHLD: u64 = 17;

/// `borrowed` of a child whose parent waits for it (vfork).
pub const VFORKED: u32 = 1;
/// `borrowed` of another process in the same memory.
const SHARING: u32 = 2;

/// The arguments of `clone` that call `number` means: flags, stack, two places for the child's id, thread area.
#[must_use]
pub fn arguments(number: usize, args: &[usize; 6]) -> [usize; 5] {
    let [flags, stack, ptid, ctid, tls, _] = *args;
    match number {
        nr::FORK => [SIGCHLD as usize, 0, ptid, ctid, tls],
        nr::VFORK => [
            (flag::VM | flag::VFORK | SIGCHLD) as usize,
            0,
            ptid,
            ctid,
            tls,
        ],
        _ => [flags, stack, ptid, ctid, tls],
    }
}

/// The kernel's `struct clone_args` (clone3(2)), as far as known, and room for what it may grow by.
pub struct CloneArgs {
    words: [u64; 32],
    size: usize,
}

impl CloneArgs {
    /// CLONE_ARGS_SIZE_VER0.
    const MIN: usize = 64;
    const FLAGS: usize = 0;
    const STACK: usize = 5;
    const STACK_SIZE: usize = 6;
    const TLS: usize = 7;

    /// Those of `size` bytes at `at`; `None` if they are for Linux to refuse.
    #[must_use]
    pub fn read(at: usize, size: usize) -> Option<Self> {
        let mut words = [0u64; 32];
        if !(Self::MIN..=size_of_val(&words)).contains(&size)
            || !size.is_multiple_of(8)
            || !user::can_read(at, size)
        {
            return None;
        }
        // SAFETY: just seen to be readable; not longer than `words`.
        unsafe {
            core::ptr::copy_nonoverlapping(at as *const u8, words.as_mut_ptr().cast::<u8>(), size);
        }
        let half = (words[Self::STACK] == 0) != (words[Self::STACK_SIZE] == 0);
        (!half).then_some(CloneArgs { words, size })
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.words[Self::FLAGS]
    }

    /// The end of the child's stack; 0: the parent's.
    #[must_use]
    pub fn stack(&self) -> usize {
        self.words[Self::STACK].wrapping_add(self.words[Self::STACK_SIZE]) as usize
    }

    /// Where the child's number goes (CLONE_PARENT_SETTID), and where 0 at its end (CLONE_CHILD_CLEARTID).
    #[must_use]
    pub fn ids(&self) -> [usize; 2] {
        [self.words[3] as usize, self.words[2] as usize]
    }

    /// The child's thread area.
    #[must_use]
    pub fn tls(&self) -> u64 {
        self.words[Self::TLS]
    }

    /// Points them at stack pointer `sp` on a kernel stack, or at none; address and size are then for Linux.
    pub fn on_stack(&mut self, sp: Option<usize>) -> (usize, usize) {
        let (low, length) = sp.map_or((0, 0), |sp| {
            let low = sp & !(BLOCK_SIZE - 1);
            (low, sp - low)
        });
        (self.words[Self::STACK], self.words[Self::STACK_SIZE]) = (low as u64, length as u64);
        (self.words.as_ptr() as usize, self.size)
    }
}

/// Prepares the block of a child that shares the memory of `b`'s thread.
///
/// # Safety
/// `child` must be the caller's, and `b` the calling thread's.
pub unsafe fn prepare(child: *mut Block, b: *mut Block, flags: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        (*child).pid = if flags & flag::THREAD != 0 {
            (*b).pid
        } else {
            0
        };
        if flags & flag::VFORK != 0 {
            // Linux lets the child keep it then.
            *block::alt(child) = *block::alt(b);
        }
        (*child).borrowed = match (flags & flag::THREAD, flags & flag::VFORK) {
            (0, 0) => SHARING,
            (0, _) => VFORKED,
            _ => 0,
        };
    }
}

/// Makes the child by `call`, which returns in the parent only, and counts it.
///
/// # Safety
/// `child` must be complete, and used by nobody but the child from then on.
pub unsafe fn make(child: *mut Block, flags: u64, call: impl FnOnce() -> isize) -> isize {
    if flags & flag::THREAD != 0 {
        patch::before_threads();
        crate::threads::begins();
    }
    patch::THREADS.fetch_add(1, Ordering::AcqRel);
    let r = call();
    if raw::is_err(r) || flags & flag::VFORK != 0 && flags & flag::THREAD == 0 {
        // There is no child, or it has left this memory.
        patch::THREADS.fetch_sub(1, Ordering::AcqRel);
        if flags & flag::THREAD != 0 {
            crate::threads::ends();
        }
        // SAFETY: no thread runs on the child's block.
        unsafe { block::give_back(child) };
    } else if flags & flag::THREAD != 0 {
        STARTED.fetch_add(1, Ordering::Relaxed);
    }
    r
}

/// In a new thread: it learns who it is.
///
/// # Safety
/// `b` must be the calling thread's block, which [`prepare`] has prepared.
pub unsafe fn identify(b: *mut Block) {
    // SAFETY: the caller's promise; the calls change nothing.
    unsafe {
        (*b).tid = raw::syscall4(nr::GETTID, 0, 0, 0, 0) as u32;
        if (*b).pid == 0 {
            (*b).pid = raw::syscall4(nr::GETPID, 0, 0, 0, 0) as u32;
        }
    }
}

/// In the child of a fork: it is alone, and a process of its own.
///
/// # Safety
/// `b` must be the calling thread's block.
pub unsafe fn copied(b: *mut Block) {
    block::after_fork(b);
    patch::THREADS.store(1, Ordering::Relaxed);
    STARTED.store(1, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe {
        ((*b).pid, (*b).tid) = raw::ids();
        (*b).borrowed = 0;
    }
    crate::threads::after_fork();
    crate::channel::after_fork(b);
}

/// True if the calling thread is in a process that runs in another's memory.
#[must_use]
pub fn borrows(b: *mut Block) -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*b).borrowed != 0 }
}

/// True if that process runs beside its memory's owner.
#[must_use]
pub fn shares(b: *mut Block) -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*b).borrowed == SHARING }
}
