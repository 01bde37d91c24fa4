//! The `hosted` platform: the HRT kernel as a library OS in ring 3 of the process itself.
//!
//! Every system call of the program reaches the kernel: Syscall User Dispatch (Linux,
//! `Documentation/admin-guide/syscall-user-dispatch.rst`) traps each call made outside the payload, and the trap gives the
//! call site a *slot* (`kernel::slots`) and patches the site to jump there (`kernel::patch`). Calls that are just forwarded never
//! leave the slot; others enter the kernel ([`frame`], [`dispatch`]) on the thread's kernel stack (`kernel::block`).

mod dispatch;
pub(crate) mod frame;
mod signals;
mod threads;
pub(crate) mod upcall;

use crate::entry::Context;
use crate::kernel::{
    IMAGE, IMAGE_SIZE, begin, name_memory, observe, overrides, policy, set_up, undo,
};
use crate::raw::{self, nr};
use core::sync::atomic::Ordering;
use hrt_kernel::classes::Class;
use hrt_kernel::platform::{Machine, Platform};

const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;

/// Address at which call slots enter the kernel.
fn kernel_entry() -> usize {
    frame::hrt_kernel_entry as *const () as usize
}

/// Turns Syscall User Dispatch on for the calling thread, with the payload's image excluded; it is off in a new thread.
fn dispatch_on() -> isize {
    let (image, size) = (
        IMAGE.load(Ordering::Relaxed),
        IMAGE_SIZE.load(Ordering::Relaxed),
    );
    // SAFETY: no selector byte is given; calls from the payload's text go on as before.
    unsafe {
        raw::syscall6(
            nr::PRCTL,
            [PR_SET_SYSCALL_USER_DISPATCH, 1, image, size, 0, 0],
        )
    }
}

/// Turns it off again for the calling thread.
fn dispatch_off() {
    // SAFETY: calls that no slot serves go to Linux from now on.
    unsafe { raw::syscall6(nr::PRCTL, [PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0, 0]) };
}

/// See the module.
pub struct Hosted;

impl Machine for Hosted {
    const PLATFORM: Platform = Platform::Hosted;
    type Start = Context;

    fn hybridize(&self, context: &Context) -> Result<(), &'static str> {
        let b = begin(context)?;
        // The dispatch is turned on before anything else is changed: it is what may be missing. Until the first
        // instruction of the program nothing outside the payload makes a system call.
        if dispatch_on() != 0 {
            // SAFETY: no thread runs on the block.
            unsafe { undo() };
            return Err("Linux has no Syscall User Dispatch here (it came with Linux 5.11)");
        }
        crate::threads::posix::init(context.config.threads() && context.settings.overrides);
        crate::kernel::slots::set_upcall(frame::hrt_upcall as *const () as usize);
        // When a report or a trace was asked for, every call goes through the kernel.
        set_up(Self::PLATFORM, context, kernel_entry(), |n| {
            !observe::observed() && policy::class(n) == Class::Forward
        });
        if signals::init(b) != 0 {
            dispatch_off();
            // SAFETY: no thread runs on the block.
            unsafe { undo() };
            return Err("Linux refuses a handler for SIGSYS");
        }
        let wanted = context.settings.channel && context.config.channel();
        crate::channel::init(b, wanted, false);
        crate::threads::preempt::init(&signals::own_action(), context.preempt());
        overrides::apply(context);
        name_memory();
        Ok(())
    }
}
