//! Calls that are served in the program's place, on its stack, because its thread may stop in them: see `threads::posix`.

use super::frame::{self, FRAME_SIZE, Frame};
use crate::kernel::children::{self, CloneArgs};
use crate::kernel::observe;
use crate::kernel::slots::Slot;
use crate::raw::nr;
use crate::report;
use crate::threads::posix::{self, Child, Next};
use crate::threads::thread::Thread;
use crate::threads::{groups, local};

/// True if the call is to be served so.
#[must_use]
pub fn wants(number: usize, args: &[usize; 6]) -> bool {
    posix::comes_back(number) || child(number, args).is_some()
}

/// The kernel thread that a clone makes, if it makes one.
fn child(number: usize, args: &[usize; 6]) -> Option<Child> {
    match number {
        nr::CLONE if posix::makes(args[0] as u64) => {
            let [_, stack, parent_tid, child_tid, tls] = children::arguments(number, args);
            Some(Child {
                parent_tid,
                child_tid,
                stack,
                tls,
            })
        }
        nr::CLONE3 => {
            let own = CloneArgs::read(args[0], args[1])?;
            let [parent_tid, child_tid] = own.ids();
            posix::makes(own.flags()).then(|| Child {
                parent_tid,
                child_tid,
                stack: own.stack(),
                tls: own.tls() as usize,
            })
        }
        _ => None,
    }
}

/// Serves the call whose registers are in `frame`; these then say how the program goes on.
///
/// # Safety
/// Only `hrt_upcall` may call this, with the frame that it has just saved on the program's stack.
pub unsafe extern "C" fn hrt_serve_upcall(frame: *mut Frame) {
    // SAFETY: the caller's promise: a complete frame, used by nobody else.
    let f = unsafe { &mut *frame };
    let Some(slot) = Slot::containing(f.slot as usize) else {
        report::fatal("the kernel was entered from nowhere");
    };
    let number = f.nr as u32 as usize;
    let args = f.args();
    // SAFETY: the data of a slot in use is complete.
    let (ret, again) = unsafe {
        let site = slot.site();
        let known = u64::from((*site).nr) == f.nr;
        (
            (*site).ret,
            if known { (*site).resume } else { (*site).site },
        )
    };
    let next = match child(number, &args) {
        Some(child) => {
            let mut first = *f;
            first.rax = 0;
            first.rsp = child.stack as u64;
            first.target = ret as u64;
            let write = |at: usize| {
                // SAFETY: room on the child's stack, which nobody uses yet.
                unsafe { (at as *mut Frame).write(first) };
            };
            // SAFETY: `begin` goes on with that frame.
            Next::Done(
                match unsafe { posix::create(&child, FRAME_SIZE, write, begin) } {
                    Ok(tid) => tid as isize,
                    Err(e) => e,
                },
            )
        }
        None => posix::serve(number, &args),
    };
    let (rax, target) = match next {
        Next::Done(r) => (r as u64, ret),
        Next::Forward => {
            // SAFETY: the calling thread's own.
            unsafe { (*local()).forward = 1 };
            (f.nr, slot.syscall())
        }
        Next::Again => (f.nr, again),
    };
    f.rax = rax;
    f.target = target as u64;
}

/// A new thread's first steps: it returns from its parent's call.
unsafe extern "C" fn begin(t: usize) -> ! {
    groups::arrived();
    // SAFETY: the record of the thread that executes, whose stack's first use is the frame there.
    unsafe {
        let at = (*(t as *mut Thread)).top;
        if observe::is_guest() {
            frame::hrt_kvm_upcall_resume(at)
        } else {
            frame::hrt_upcall_resume(at)
        }
    }
}
