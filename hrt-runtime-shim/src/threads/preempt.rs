//! Preemption: a kernel thread that has computed for its slice, while others of its group could execute, gives its carrier to them.
//!
//! The monitor arms a timer of the carrier's own processor time, whose signal is the kernel's. Linux looks at such timers at its tick, but lets them
//! go off where the thread returns to user mode (CONFIG_POSIX_CPU_TIMERS_TASK_WORK, which x86-64 has had since Linux 5.9): so the signal is never sent to a thread
//! that waits, and a system call has ended before it comes. No call fails or starts again because of it.
//!
//! The signal's frame keeps all of the thread's state, as for any handler. It is moved to the thread's stack, below the red zone, and [`hrt_preempted`] is its
//! handler: it lets others execute, and returns from the signal when it is the thread's turn again, perhaps on another carrier.
//!
//! # When
//! Only in code of the program's, outside of the kernel's text and of handlers, with signals neither deferred nor masked otherwise than the thread has them; and only
//! threads that share no thread-local variable with others: those of the set `pthread`, those with libc's thread area, and those that say they use none. A thread that
//! is not one to preempt is left to the monitor's other rule: its group gets a second carrier.

use super::groups;
use super::thread::{self, Thread};
use super::{current, leave_with_signals, local, posix};
use crate::hosted::frame::KEEP_STACK;
use crate::kernel::actions::{self, NO_ACTION, SIG_DFL};
use crate::kernel::block::{self, Block};
use crate::kernel::{Action, CONFINED, IMAGE, IMAGE_SIZE, observe, user};
use crate::raw::{self, errno};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The kernel's signal: the last one, which nothing uses.
pub const SIGNAL: usize = 64;
/// Its bit in a signal set.
const BIT: u64 = 1 << (SIGNAL - 1);
/// `si_code` of a timer's signal (sigaction(2)).
const SI_TIMER: i32 = -2;
/// Its value: "HRTP".
const VALUE: u64 = 0x4852_5450;

/// The slice in microseconds; 0: none.
#[unsafe(link_section = ".bss.hrt_shared")]
static SLICE: AtomicU32 = AtomicU32::new(0);
/// The signal is the kernel's.
#[unsafe(link_section = ".bss.hrt_shared")]
static TAKEN: AtomicBool = AtomicBool::new(false);
/// The program has taken the signal for itself.
#[unsafe(link_section = ".bss.hrt_shared")]
static GIVEN_UP: AtomicBool = AtomicBool::new(false);
/// Times that a thread was preempted.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static PREEMPTED: AtomicU64 = AtomicU64::new(0);

/// What Linux is told for the signal.
struct Entry(UnsafeCell<Action>);
// SAFETY: written at start only, when there is one thread.
unsafe impl Sync for Entry {}
static ENTRY: Entry = Entry(UnsafeCell::new(NO_ACTION));

/// At start: where the signal enters the kernel, and the slice that was asked for, in microseconds.
pub fn init(entry: &Action, us: u32) {
    // SAFETY: one thread, at start.
    unsafe { *ENTRY.0.get() = *entry };
    if us != 0 && take() == 0 {
        SLICE.store(us, Ordering::Relaxed);
    }
}

/// Makes the signal the kernel's; not for code that runs in the guest. Returns 0, or EBUSY if it is in use.
pub fn take() -> isize {
    if GIVEN_UP.load(Ordering::Relaxed) || CONFINED.load(Ordering::Relaxed) {
        return raw::err(errno::EBUSY);
    }
    if TAKEN.load(Ordering::Relaxed) {
        return 0;
    }
    let mut held = NO_ACTION;
    actions::raw_sigaction(SIGNAL, core::ptr::null(), &raw mut held);
    if held.handler != SIG_DFL {
        return raw::err(errno::EBUSY);
    }
    TAKEN.store(true, Ordering::SeqCst);
    let r = actions::raw_sigaction(SIGNAL, ENTRY.0.get(), core::ptr::null_mut());
    raw::sigmask(raw::SIG_UNBLOCK, BIT);
    r
}

/// Sets the slice, in microseconds; 0: none. Returns 0, or a negative error number.
pub fn set(us: u32) -> isize {
    if us != 0 {
        let r = if observe::is_guest() {
            // SAFETY: touches no memory of the program's.
            unsafe { raw::syscall4(hrt_abi::api::CALL, hrt_abi::api::op::PREEMPT, 0, 0, 0) }
        } else {
            take()
        };
        if r != 0 {
            return r;
        }
    }
    SLICE.store(us, Ordering::Relaxed);
    0
}

/// The slice in looks of the monitor's; `None` if nothing is preempted.
pub fn looks() -> Option<u32> {
    let us = SLICE.load(Ordering::Relaxed);
    (us != 0 && !CONFINED.load(Ordering::Relaxed)).then(|| us.div_ceil(1000))
}

/// Signals that are not really blocked on the program's behalf.
#[must_use]
pub fn keeps() -> u64 {
    if TAKEN.load(Ordering::Relaxed) {
        BIT
    } else {
        0
    }
}

/// rt_sigaction(2) for the program, with signal `sig` and a new action: true if that is served, the program having the default action before and after. A program
/// that wants the signal gets it, and no thread is preempted any more.
#[must_use]
pub fn hides(sig: usize, new: Option<&Action>) -> bool {
    if sig != SIGNAL || !TAKEN.load(Ordering::Relaxed) {
        return false;
    }
    if new.is_none_or(|a| a.handler == SIG_DFL) {
        return true;
    }
    // SAFETY: the calling thread's own block.
    if unsafe { (*block::current()).borrowed } == 0 {
        GIVEN_UP.store(true, Ordering::Relaxed);
        SLICE.store(0, Ordering::Relaxed);
        TAKEN.store(false, Ordering::Relaxed);
    }
    let default = NO_ACTION;
    actions::raw_sigaction(SIGNAL, &raw const default, core::ptr::null_mut());
    false
}

/// Makes a timer of the processor time of Linux thread `tid` (timer_create(2)); its id.
///
/// # Errors
/// What Linux says.
pub fn timer(tid: u32) -> Result<usize, isize> {
    const TIMER_CREATE: usize = 222;
    const THREAD_ID: u64 = 4; // SIGEV_THREAD_ID
    // struct sigevent: value, signal and how it is told, thread.
    let mut event = [0u64; 8];
    event[0] = VALUE;
    event[1] = SIGNAL as u64 | THREAD_ID << 32;
    event[2] = u64::from(tid);
    let mut id = 0i32;
    let (clock, at) = (groups::clock_of(tid), event.as_ptr() as usize);
    // SAFETY: reads the event and writes the id.
    let r = unsafe { raw::syscall4(TIMER_CREATE, clock, at, (&raw mut id) as usize, 0) };
    if r == 0 { Ok(id as usize) } else { Err(r) }
}

/// Lets timer `id` go off as soon as Linux looks at it; false if Linux refuses.
pub fn arm(id: usize) -> bool {
    const TIMER_SETTIME: usize = 223;
    // struct itimerspec: no period; after a nanosecond, so never at once, in a call that could then be disturbed.
    let when = [0usize, 0, 0, 1];
    // SAFETY: only reads the time.
    unsafe { raw::syscall4(TIMER_SETTIME, id, 0, when.as_ptr() as usize, 0) == 0 }
}

/// True if a siginfo says that it comes from such a timer.
///
/// # Safety
/// `info` must be a siginfo.
pub unsafe fn is_ours(info: *const i32) -> bool {
    // SAFETY: the caller's promise: number, error, code; the value follows at 24 bytes.
    unsafe { *info.add(2) == SI_TIMER && *info.add(6).cast::<u64>() == VALUE }
}

/// Bytes that are left below a frame for what is done on a preempted thread's stack.
const ROOM: usize = 4096;

/// The signal has come: true if the calling carrier's thread, which was interrupted at `rip` with stack pointer `rsp` and signal mask `mask`, is to be preempted. The
/// frame needs `size` bytes. Then `Local::inside` is set, and [`hrt_preempted`] is to be its handler.
pub fn decide(b: *mut Block, rip: usize, rsp: usize, mask: u64, size: usize) -> bool {
    let l = local();
    // SAFETY: the calling thread's own.
    unsafe {
        let t = (*l).thread;
        let Some(own) = groups::mask_now() else {
            return false;
        };
        if t.is_null() || (*t).linux || looks().is_none() || !groups::others_wait() {
            return false;
        }
        if !thread::can_be_preempted(t) {
            groups::refuse_mine();
            return false;
        }
        const NOT_BLOCKED: u64 = BIT | 1 << 30;
        if (*l).inside.load(Ordering::Relaxed) != 0
            || (*b).borrowed != 0
            || (mask ^ own) & !NOT_BLOCKED != 0
            || (*block::alt(b)).holds(rsp)
            || rip.wrapping_sub(IMAGE.load(Ordering::Relaxed)) < IMAGE_SIZE.load(Ordering::Relaxed)
            || !has_room(t, rsp, size + ROOM)
        {
            return false;
        }
        (*l).inside.store(1, Ordering::Relaxed);
        // It is no handler of the program's.
        (*b).signals.fetch_sub(1, Ordering::Relaxed);
    }
    true
}

/// True if thread `t` has `size` bytes of stack below its red zone.
///
/// # Safety
/// `t` must be the calling kernel thread.
unsafe fn has_room(t: *const Thread, rsp: usize, size: usize) -> bool {
    let lowest = rsp.wrapping_sub(128 + size);
    // SAFETY: the caller's promise.
    unsafe {
        if (*t).low != 0 && (*t).fiber.is_null() {
            // Not on a stack that the program has made for itself: a switch would not find it to be the thread's.
            return lowest > (*t).low + 512 && rsp <= (*t).top;
        }
    }
    user::can_read8(lowest & !7)
}

/// Words of a ucontext: the alternate signal stack's flags, and the mask.
const UC_STACK_FLAGS: usize = 3;
const UC_MASK: usize = 37;

/// The handler of the signal, on the thread's stack; what it returns to is the frame's.
///
/// # Safety
/// The frame must be one for which [`decide`] said yes.
pub unsafe extern "C" fn hrt_preempted(_: i32, _: *const i32, uc: *mut u64) {
    if groups::yield_now(current()) {
        PREEMPTED.fetch_add(1, Ordering::Relaxed);
    }
    posix::at_exit();
    let guest = observe::is_guest();
    // Outside of the guest nothing may come until the frame has been returned to: it then belongs to the carrier that executes now.
    let real = if guest {
        groups::mask_now().unwrap_or_default()
    } else {
        raw::set_sigmask(raw::ALL_SIGNALS)
    };
    let b = block::current();
    // SAFETY: the calling thread's own block; the frame is ours.
    unsafe {
        if !guest {
            // On `kvm` it is the thread's own there.
            *uc.add(UC_STACK_FLAGS) |= KEEP_STACK as u64;
        }
        let mask = if !guest && (*b).deferred != 0 {
            (*b).deferred = 0;
            (*b).deferred_mask
        } else {
            real
        };
        uc.add(UC_MASK).write(mask);
    }
    // In the guest they come at the return from the signal.
    leave_with_signals();
}
