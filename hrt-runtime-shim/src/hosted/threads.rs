//! Threads and processes: clone(2), clone3(2), fork(2), vfork(2), exit(2).
//!
//! A child that shares the program's memory gets a block of its own before Linux makes it, starts on that block's
//! kernel stack with a copy of the parent's frame, and leaves the kernel as the parent does. Around the call all signals
//! are blocked; parent and child unblock them at their exit from the kernel.

use super::frame::{self, FRAME_SIZE, Frame};
use super::{dispatch_on, signals};
use crate::kernel::block::{self, Block};
use crate::kernel::{CONFINED, STARTED, patch, set_gs, slots, user};
use crate::raw::{self, errno, nr};
use core::sync::atomic::Ordering;

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const SIGCHLD: u64 = 17;

/// `borrowed` of a child whose parent waits for it (vfork).
const VFORKED: u32 = 1;
/// `borrowed` of another process in the same memory.
const SHARING: u32 = 2;

/// The kernel's `struct clone_args` (clone3(2)), as far as known, and room for what it may grow by.
type CloneArgs = [u64; 32];
mod arg {
    pub const FLAGS: usize = 0;
    pub const STACK: usize = 5;
    pub const STACK_SIZE: usize = 6;
}
/// CLONE_ARGS_SIZE_VER0.
const CLONE_ARGS_MIN: usize = 64;

/// Blocks all signals of the calling thread until its exit from the kernel; returns the program's mask.
fn block_signals(b: *mut Block) -> u64 {
    let real = raw::set_sigmask(raw::ALL_SIGNALS);
    // SAFETY: the calling thread's own block; no signal comes any more.
    unsafe {
        if (*b).deferred == 0 {
            (*b).deferred_mask = real;
            (*b).deferred = 1;
        }
        (*b).deferred_mask
    }
}

/// Serves `clone`, `fork` and `vfork` (`nr` says which); returns the result for the caller.
///
/// # Safety
/// `f` must be the calling thread's frame at the top of its kernel stack, `b` its block.
pub unsafe fn clone(b: *mut Block, f: &mut Frame) -> isize {
    let [mut flags, mut stack, ptid, ctid, tls, _] = f.args();
    match f.nr as usize {
        nr::FORK => (flags, stack) = (SIGCHLD as usize, 0),
        nr::VFORK => (flags, stack) = ((CLONE_VM | CLONE_VFORK | SIGCHLD) as usize, 0),
        _ => {}
    }
    // SAFETY: the caller's promise.
    unsafe {
        start(b, f, flags as u64, stack, |child| match child {
            // SAFETY: the child runs on its own block, whose frame is complete.
            Some(sp) => frame::hrt_clone(flags, sp, ptid, ctid, tls),
            // SAFETY: a copy of the process goes on right here.
            None => raw::syscall6(nr::CLONE, [flags, 0, ptid, ctid, tls, 0]),
        })
    }
}

/// Serves `clone3`; `None` if the arguments are for Linux to refuse.
///
/// # Safety
/// As [`clone`].
pub unsafe fn clone3(b: *mut Block, f: &mut Frame) -> Option<isize> {
    let [args, size, ..] = f.args();
    if !(CLONE_ARGS_MIN..=size_of::<CloneArgs>()).contains(&size)
        || size % 8 != 0
        || !user::can_read(args, size)
    {
        return None;
    }
    let mut own: CloneArgs = [0; 32];
    // SAFETY: just seen to be readable; not longer than `own`.
    unsafe {
        core::ptr::copy_nonoverlapping(args as *const u8, own.as_mut_ptr().cast::<u8>(), size);
    }
    let flags = own[arg::FLAGS];
    let (low, length) = (own[arg::STACK], own[arg::STACK_SIZE]);
    if (low == 0) != (length == 0) {
        return None;
    }
    let stack = low.wrapping_add(length) as usize;
    // SAFETY: the caller's promise.
    Some(unsafe {
        start(b, f, flags, stack, |child| {
            let (low, length) = child.map_or((0, 0), |sp| {
                let low = sp & !(block::BLOCK_SIZE - 1);
                (low, sp - low)
            });
            (own[arg::STACK], own[arg::STACK_SIZE]) = (low as u64, length as u64);
            let at = own.as_ptr() as usize;
            match child {
                // SAFETY: the child runs on its own block, whose frame is complete.
                Some(_) => frame::hrt_clone3(at, size),
                // SAFETY: a copy of the process goes on right here.
                None => raw::syscall4(nr::CLONE3, at, size, 0, 0),
            }
        })
    })
}

/// # Safety
/// As [`clone`]; `call` makes the call, on the given stack pointer if there is one, and returns in the parent only; or
/// without one in both.
unsafe fn start(
    b: *mut Block,
    f: &mut Frame,
    flags: u64,
    stack: usize,
    mut call: impl FnMut(Option<usize>) -> isize,
) -> isize {
    if flags & CLONE_VM == 0 {
        // SAFETY: the caller's promise.
        return unsafe { copy(b, f, flags, stack, || call(None)) };
    }
    let Ok(child) = block::take() else {
        return raw::err(errno::EAGAIN);
    };
    let mask = block_signals(b);
    let at = {
        // SAFETY: the child's block is ours until the child runs, and nothing is on its stack.
        unsafe {
            let at = (*child).stack_top - FRAME_SIZE;
            let mut copy = *f;
            copy.rax = 0;
            if stack != 0 {
                copy.rsp = stack as u64;
            }
            (at as *mut Frame).write(copy);
            (*child).pid = if flags & CLONE_THREAD != 0 {
                (*b).pid
            } else {
                0
            };
            if flags & CLONE_VFORK != 0 {
                // Linux lets the child keep it then.
                (*child).alt = (*b).alt;
            }
            (*child).sigsys_blocked = (*b).sigsys_blocked;
            (*child).borrowed = match (flags & CLONE_THREAD, flags & CLONE_VFORK) {
                (0, 0) => SHARING,
                (0, _) => VFORKED,
                _ => 0,
            };
            (*child).deferred = 1;
            (*child).deferred_mask = mask;
            (*child).save[0] = flags;
            at
        }
    };
    if flags & CLONE_THREAD != 0 {
        patch::before_threads();
    }
    patch::THREADS.fetch_add(1, Ordering::AcqRel);
    let r = call(Some(at));
    if raw::is_err(r) || flags & CLONE_VFORK != 0 && flags & CLONE_THREAD == 0 {
        // There is no child, or it has left this memory.
        patch::THREADS.fetch_sub(1, Ordering::AcqRel);
        // SAFETY: no thread runs on the child's block.
        unsafe { block::give_back(child) };
    } else if flags & CLONE_THREAD != 0 {
        STARTED.fetch_add(1, Ordering::Relaxed);
    }
    r
}

/// A new thread's first steps, on its own kernel stack; the exit from the kernel follows.
///
/// # Safety
/// Only `hrt_clone` and `hrt_clone3` may call this, in a child that [`start`] prepared.
pub unsafe extern "C" fn hrt_child(frame: *mut Frame) {
    let b = (frame as usize & !(block::BLOCK_SIZE - 1)) as *mut Block;
    set_gs(b);
    if !CONFINED.load(Ordering::Relaxed) {
        signals::set_signal_stack(b);
    }
    // SAFETY: the block is this thread's.
    unsafe {
        (*b).tid = raw::syscall4(nr::GETTID, 0, 0, 0, 0) as u32;
        if (*b).pid == 0 {
            (*b).pid = raw::syscall4(nr::GETPID, 0, 0, 0, 0) as u32;
        }
        if (*b).save[0] & CLONE_CLEAR_SIGHAND != 0 {
            signals::install();
        }
    }
    if !CONFINED.load(Ordering::Relaxed) {
        dispatch_on();
    }
}

/// fork: the child is a copy of the process, and goes on on a copy of this very stack.
///
/// # Safety
/// As [`clone`]; `call` returns in parent and child.
unsafe fn copy(
    b: *mut Block,
    f: &mut Frame,
    flags: u64,
    stack: usize,
    call: impl FnOnce() -> isize,
) -> isize {
    block_signals(b);
    // Held, so that the child's copy of what it guards is whole.
    let lock = slots::lock();
    let r = call();
    drop(lock);
    if r == 0 {
        block::after_fork(b);
        patch::THREADS.store(1, Ordering::Relaxed);
        STARTED.store(1, Ordering::Relaxed);
        // SAFETY: the only thread's own block.
        unsafe {
            ((*b).pid, (*b).tid) = raw::ids();
            (*b).borrowed = 0;
        }
        if flags & CLONE_CLEAR_SIGHAND != 0 {
            signals::reset();
        }
        if !CONFINED.load(Ordering::Relaxed) {
            dispatch_on();
        }
        if stack != 0 {
            f.rsp = stack as u64;
        }
    }
    r
}

/// How the calling thread ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By Linux alone: its parent has its block.
    Forward,
    /// Signals wait; they come first, and the call is made again.
    Signals,
    /// Through `hrt_exit_thread`, which frees its block.
    Free,
}

/// Prepares the end of the calling thread, or of a process that shares this memory; `last` is called if no thread is left.
pub fn end(b: *mut Block, last: impl FnOnce()) -> End {
    // SAFETY: the calling thread's own block.
    unsafe {
        if (*b).borrowed == VFORKED {
            return End::Forward;
        }
        if (*b).deferred != 0 {
            return End::Signals;
        }
        if !CONFINED.load(Ordering::Relaxed) {
            raw::set_sigmask(raw::ALL_SIGNALS);
            if (*b).deferred != 0 {
                return End::Signals;
            }
        }
        if patch::THREADS.fetch_sub(1, Ordering::AcqRel) == 1 && (*b).borrowed == 0 {
            last();
        }
    }
    End::Free
}

/// True if the calling thread is in another process than the one whose memory it uses.
#[must_use]
pub fn shares(b: *mut Block) -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*b).borrowed == SHARING }
}

/// True if the calling thread is in a process that runs in its parent's memory.
#[must_use]
pub fn borrows(b: *mut Block) -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*b).borrowed != 0 }
}
