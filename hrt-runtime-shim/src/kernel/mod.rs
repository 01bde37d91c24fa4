//! What the kernel consists of on every platform: per-thread blocks, call slots, patched sites, reports.

pub mod actions;
pub mod api;
pub mod asm;
pub mod block;
mod budget;
pub mod children;
pub mod config;
mod huge;
pub mod jail;
pub mod memory;
pub mod modules;
pub mod objects;
pub mod observe;
pub mod overrides;
pub mod patch;
pub mod policy;
pub mod slots;
pub mod spin;
pub mod user;

use crate::entry::Context;
use crate::functions;
use crate::raw::{self, errno, nr};
use crate::start::at;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::platform::Platform;
use hrt_kernel::settings::Memory;

/// Load address of the payload's image.
pub static IMAGE: AtomicUsize = AtomicUsize::new(0);
/// Size of the payload's image in memory, in bytes.
pub static IMAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// The program has put itself in a seccomp jail: the kernel makes no system call of its own accord any more.
pub static CONFINED: AtomicBool = AtomicBool::new(false);
/// `wrgsbase` may be used (AT_HWCAP2, `HWCAP2_FSGSBASE`).
pub static FSGSBASE: AtomicBool = AtomicBool::new(false);
/// Threads that were ever started in this process, the first one included.
pub static STARTED: AtomicU64 = AtomicU64::new(1);
/// Calls that trapped on their way to the kernel, because their site was not patched.
pub static TRAPS: AtomicU64 = AtomicU64::new(0);

const ARCH_SET_GS: usize = 0x1001;

/// The kernel's `struct sigaction` on x86-64.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// `sa_handler` or `sa_sigaction`.
    pub handler: usize,
    /// `sa_flags`.
    pub flags: u64,
    /// `sa_restorer`.
    pub restorer: usize,
    /// `sa_mask`.
    pub mask: u64,
}
const _: () = assert!(size_of::<Action>() == 32);

/// The part of the image that kernel functions write, which execute in the program's place.
#[must_use]
pub fn shared() -> core::ops::Range<usize> {
    #[cfg(feature = "payload")]
    {
        unsafe extern "C" {
            static __hrt_shared: u8;
            static __hrt_shared_end: u8;
        }
        (&raw const __hrt_shared) as usize..(&raw const __hrt_shared_end) as usize
    }
    #[cfg(not(feature = "payload"))]
    {
        0..0
    }
}

/// The part of the image that nobody writes.
#[must_use]
pub fn constant() -> core::ops::Range<usize> {
    #[cfg(feature = "payload")]
    {
        unsafe extern "C" {
            static __hrt_image: u8;
            static __hrt_data_start: u8;
        }
        (&raw const __hrt_image) as usize..(&raw const __hrt_data_start) as usize
    }
    #[cfg(not(feature = "payload"))]
    {
        0..0
    }
}

/// Points the calling thread's GS base at its block; null makes it what it is in a new process.
pub fn set_gs(b: *mut block::Block) -> isize {
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

/// What every platform begins with: the first thread's block, with the GS base at it.
///
/// # Errors
/// Why that cannot be; nothing has changed then.
pub fn begin(context: &Context) -> Result<*mut block::Block, &'static str> {
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
        // SAFETY: the block was just taken.
        unsafe { block::discard() };
        return Err("Linux refuses to set the GS base");
    }
    Ok(b)
}

/// Sets up what every platform has: reports, call slots, which enter the kernel at `entry` for the numbers that are not
/// `direct`, and the code that may be patched.
pub fn set_up(platform: Platform, context: &Context, entry: usize, direct: impl Fn(usize) -> bool) {
    observe::init(platform, &context.settings);
    policy::init(&context.config);
    slots::init(entry, direct);
    let built = context.config.memory();
    memory::init(context.settings.memory.or(built).unwrap_or(Memory::Arena));
    if !context.settings.patch {
        patch::ENABLED.store(false, Ordering::Relaxed);
    }
    let lock = slots::lock();
    modules::init(&context.start, &lock);
    crate::threads::init(&lock);
    crate::channel::posts::init(&lock);
    functions::init(&context.start);
}

/// Undoes [`begin`].
///
/// # Safety
/// Nothing may use a block any more.
pub unsafe fn undo() {
    set_gs(core::ptr::null_mut());
    // SAFETY: the caller's promise; there is one thread.
    unsafe { block::discard() };
}

/// True if the calling thread is the only one of its process.
#[must_use]
pub fn single_threaded() -> bool {
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

/// Names the payload's memory in /proc/PID/maps, where Linux can (PR_SET_VMA_ANON_NAME, Linux 5.17).
pub fn name_memory() {
    const PR_SET_VMA: usize = 0x5356_4d41;
    // SAFETY: gives a name to our own memory.
    unsafe {
        raw::syscall6(
            nr::PRCTL,
            [
                PR_SET_VMA,
                0,
                IMAGE.load(Ordering::Relaxed),
                IMAGE_SIZE.load(Ordering::Relaxed),
                c"hrt-kernel".as_ptr() as usize,
                0,
            ],
        )
    };
}
