//! The `hosted` platform: the HRT kernel as a library OS in ring 3 of the process itself.
//!
//! Every system call of the program reaches the kernel: Syscall User Dispatch (Linux,
//! `Documentation/admin-guide/syscall-user-dispatch.rst`) traps each call made outside the payload, and the trap gives the
//! call site a *slot* ([`slots`]) and patches the site to jump there ([`patch`]). Calls that are just forwarded never
//! leave the slot; others enter the kernel ([`frame`], [`dispatch`]) on the thread's kernel stack ([`block`]).

mod block;
mod dispatch;
mod frame;
mod modules;
mod observe;
mod patch;
mod signals;
mod slots;
mod threads;
mod user;

use crate::entry::Context;
use crate::raw::{self, errno, nr};
use crate::start::at;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use hrt_kernel::platform::{Machine, Platform};

/// Load address of the payload's image.
pub static IMAGE: AtomicUsize = AtomicUsize::new(0);
/// Size of the payload's image in memory, in bytes.
pub static IMAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// The program has put itself in a seccomp jail: the kernel makes no system call of its own accord any more.
pub static CONFINED: AtomicBool = AtomicBool::new(false);
/// `wrgsbase` may be used (AT_HWCAP2, `HWCAP2_FSGSBASE`).
static FSGSBASE: AtomicBool = AtomicBool::new(false);

const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
const ARCH_SET_GS: usize = 0x1001;

/// Address at which call slots enter the kernel.
#[must_use]
pub fn kernel_entry() -> usize {
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

/// Points the calling thread's GS base at its block.
fn set_gs(b: *mut block::Block) -> isize {
    if FSGSBASE.load(Ordering::Relaxed) {
        // SAFETY: Linux says that the instruction is there; nothing but the kernel uses GS.
        unsafe {
            core::arch::asm!("wrgsbase {}", in(reg) b, options(nostack, preserves_flags));
        }
        return 0;
    }
    // SAFETY: nothing but the kernel uses GS.
    unsafe { raw::syscall4(nr::ARCH_PRCTL, ARCH_SET_GS, b as usize, 0, 0) }
}

/// True if the calling thread is the only one of its process.
fn single_threaded() -> bool {
    const CLONE_THREAD: usize = 0x1_0000;
    // unshare(2): "If CLONE_THREAD is specified, the caller must be single-threaded"; nothing else happens.
    // SAFETY: changes nothing.
    let r = unsafe { raw::syscall4(nr::UNSHARE, CLONE_THREAD, 0, 0, 0) };
    if r == 0 || r == raw::err(errno::EINVAL) {
        return r == 0;
    }
    // A jail forbids unshare: count the links of the directory of threads.
    let mut stat = [0u64; 18];
    // SAFETY: struct stat is 144 bytes.
    let r = unsafe {
        raw::syscall4(
            nr::STAT,
            c"/proc/self/task".as_ptr() as usize,
            (&raw mut stat) as usize,
            0,
            0,
        )
    };
    r == 0 && stat[2] == 3 // st_nlink: ".", "..", and one thread
}

/// See the module.
pub struct Hosted;

impl Machine for Hosted {
    const PLATFORM: Platform = Platform::Hosted;
    type Start = Context;

    fn hybridize(&self, context: &Context) -> Result<(), &'static str> {
        if !single_threaded() {
            return Err("the process has more than one thread before the program starts");
        }
        IMAGE.store(context.base, Ordering::Relaxed);
        IMAGE_SIZE.store(context.size, Ordering::Relaxed);
        FSGSBASE.store(
            context.start.aux(at::HWCAP2).unwrap_or(0) & 2 != 0,
            Ordering::Relaxed,
        );
        let b = block::take().map_err(|_| "no memory for the kernel's stack")?;
        // SAFETY: the block is ours.
        unsafe { ((*b).pid, (*b).tid) = raw::ids() };
        if set_gs(b) != 0 {
            return Err("Linux refuses to set the GS base");
        }
        // The dispatch is turned on before anything else is changed: it is what may be missing. Until the first
        // instruction of the program nothing outside the payload makes a system call.
        if dispatch_on() != 0 {
            // SAFETY: no thread runs on the block.
            unsafe { block::give_back(b) };
            return Err("Linux has no Syscall User Dispatch here (it came with Linux 5.11)");
        }
        observe::init(&context.settings);
        slots::init();
        if !context.settings.patch {
            patch::ENABLED.store(false, Ordering::Relaxed);
        }
        {
            let lock = slots::lock();
            modules::init(&context.start, &lock);
        }
        if signals::init(b) != 0 {
            dispatch_off();
            return Err("Linux refuses a handler for SIGSYS");
        }
        name_memory(context);
        Ok(())
    }
}

/// Names the payload's memory in /proc/PID/maps, where Linux can (PR_SET_VMA_ANON_NAME, Linux 5.17).
fn name_memory(context: &Context) {
    const PR_SET_VMA: usize = 0x5356_4d41;
    // SAFETY: gives a name to our own memory.
    unsafe {
        raw::syscall6(
            nr::PRCTL,
            [
                PR_SET_VMA,
                0,
                context.base,
                context.size,
                c"hrt-kernel".as_ptr() as usize,
                0,
            ],
        )
    };
}
