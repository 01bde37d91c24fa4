//! The usage models beside the incremental one: *accelerator*, where the process is hybridized when the program asks for it; and *native*, where the
//! program is a function that the kernel calls.

use crate::entry::{Context, move_process};
use crate::raw::{self, errno, nr};
use crate::report::{self, Line};
use crate::threads::{self, switch, thread};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_kernel::threads::NEVER;

/// What the GS base of an accelerator's threads points at until `hrt_init` (`hrt.h`).
#[repr(C)]
struct Late {
    magic: [u8; 8],
    init: extern "C" fn() -> isize,
}
const _: () = assert!(size_of::<Late>() == 16);

static LATE: Late = Late {
    magic: *b"HRTLATE\x01",
    init,
};

struct Kept(UnsafeCell<Option<Context>>);
// SAFETY: written at start, and read by `init`, which lets no second thread in.
unsafe impl Sync for Kept {}
static KEPT: Kept = Kept(UnsafeCell::new(None));

/// The program starts as one of Linux's, and the kernel can be had by `hrt_init`.
pub fn wait_for_init(context: Context) {
    const ARCH_SET_GS: usize = 0x1001;
    // SAFETY: one thread, at start; nothing uses GS yet.
    unsafe {
        *KEPT.0.get() = Some(context);
        raw::syscall4(
            nr::ARCH_PRCTL,
            ARCH_SET_GS,
            (&raw const LATE) as usize,
            0,
            0,
        );
    }
}

/// Sets the kernel up: the calling thread and its process are then as if they had been hybridized at start.
///
/// EBUSY if there is another thread; ENOTSUP where plain Linux is all there is.
extern "C" fn init() -> isize {
    if !crate::kernel::single_threaded() {
        return raw::err(errno::EBUSY);
    }
    // SAFETY: this is the only thread.
    let kept = unsafe { &mut *KEPT.0.get() };
    match kept.take() {
        Some(context) if move_process(&context).is_ok() => 0,
        _ => raw::err(errno::ENOSYS),
    }
}

/// Ends a native program that finds no kernel.
pub fn needs_kernel(why: &str) -> ! {
    let mut line: Line = Line::new();
    let _ = writeln!(
        line,
        "multiverse: the program is written for the HRT kernel alone, which cannot run: {why}"
    );
    raw::write_all(2, line.bytes());
    raw::exit_group(report::EXIT_CANNOT_RUN)
}

unsafe extern "C" {
    /// Entry of a native program, with the initial stack.
    fn hrt_native_start();
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_native_start
hrt_native_start:
    movq    %rsp, %rdi
    xorl    %ebp, %ebp
    andq    $-16, %rsp
    call    {main}
    ud2
    "#,
    main = sym native_main,
    options(att_syntax)
);

/// `hrt_main`.
static MAIN: AtomicUsize = AtomicUsize::new(0);
/// Bytes of its stack.
const MAIN_STACK: usize = 1024 * 1024;

/// Where a native program whose `hrt_main` is at `main` starts.
pub fn native(main: usize) -> usize {
    MAIN.store(main, Ordering::Relaxed);
    hrt_native_start as *const () as usize
}

/// The process's first thread: makes the kernel thread that is the program, and ends the process when that ends.
///
/// # Safety
/// Only `hrt_native_start` may call this, with the initial stack.
unsafe extern "C" fn native_main(sp: *const usize) -> ! {
    let made = match threads::enter() {
        // SAFETY: the stack is the process's for ever. `inside` is held while the kernel works.
        Some(_inside) => thread::create(
            native_thread as *const () as usize,
            sp as usize,
            0,
            MAIN_STACK,
        )
        // SAFETY: the thread was just made.
        .and_then(|t| unsafe { thread::join(t as usize, NEVER) }),
        None => Err(raw::err(errno::EBUSY)),
    };
    match made {
        // SAFETY: ends the process.
        Ok(status) => unsafe { switch::hrt_exit_group(status as i32) },
        Err(_) => needs_kernel("no thread can be made"),
    }
}

/// # Safety
/// `sp` must be the initial stack.
unsafe extern "C" fn native_thread(sp: usize) -> usize {
    let sp = sp as *const usize;
    // SAFETY: argc, then that many arguments and a null, then the environment; the program's `hrt_main` takes these.
    unsafe {
        let argc = *sp;
        let argv = sp.add(1);
        let main: unsafe extern "C" fn(i32, *const usize, *const usize) -> i32 =
            core::mem::transmute(MAIN.load(Ordering::Relaxed));
        main(argc as i32, argv, argv.add(argc + 1)) as usize
    }
}
