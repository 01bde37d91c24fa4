//! Threads and processes: clone(2), clone3(2), fork(2), vfork(2), exit(2).
//!
//! A child that shares the program's memory gets a block of its own before Linux makes it, starts on that block's
//! kernel stack with a copy of the parent's frame, and leaves the kernel as the parent does. Around the call all signals
//! are blocked; parent and child unblock them at their exit from the kernel.

use super::frame::{self, FRAME_SIZE, Frame};
use super::{dispatch_on, signals};
use crate::channel::{posts, server};
use crate::functions::heap;
use crate::kernel::block::{self, Block};
use crate::kernel::children::{self, CloneArgs, flag};
use crate::kernel::{CONFINED, patch, set_gs, slots};
use crate::raw::{self, errno, nr};
use core::sync::atomic::Ordering;

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
    let [flags, stack, ptid, ctid, tls] = children::arguments(f.nr as usize, &f.args());
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
    let mut own = CloneArgs::read(args, size)?;
    let (flags, stack) = (own.flags(), own.stack());
    // SAFETY: the caller's promise.
    Some(unsafe {
        start(b, f, flags, stack, |child| {
            let (at, size) = own.on_stack(child);
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
    if flags & flag::VM == 0 {
        // SAFETY: the caller's promise.
        return unsafe { copy(b, f, flags, stack, || call(None)) };
    }
    if flags & flag::THREAD != 0 && !children::borrows(b) && flags & flag::SHARED != flag::SHARED {
        // It has descriptors or directories of its own.
        server::forbid();
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
            children::prepare(child, b, flags);
            (*child).sigsys_blocked = (*b).sigsys_blocked;
            (*child).deferred = 1;
            (*child).deferred_mask = mask;
            (*child).save[0] = flags;
            at
        }
    };
    // SAFETY: the child's block is complete.
    unsafe { children::make(child, flags, || call(Some(at))) }
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
        children::identify(b);
        if (*b).save[0] & flag::CLEAR_SIGHAND != 0 {
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
    let held = heap::before_fork();
    let lock = slots::lock();
    let r = call();
    drop(lock);
    heap::after_fork(held, (r == 0).then_some(b));
    if r == 0 {
        // SAFETY: the calling thread's own block.
        unsafe { children::copied(b) };
        if flags & flag::CLEAR_SIGHAND != 0 {
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
        if (*b).borrowed == children::VFORKED {
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
        heap::thread_ends(b);
        if (*b).borrowed == 0 {
            posts::thread_ends();
        }
        let others = patch::THREADS.fetch_sub(1, Ordering::AcqRel) - 1;
        if (*b).borrowed == 0 && crate::threads::ends() {
            last();
            if others != 0 {
                // Only Linux threads of the kernel's are left, which would wait for ever.
                raw::exit_group(0);
            }
            // The process ends with the status of its first thread, once no other is there.
            server::end();
        }
    }
    End::Free
}
