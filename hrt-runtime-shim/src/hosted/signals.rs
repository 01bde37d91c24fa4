//! Signals: the program's handlers are entered through the kernel, so that a handler sees a context of the program
//! wherever the thread was; SIGSYS, which Syscall User Dispatch uses, is kept for the program beside that use.
//!
//! Linux stays the owner of dispositions. What it holds as a handler is the address of one of our entries, each of
//! which stands for one immutable tuple (handler, flags, restorer, mask). So fork, vfork, exec and `clone` with or
//! without shared handlers need no care.

use super::dispatch;
use super::frame::{self, Spill};
use crate::kernel::actions::{
    self, NO_ACTION, SIG_DFL, SIG_IGN, die_by, entry, entry_at, flag, raw_sigaction, unwrap,
};
use crate::kernel::asm::hrt_restorer;
use crate::kernel::block::real_signal_stack;
use crate::kernel::block::{self, Block};
use crate::kernel::slots::{self, Slot};
use crate::kernel::{Action, IMAGE, memory, patch, user};
use crate::raw::{self, nr};
use crate::report;
use crate::threads::{posix, preempt};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::Ordering;

/// SIGSYS (signal(7)).
pub const SIGSYS: usize = 31;
/// The bit of SIGSYS in a signal set.
pub const SIGSYS_BIT: u64 = 1 << (SIGSYS - 1);
/// `si_code` of Syscall User Dispatch (`include/uapi/asm-generic/siginfo.h`).
const SYS_USER_DISPATCH: i32 = 2;

/// `si_code` of SIGSEGV (sigaction(2)): nothing is mapped, or not for that.
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// The program's disposition of SIGSYS.
static SIGSYS_ACTION: SharedAction = SharedAction(UnsafeCell::new(NO_ACTION));
struct SharedAction(UnsafeCell<Action>);
// SAFETY: read and written under the slots' lock.
unsafe impl Sync for SharedAction {}

/// What Linux is told for `action`, tuple number `i`.
fn wrapped(action: &Action, i: usize) -> Action {
    Action {
        handler: entry(i),
        // Without that Linux leaves the siginfo out, at which the entry looks.
        flags: action.flags | flag::SIGINFO,
        restorer: if action.flags & flag::RESTORER != 0 {
            hrt_restorer as *const () as usize
        } else {
            action.restorer
        },
        // A handler on a signal stack is entered with all signals blocked: its frame is moved first.
        mask: if action.flags & flag::ONSTACK != 0 {
            raw::ALL_SIGNALS & !SIGSYS_BIT
        } else {
            action.mask & !SIGSYS_BIT
        },
    }
}

/// What Linux is told for the program's `action`.
fn wrap(action: &Action) -> Action {
    if action.handler == SIG_DFL || action.handler == SIG_IGN {
        return Action {
            mask: action.mask & !SIGSYS_BIT,
            ..*action
        };
    }
    match actions::number(action) {
        Some(i) => wrapped(action, i),
        // Entered by Linux directly.
        None => Action {
            mask: action.mask & !SIGSYS_BIT,
            ..*action
        },
    }
}

/// rt_sigaction(2) for the program.
pub fn sigaction(sig: usize, new: usize, old: usize, size: usize) -> isize {
    if size != 8 {
        // SAFETY: Linux refuses it.
        return unsafe { raw::syscall4(nr::RT_SIGACTION, sig, new, old, size) };
    }
    let mut action = NO_ACTION;
    if new != 0 {
        let Some(told) = user::get(new) else {
            return raw::err(raw::errno::EFAULT);
        };
        action = told;
        actions::normalize(&mut action);
    }
    let mut previous = NO_ACTION;
    if preempt::hides(sig, (new != 0).then_some(&action)) {
        // As it was.
    } else if sig == SIGSYS {
        let lock = slots::lock();
        // SAFETY: the lock is held.
        let held = unsafe { &mut *SIGSYS_ACTION.0.get() };
        previous = *held;
        // SAFETY: the calling thread's own block.
        let borrowed = unsafe { (*block::current()).borrowed } != 0;
        // A vfork child has dispositions of its own, but not a memory of its own.
        if new != 0 && !borrowed {
            *held = action;
        }
        drop(lock);
    } else {
        let told = wrap(&action);
        let new = if new == 0 {
            core::ptr::null()
        } else {
            &raw const told
        };
        let r = raw_sigaction(sig, new, &raw mut previous);
        if r != 0 {
            return r;
        }
        previous = unwrap(&previous);
    }
    if old != 0 && !user::put(old, &previous) {
        return raw::err(raw::errno::EFAULT);
    }
    0
}

/// rt_sigprocmask(2) for the program: SIGSYS is never really blocked, but the program sees it as it wants. `None` if a signal was
/// deferred before the mask could be changed: it comes first, and then the call is made again. (While it waits the real mask is not the
/// program's.)
pub fn sigprocmask(how: usize, set: usize, old: usize, size: usize) -> Option<isize> {
    let b = block::current();
    // The set is read first only where the answer could overwrite it.
    let overlaps = set != 0 && old != 0 && set.abs_diff(old) < 8;
    let mut mask = 0u64;
    if overlaps {
        let Some(told) = user::get(set).filter(|_| size == 8) else {
            // SAFETY: Linux answers with the error.
            return Some(unsafe { raw::syscall4(nr::RT_SIGPROCMASK, how, set, old, size) });
        };
        mask = told;
    }
    if size != 8 {
        return Some(raw::err(raw::errno::EINVAL));
    }
    // SAFETY: a signal mask is the thread's own affair.
    let r = unsafe { frame::hrt_mask_call(how, set, old) };
    if r == frame::NOT_MADE {
        return None;
    }
    if r != 0 {
        return Some(r);
    }
    if set != 0 && !overlaps {
        // SAFETY: Linux has just read it.
        mask = unsafe { (set as *const u64).read_unaligned() };
    }
    // SAFETY: the calling thread's own block.
    let was = unsafe { (*b).sigsys_blocked };
    if set != 0 {
        let named = mask & SIGSYS_BIT != 0;
        let now = match how {
            raw::SIG_BLOCK if named => 1,
            raw::SIG_UNBLOCK if named => 0,
            raw::SIG_SETMASK => u32::from(named),
            _ => was,
        };
        // SAFETY: the calling thread's own block.
        unsafe {
            (*b).sigsys_blocked = now;
            if now == 0 && (*b).sigsys_pending != 0 {
                (*b).sigsys_pending = 0;
                let info = (*b).sigsys_info;
                // Comes at the exit from the kernel.
                actions::send_again(b, SIGSYS, info.as_ptr().cast());
            }
        }
        let kept = mask & preempt::keeps();
        if (named || kept != 0) && how != raw::SIG_UNBLOCK {
            raw::sigmask(raw::SIG_UNBLOCK, SIGSYS_BIT | kept);
        }
    }
    if old != 0 && was != 0 {
        // SAFETY: Linux has just written it.
        unsafe { add_sigsys(old) };
    }
    Some(0)
}

/// Adds SIGSYS to the program's signal set at `at`.
///
/// # Safety
/// The set must be writable.
unsafe fn add_sigsys(at: usize) {
    let p = at as *mut u64;
    // SAFETY: the caller's promise.
    unsafe { p.write_unaligned(p.read_unaligned() | SIGSYS_BIT) };
}

/// rt_sigpending(2) for the program.
pub fn sigpending(b: *mut Block, set: usize, size: usize) -> isize {
    // SAFETY: Linux checks the address.
    let r = unsafe { raw::syscall4(nr::RT_SIGPENDING, set, size, 0, 0) };
    // SAFETY: Linux has just written it; the block is the calling thread's own.
    unsafe {
        if r == 0 && size == 8 && (*b).sigsys_pending != 0 {
            add_sigsys(set);
        }
    }
    r
}

/// rt_sigtimedwait(2) for the program, as far as it concerns a SIGSYS that is kept; `None` if it does not.
pub fn sigtimedwait(b: *mut Block, set: usize, info: usize, size: usize) -> Option<isize> {
    // SAFETY: the calling thread's own block.
    unsafe {
        if (*b).sigsys_pending == 0 || size != 8 || user::get::<u64>(set)? & SIGSYS_BIT == 0 {
            return None;
        }
        let kept = (*b).sigsys_info;
        (*b).sigsys_pending = 0;
        if info != 0 && !user::put(info, &kept) {
            return Some(raw::err(raw::errno::EFAULT));
        }
        Some(SIGSYS as isize)
    }
}

/// Before an exec: makes the program's view of SIGSYS the real one. Returns false if there is nothing to do.
pub fn before_exec() -> bool {
    let b = block::current();
    let lock = slots::lock();
    // SAFETY: the lock is held.
    let ignored = unsafe { (*SIGSYS_ACTION.0.get()).handler } == SIG_IGN;
    drop(lock);
    // SAFETY: the calling thread's own block.
    let blocked = unsafe { (*b).sigsys_blocked } != 0;
    if !ignored && !blocked {
        return false;
    }
    if blocked {
        // The kernel makes no dispatched call until `after_failed_exec`.
        raw::sigmask(raw::SIG_BLOCK, SIGSYS_BIT);
    }
    if ignored {
        let ign = Action {
            handler: SIG_IGN,
            ..NO_ACTION
        };
        raw_sigaction(SIGSYS, &raw const ign, core::ptr::null_mut());
    }
    true
}

/// After an exec that failed: SIGSYS is the kernel's again.
pub fn after_failed_exec() {
    install();
    raw::sigmask(raw::SIG_UNBLOCK, SIGSYS_BIT);
}

/// What Linux is told for the kernel's own signals.
pub(super) fn own_action() -> Action {
    Action {
        handler: frame::hrt_sigsys as *const () as usize,
        flags: flag::SIGINFO | flag::ONSTACK | flag::RESTORER | flag::NODEFER | flag::RESTART,
        restorer: hrt_restorer as *const () as usize,
        mask: raw::ALL_SIGNALS,
    }
}

pub(super) fn install() -> isize {
    let action = own_action();
    raw_sigaction(SIGSYS, &raw const action, core::ptr::null_mut())
}

/// In a new process without handlers (CLONE_CLEAR_SIGHAND): SIGSYS is the kernel's all the same.
pub(super) fn reset() {
    let lock = slots::lock();
    // SAFETY: the lock is held.
    let held = unsafe { &mut *SIGSYS_ACTION.0.get() };
    if held.handler != SIG_IGN {
        *held = NO_ACTION;
    }
    drop(lock);
    install();
}

/// Takes SIGSYS, keeping its disposition and mask as the program inherited them. If that fails, nothing has changed.
pub fn init(b: *mut Block) -> isize {
    actions::init(frame::hrt_signal_entries as *const () as usize);
    let mut inherited = NO_ACTION;
    let r = raw_sigaction(SIGSYS, core::ptr::null(), &raw mut inherited);
    if r != 0 {
        return r;
    }
    // SAFETY: one thread, at start.
    unsafe { *SIGSYS_ACTION.0.get() = inherited };
    // SAFETY: one thread, at start.
    unsafe { *block::alt(b) = real_signal_stack() };
    let r = set_signal_stack(b);
    if r != 0 {
        return r;
    }
    let r = install();
    if r != 0 {
        // SAFETY: one thread, at start; the stack is the one that Linux held before.
        unsafe { raw::syscall4(nr::SIGALTSTACK, block::alt(b) as usize, 0, 0, 0) };
        return r;
    }
    // Handlers that constructors of libraries have installed are entered through the kernel from now on, too.
    actions::replace_handlers(|sig, held| (sig != SIGSYS).then(|| wrap(held)));
    let old = raw::sigmask(raw::SIG_UNBLOCK, SIGSYS_BIT);
    // SAFETY: one thread, at start.
    unsafe { (*b).sigsys_blocked = u32::from(old & SIGSYS_BIT != 0) };
    0
}

/// The part of a signal frame's context that the kernel reads and writes (`ucontext_t` of the kernel:
/// `arch/x86/include/uapi/asm/ucontext.h`, `sigcontext.h`).
pub struct Context(*mut u64);

#[allow(missing_docs)]
pub mod reg {
    pub const R8: usize = 0;
    pub const R9: usize = 1;
    pub const R10: usize = 2;
    pub const R12: usize = 4;
    pub const RDI: usize = 8;
    pub const RSI: usize = 9;
    pub const RBP: usize = 10;
    pub const RBX: usize = 11;
    pub const RDX: usize = 12;
    pub const RAX: usize = 13;
    pub const RCX: usize = 14;
    pub const RSP: usize = 15;
    pub const RIP: usize = 16;
}

impl Context {
    /// Register `r`.
    #[must_use]
    pub fn get(&self, r: usize) -> u64 {
        // SAFETY: the registers start five words into the ucontext of a live signal frame.
        unsafe { self.0.add(5 + r).read() }
    }

    /// Sets register `r`.
    pub fn set(&self, r: usize, value: u64) {
        // SAFETY: as for `get`.
        unsafe { self.0.add(5 + r).write(value) }
    }

    /// The mask that the return from the signal restores.
    #[must_use]
    pub fn mask(&self) -> u64 {
        // SAFETY: `uc_sigmask` follows five words and `mcontext_t`'s 32.
        unsafe { self.0.add(37).read() }
    }

    /// Sets that mask.
    pub fn set_mask(&self, mask: u64) {
        // SAFETY: as for `mask`.
        unsafe { self.0.add(37).write(mask) }
    }
}

/// The context that a handler's entry was interrupted with before it had looked at that, if `c` is one of such an entry.
fn entered_from(c: &Context) -> Option<Context> {
    let at = |f: unsafe extern "C" fn()| f as *const () as usize;
    let rip = c.get(reg::RIP) as usize;
    if rip < entry(0) || rip >= at(frame::hrt_signal_masked) {
        return None;
    }
    let kept = rip >= at(frame::hrt_signal_kept);
    Some(Context(
        c.get(if kept { reg::R12 } else { reg::RDX }) as *mut u64
    ))
}

/// Moves a context that was interrupted in a call slot, or in the kernel's first or last instructions, to where the
/// program is. Does nothing to other contexts.
fn program_context(b: *mut Block, c: &Context) {
    let at = |f: unsafe extern "C" fn()| f as *const () as usize;
    // The entry of another signal's handler: its context has not been put right yet, and what that takes is lost as soon as
    // the kernel is entered again.
    if let Some(inner) = entered_from(c) {
        if !on_kernel_stack(b, inner.get(reg::RSP)) {
            program_context(b, &inner);
        }
        return;
    }
    // Each step leads nearer to the program: exit window, replaced arguments, slot, program.
    for _ in 0..4 {
        let rip = c.get(reg::RIP) as usize;
        if let Some(to) = patch::island_target(rip) {
            // Nothing has been done.
            if let Some(slot) = Slot::containing(to) {
                c.set(reg::RIP, slot.not_entered(to) as u64);
            }
            return;
        }
        if let Some(slot) = Slot::containing(rip) {
            c.set(reg::RIP, slot.program_counter(rip, c.get(reg::RAX)) as u64);
            return;
        }
        let entry = at(frame::hrt_kernel_entry);
        if rip == entry || rip == entry + ENTRY_PREFIX {
            // Nothing has been done; the slot is in rcx.
            c.set(reg::RIP, c.get(reg::RCX) + slots::KERNEL as u64);
            continue;
        }
        if rip >= at(frame::hrt_window_start) && rip < at(frame::hrt_window_end) {
            // SAFETY: the calling thread's own block.
            unsafe {
                let flushed = at(frame::hrt_window_flushed)..at(frame::hrt_window_flushed_end);
                if flushed.contains(&rip) {
                    let save = (*b).save;
                    c.set(reg::RAX, save[0]);
                    c.set(reg::RDI, save[1]);
                    c.set(reg::RSI, save[2]);
                    c.set(reg::RDX, save[3]);
                    c.set(reg::R10, save[4]);
                }
                c.set(reg::RIP, (*b).target as u64);
            }
            continue;
        }
        let done = at(frame::hrt_spilled_return);
        let before = rip == at(frame::hrt_spilled_syscall);
        if before
            || rip == done
            || rip == done + SPILLED_PREFIX
            || rip == done + SPILLED_PREFIX + ENTRY_PREFIX
        {
            let rsp = c.get(reg::RSP) as usize;
            // SAFETY: at these instructions the stack pointer is at the spill that the kernel wrote there.
            let spill = unsafe { &*(rsp as *const Spill) };
            for (r, v) in [
                (reg::RDI, spill.args[0]),
                (reg::RSI, spill.args[1]),
                (reg::RDX, spill.args[2]),
                (reg::R10, spill.args[3]),
                (reg::R8, spill.args[4]),
                (reg::R9, spill.args[5]),
            ] {
                c.set(r, v);
            }
            let Some(slot) = Slot::containing(spill.slot as usize) else {
                return;
            };
            if !before {
                dispatch::trace_interrupted(spill, c.get(reg::RAX));
            }
            c.set(reg::RSP, (rsp + frame::SPILL_BELOW) as u64);
            let site = slot.site();
            // SAFETY: data of a slot in use is complete.
            let rip = unsafe {
                if !before {
                    (*site).ret
                } else if c.get(reg::RAX) == u64::from((*site).nr) {
                    (*site).resume
                } else {
                    (*site).site
                }
            };
            c.set(reg::RIP, rip as u64);
            return;
        }
        return;
    }
}

/// Bytes of the instruction with which the kernel's entry starts (`movq %rsp, %gs:disp32`).
const ENTRY_PREFIX: usize = 9;
/// Bytes of the instruction before that at `hrt_spilled_return` (`movq (%rsp), %rcx`).
const SPILLED_PREFIX: usize = 4;

/// True if signals are to wait for the exit from the kernel: on its stack, and while it works on the program's.
fn in_kernel(b: *mut Block, c: &Context) -> bool {
    let at = |f: unsafe extern "C" fn()| f as *const () as usize;
    let rip = c.get(reg::RIP) as usize;
    on_kernel_stack(b, c.get(reg::RSP))
        || (at(frame::hrt_upcall)..at(frame::hrt_upcall_end)).contains(&rip)
        || (at(frame::hrt_kernel_exit)..at(frame::hrt_window_start)).contains(&rip)
        || posix::works()
        // Two signals at once: the exit from an upcall is on the program's stack, and what it has left in the block would be lost.
        || entered_from(c).is_some_and(|inner| in_kernel(b, &inner))
}

fn on_kernel_stack(b: *mut Block, rsp: u64) -> bool {
    let low = b as usize;
    (low + block::KERNEL_STACK..=low + block::BLOCK_SIZE).contains(&(rsp as usize))
}

/// Word of a ucontext that holds the address of the floating-point state.
const FPSTATE: usize = 28;

/// The end of the signal frame whose ucontext is at `uc`.
///
/// # Safety
/// There must be one.
unsafe fn frame_end(uc: *mut u64) -> usize {
    const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
    // SAFETY: the caller's promise; `struct _fpstate` has its size in `sw_reserved`, at byte 464.
    unsafe {
        let fpstate = *uc.add(FPSTATE) as usize;
        if fpstate == 0 {
            uc as usize + 304 + 128
        } else if *((fpstate + 464) as *const u32) == FP_XSTATE_MAGIC1 {
            fpstate + *((fpstate + 468) as *const u32) as usize
        } else {
            fpstate + 512
        }
    }
}

/// Moves a signal frame from the thread's block to where Linux would have put it for the program; returns the distance.
///
/// The frame (`struct rt_sigframe`: return address, ucontext, siginfo) and the floating-point state that follows it are
/// one piece, which holds one pointer into itself, `uc_mcontext.fpstate`.
///
/// # Safety
/// `uc` must be that of a signal frame of the calling thread at its block's signal stack.
unsafe fn move_frame(b: *mut Block, uc: *mut u64, c: &Context, onstack: bool) -> usize {
    let start = uc as usize - 8;
    // SAFETY: the caller's promise.
    unsafe {
        let fpstate = *uc.add(FPSTATE) as usize;
        let end = frame_end(uc);
        let alt = *block::alt(b);
        let rsp = c.get(reg::RSP) as usize;
        let top = if onstack && alt.flags & block::SS_DISABLE == 0 && !alt.holds(rsp) {
            alt.sp + alt.size
        } else {
            rsp.wrapping_sub(128) // the red zone
        };
        // The same place within 64 bytes, which the floating-point state must be aligned to.
        let to = (top.wrapping_sub(end - start) & !63).wrapping_sub(64) + start % 64;
        (*b).moving = 1;
        core::ptr::copy_nonoverlapping(start as *const u8, to as *mut u8, end - start);
        let distance = to.wrapping_sub(start);
        if fpstate != 0 {
            *((uc as usize).wrapping_add(distance) as *mut u64).add(FPSTATE) =
                fpstate.wrapping_add(distance) as u64;
        }
        (*b).moving = 0;
        distance
    }
}

/// Points Linux to the block's signal stack.
pub fn set_signal_stack(b: *mut Block) -> isize {
    let own = block::own_signal_stack(b);
    // SAFETY: memory of the thread's own block, used by nothing else.
    unsafe { raw::syscall4(nr::SIGALTSTACK, (&raw const own) as usize, 0, 0, 0) }
}

/// Called by `hrt_signal_common` for a signal that interrupted the payload or is on the kernel's signal stack. 1: go on to
/// the handler; 0: back to where the thread was; else the distance by which the frame was moved.
///
/// # Safety
/// The arguments must be those of a signal frame of the calling thread, `number` one of our handlers'.
pub unsafe extern "C" fn hrt_signal_in_kernel(
    sig: i32,
    info: *const i32,
    uc: *mut u64,
    number: usize,
) -> usize {
    let b = block::current();
    let c = Context(uc);
    let action = entry_at(entry(number)).unwrap_or(NO_ACTION);
    // SAFETY: siginfo starts with si_signo, si_errno, si_code.
    if sig == 5 && unsafe { *info.add(2) } == 2 {
        // TRAP_TRACE: a program that steps through itself sees a system call as one step.
        return 0;
    }
    // SAFETY: the calling thread's own block.
    if unsafe { (*b).moving } != 0 {
        kernel_fault(sig, &c);
    }
    // SAFETY: siginfo starts with si_signo, si_errno, si_code.
    let sent_on = unsafe { *info.add(2) } == posix::SENT_ON;
    let entered = !in_kernel(b, &c);
    // SAFETY: the frame's own siginfo.
    if sent_on && !unsafe { posix::is_for_me(sig, info.cast_mut(), entered) } {
        return 0;
    }
    if entered {
        program_context(b, &c);
        // SAFETY: the frame's own siginfo; a fault's address follows after padding (`struct siginfo`).
        unsafe {
            let at = info.add(4).cast::<usize>().read();
            if sig == 11 && *info.add(2) == SEGV_ACCERR && memory::keeps(at) {
                info.cast_mut().add(2).write(SEGV_MAPERR);
            }
        }
        let own = if action.flags & flag::NODEFER == 0 {
            1 << (sig - 1)
        } else {
            0
        };
        // SAFETY: the frame is on the block's signal stack if the handler's flags say so; the block is our own.
        return unsafe {
            (*b).save[0] = (c.mask() | action.mask | own) & !SIGSYS_BIT;
            if action.flags & flag::ONSTACK == 0 {
                return 1;
            }
            move_frame(b, uc, &c, true)
        };
    }
    // SAFETY: siginfo starts with si_signo, si_errno, si_code.
    let code = unsafe { *info.add(2) };
    if matches!(sig, 4 | 5 | 7 | 8 | 11) && code > 0 {
        kernel_fault(sig, &c);
    }
    let place = |f: unsafe extern "C" fn()| f as *const () as u64;
    let mask_call = frame::hrt_mask_call as *const () as u64..place(frame::hrt_mask_called);
    if mask_call.contains(&c.get(reg::RIP)) {
        // The real mask is not the program's from here on until the signal has come.
        c.set(reg::RIP, place(frame::hrt_mask_not_made));
    }
    // SAFETY: our own frame and block.
    unsafe { defer(b, sig, info, &c) };
    if action.flags & flag::RESETHAND != 0 {
        // Linux has reset the disposition for a delivery that is yet to come.
        // Not by `wrap`: the interrupted code may hold the lock.
        let again = wrapped(&action, number);
        raw_sigaction(sig as usize, &raw const again, core::ptr::null_mut());
    }
    0
}

/// Sends the signal again, to be delivered when the kernel is left.
///
/// # Safety
/// `info` must be the siginfo of a signal that the calling thread is handling.
unsafe fn defer(b: *mut Block, sig: i32, info: *const i32, c: &Context) {
    // SAFETY: the calling thread's own block.
    unsafe {
        // No signal may come in between, not even `sig` again, which flag::NODEFER would let through at once.
        raw::set_sigmask(raw::ALL_SIGNALS);
        // The program may just be blocking SIGSYS, which is taken out again.
        let mask = c.mask() & !SIGSYS_BIT;
        // A second signal before the first was noticed has the first one's mask added: the intersection is what the
        // program had.
        (*b).deferred_mask = if (*b).deferred != 0 {
            (*b).deferred_mask & mask
        } else {
            mask
        };
        (*b).deferred = 1;
        c.set_mask(raw::ALL_SIGNALS);
        actions::send_again(b, sig as usize, info);
    }
}

fn kernel_fault(sig: i32, c: &Context) -> ! {
    // SAFETY: the calling thread's own block.
    if unsafe { (*block::current()).moving } != 0 {
        // There is no room for a signal frame on the program's stack: Linux ends the process for that.
        die_by(11);
    }
    let mut line: report::Line = report::Line::new();
    let base = IMAGE.load(Ordering::Relaxed);
    let _ = writeln!(
        line,
        "multiverse: HRT kernel panic: signal {sig} at payload offset {:#x}, call {}, stack {:#x}",
        (c.get(reg::RIP) as usize).wrapping_sub(base),
        c.get(reg::RAX),
        c.get(reg::RSP),
    );
    raw::write_all(2, line.bytes());
    die_by(sig as usize)
}

/// Called by `hrt_sigsys`, which goes on to `out[1]`, a handler of the program's, if it is not 0; `out[0]` is the distance
/// by which the frame was moved.
///
/// # Safety
/// The arguments must be those of a signal frame of the calling thread; `out` is its caller's.
pub unsafe extern "C" fn hrt_sigsys_rust(
    sig: i32,
    info: *const i32,
    uc: *mut u64,
    out: *mut [usize; 2],
) {
    let b = block::current();
    let c = Context(uc);
    // SAFETY: the caller's promise.
    let out = unsafe { &mut *out };
    *out = [0; 2];
    if sig as usize == preempt::SIGNAL {
        // SAFETY: the caller's promise.
        unsafe { preempted(b, info, uc, &c, out) };
        return;
    }
    // SAFETY: siginfo starts with si_signo, si_errno, si_code.
    let code = unsafe { *info.add(2) };
    if code == SYS_USER_DISPATCH {
        // SAFETY: `_sigsys` follows the head at 16 bytes: call address, then number, then architecture.
        let arch = unsafe { *info.add(7) } as u32;
        dispatch::trapped(b, &c, arch);
        return;
    }
    // The program's own SIGSYS: sent by somebody, or from a seccomp filter.
    if in_kernel(b, &c) {
        // SAFETY: our own frame and block.
        unsafe { defer(b, sig, info, &c) };
        return;
    }
    program_context(b, &c);
    // SAFETY: the calling thread's own block; a siginfo is 128 bytes.
    unsafe {
        if (*b).sigsys_blocked != 0 && code <= 0 {
            // As for any standard signal, one is kept.
            if (*b).sigsys_pending == 0 {
                (*b).sigsys_info = *info.cast();
                (*b).sigsys_pending = 1;
            }
            return;
        }
    }
    let lock = slots::lock();
    // SAFETY: the lock is held.
    let held = unsafe { &mut *SIGSYS_ACTION.0.get() };
    let action = *held;
    if action.flags & flag::RESETHAND != 0 && action.handler > SIG_IGN {
        held.handler = SIG_DFL;
    }
    drop(lock);
    match action.handler {
        SIG_IGN if code <= 0 => {}
        SIG_DFL | SIG_IGN => die_by(SIGSYS),
        // SAFETY: the frame is on the block's signal stack; the block is our own.
        handler => unsafe {
            // SIGSYS itself cannot be blocked; a second one nests.
            (*b).save[0] = (c.mask() | action.mask) & !SIGSYS_BIT;
            *out = [
                move_frame(b, uc, &c, action.flags & flag::ONSTACK != 0),
                handler,
            ];
        },
    }
}

/// The kernel's other signal has come: if the thread is to be preempted, `out` is as for [`hrt_sigsys_rust`].
///
/// # Safety
/// As [`hrt_sigsys_rust`].
unsafe fn preempted(
    b: *mut Block,
    info: *const i32,
    uc: *mut u64,
    c: &Context,
    out: &mut [usize; 2],
) {
    // SAFETY: the caller's promise.
    if !unsafe { preempt::is_ours(info) } {
        // Somebody has sent it, and the program has the default action for it.
        die_by(preempt::SIGNAL);
    }
    // SAFETY: the calling thread's own block.
    if in_kernel(b, c) || unsafe { (*b).deferred } != 0 {
        return;
    }
    program_context(b, c);
    // SAFETY: the frame's own ucontext.
    let size = unsafe { frame_end(uc) } - uc as usize + 256;
    let (rip, rsp) = (c.get(reg::RIP) as usize, c.get(reg::RSP) as usize);
    if !preempt::decide(b, rip, rsp, c.mask(), size) {
        return;
    }
    // SAFETY: the frame is on the block's signal stack; the block is our own.
    unsafe {
        (*b).save[0] = c.mask() & !SIGSYS_BIT;
        let handler = preempt::hrt_preempted as *const () as usize;
        *out = [move_frame(b, uc, c, false), handler];
    }
}
