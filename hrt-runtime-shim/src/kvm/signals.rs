//! Signals on the `kvm` platform.
//!
//! Linux sends them to the partner, whose handler only notes one down and blocks all others; the partner then brings it to
//! the program at its next boundary: it builds the frame that Linux would have built on the program's stack, and lets the
//! guest go on in the program's handler. So at most one signal waits at any time, and Linux's own rules of order, masks
//! and restarts hold.

use super::channel::{self, Place};
use super::faults;
use super::local;
use super::vcpu::{self, Vcpu};
use crate::hosted::frame;
use crate::kernel::actions::{self, NO_ACTION, SIG_DFL, SIG_IGN, die_by, flag, raw_sigaction};
use crate::kernel::asm::hrt_restorer;
use crate::kernel::block::{self, AltStack, Block};
use crate::kernel::slots::Slot;
use crate::kernel::{Action, patch, user};
use crate::raw::{self, errno, nr};
use crate::report;
use crate::threads::{local, posix, preempt};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

/// SIGILL (signal(7)).
pub const SIGILL: usize = 4;
/// SIGTRAP.
pub const SIGTRAP: usize = 5;
/// SIGBUS.
pub const SIGBUS: usize = 7;
/// SIGFPE.
pub const SIGFPE: usize = 8;
/// SIGSEGV.
pub const SIGSEGV: usize = 11;

/// A siginfo (sigaction(2)): si_signo and si_errno, si_code, then what depends on the signal.
pub type Info = [u64; 16];

/// What an exception leaves in a signal frame's context.
#[derive(Clone, Copy, Default)]
pub struct Trap {
    /// `trapno`
    pub number: u64,
    /// `err`
    pub error: u64,
    /// `cr2`
    pub cr2: u64,
}

/// A thread's signal that waits.
pub struct State {
    /// 1 if there is one; all others are blocked then.
    pub pending: AtomicU32,
    /// 1 if the kernel's own has come, which asks whether to preempt the thread.
    pub preempt: AtomicU32,
    info: Info,
    number: usize,
    /// The program's signal mask.
    mask: u64,
    /// The mask that a call has put in place while it waits (sigsuspend(2) and its like).
    pub waiting: Option<u64>,
    /// What the last exception was.
    pub last: Trap,
}

unsafe extern "C" {
    fn hrt_kvm_signal_entries();
    /// First instruction of the window in which a signal keeps a call of the program's from being made.
    fn hrt_kvm_call_window();
    /// The `syscall` at its end.
    fn hrt_kvm_call_syscall();
    fn hrt_kvm_call_kept();
    /// Makes the call `of[0]` with the arguments `of[1..7]`, unless `pending` is set: then the result is
    /// [`KEPT`].
    fn hrt_kvm_call(of: *const u64, pending: *const AtomicU32) -> isize;
}

impl State {
    /// No signal waits.
    #[must_use]
    pub const fn new() -> Self {
        State {
            pending: AtomicU32::new(0),
            preempt: AtomicU32::new(0),
            info: [0; 16],
            number: 0,
            mask: 0,
            waiting: None,
            last: Trap {
                number: 0,
                error: 0,
                cr2: 0,
            },
        }
    }
}

/// Where [`State::pending`] is in a thread's block.
pub const PENDING_OFFSET: usize = block::SIGNAL_STACK
    + core::mem::offset_of!(Vcpu, signals)
    + core::mem::offset_of!(State, pending);

/// The signal of the thread of block `b` that waits, if one does: the program's mask, and its number. Also for code in the guest.
#[must_use]
pub fn waiting(b: *mut Block) -> Option<(u64, u32)> {
    // SAFETY: a block's virtual CPU, which the guest may read; the other fields are complete once `pending` is set.
    unsafe {
        let s = &raw const (*vcpu::of(b)).signals;
        if (*s).pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        Some(((&raw const (*s).mask).read_volatile(), (*s).info[0] as u32))
    }
}

/// Result of a call that was not made because a signal waits (ERESTARTSYS, which Linux shows to nobody).
pub const KEPT: isize = -512;

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_kvm_signal_entries
hrt_kvm_signal_entries:
    .set    hrt_n, 0
    .rept   {ENTRIES}
    .balign 16
    movl    $hrt_n, %ecx
    jmp     hrt_kvm_signal_common
    .set    hrt_n, hrt_n + 1
    .endr
    .balign 16
hrt_kvm_signal_common:
    subq    $8, %rsp
    cld
    call    {arrived}
    addq    $8, %rsp
    ret

    .balign 16
    .globl  hrt_kvm_call
hrt_kvm_call:
    pushq   %rbx
    movq    %rsi, %rbx
    movq    (%rdi), %rax
    movq    16(%rdi), %rsi
    movq    24(%rdi), %rdx
    movq    32(%rdi), %r10
    movq    40(%rdi), %r8
    movq    48(%rdi), %r9
    movq    8(%rdi), %rdi
    .globl  hrt_kvm_call_window
hrt_kvm_call_window:
    cmpl    $0, (%rbx)
    jne     hrt_kvm_call_kept
    .globl  hrt_kvm_call_syscall
hrt_kvm_call_syscall:
    syscall
    popq    %rbx
    ret
    .globl  hrt_kvm_call_kept
hrt_kvm_call_kept:
    movq    $-512, %rax
    popq    %rbx
    ret
    "#,
    ENTRIES = const actions::HANDLERS,
    arrived = sym arrived,
    options(att_syntax)
);

/// Makes a call for the program.
///
/// # Safety
/// The program asked for it.
pub unsafe fn call(v: &mut Vcpu, number: u64, args: &[usize; 6]) -> isize {
    let mut of = [number; 7];
    for (to, from) in of[1..].iter_mut().zip(args) {
        *to = *from as u64;
    }
    static NEVER: AtomicU32 = AtomicU32::new(0);
    // The signal waits for what the kernel does in the guest, of which this call is a part.
    let pending = if posix::works() {
        &raw const NEVER
    } else {
        &raw const v.signals.pending
    };
    // SAFETY: the caller's promise.
    unsafe { hrt_kvm_call(of.as_ptr(), pending) }
}

/// Word of a ucontext that holds RIP.
const UC_RIP: usize = 5 + 16;
/// Word of a ucontext that holds the mask.
pub const UC_MASK: usize = 37;
/// Signals that no mask blocks: SIGKILL and SIGSTOP.
pub const NEVER_BLOCKED: u64 = 1 << 8 | 1 << 18;

/// A signal came to the partner.
///
/// # Safety
/// Only an entry may call this, with the arguments of its signal frame and its number.
unsafe extern "C" fn arrived(sig: i32, info: *const Info, uc: *mut u64, number: usize) {
    let b = block::current();
    // SAFETY: the calling thread's own; only this thread uses it, and what the handler touches it touches by single words.
    let v = unsafe { &mut *vcpu::of(b) };
    // SAFETY: the entry's promise.
    let (info, rip) = unsafe { (*info, *uc.add(UC_RIP) as usize) };
    if sig as usize == preempt::SIGNAL && number == 0 {
        // SAFETY: a siginfo.
        if !unsafe { preempt::is_ours((&raw const info).cast()) } {
            // Somebody has sent it, and the program has the default action for it.
            die_by(preempt::SIGNAL);
        }
        v.signals.preempt.store(1, Ordering::Relaxed);
        v.stop(true);
        return;
    }
    if let Some(to) = faults::guarded(rip) {
        v.refused = info;
        // SAFETY: our own frame.
        unsafe { *uc.add(UC_RIP) = to as u64 };
        return;
    }
    if matches!(sig as usize, SIGILL | SIGBUS | SIGFPE | SIGSEGV) && code(&info) > 0 {
        // SAFETY: our own frame.
        let context = unsafe { *uc.add(5).cast::<[u64; 18]>() };
        let what = format_args!("signal {sig} in the partner, address {:#x}", info[2]);
        report::panic(&what, |out| {
            partner_registers(out, &context);
            report::backtrace(out, "partner", Some(rip), context[10] as usize);
            v.describe(out);
        });
    }
    let s = &mut v.signals;
    s.info = info;
    s.number = number;
    // SAFETY: our own frame.
    unsafe {
        s.mask = *uc.add(UC_MASK);
        *uc.add(UC_MASK) = raw::ALL_SIGNALS;
        let window =
            hrt_kvm_call_window as *const () as usize..=hrt_kvm_call_syscall as *const () as usize;
        if window.contains(&rip) {
            *uc.add(UC_RIP) = hrt_kvm_call_kept as *const () as usize as u64;
        }
    }
    s.pending.store(1, Ordering::Release);
    v.stop(true);
}

/// Adds the general registers of a ucontext.
fn partner_registers(out: &mut report::Report, context: &[u64; 18]) {
    const NAMES: [&str; 18] = [
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx",
        "rax", "rcx", "rsp", "rip", "rflags",
    ];
    let mut values = [("", 0); 18];
    for (to, (name, value)) in values.iter_mut().zip(NAMES.iter().zip(context)) {
        *to = (name, *value);
    }
    report::registers(out, "partner", &values);
}

/// si_code.
fn code(info: &Info) -> i32 {
    info[1] as i32
}

/// A siginfo for an exception.
#[must_use]
pub fn info(sig: usize, code: i32, at: u64) -> Info {
    let mut info = [0; 16];
    info[0] = sig as u64;
    info[1] = u64::from(code as u32);
    info[2] = at;
    info
}

/// What Linux is told for the program's `action`.
fn wrap(action: &Action) -> Action {
    if action.handler == SIG_DFL || action.handler == SIG_IGN {
        return *action;
    }
    let Some(i) = actions::number(action) else {
        report::fatal("too many different signal handlers");
    };
    entered(i, action.flags)
}

/// Linux's action for entry `i`.
fn entered(i: usize, flags: u64) -> Action {
    Action {
        handler: actions::entry(i),
        flags: flags & !flag::ONSTACK | flag::SIGINFO | flag::RESTORER,
        restorer: hrt_restorer as *const () as usize,
        mask: raw::ALL_SIGNALS,
    }
}

/// What Linux is told for the kernel's own signal.
pub fn own_action() -> Action {
    entered(0, flag::RESTART)
}

/// The kernel's own signal has come: the program goes on in [`preempt::hrt_preempted`], if its thread is to be preempted.
pub fn preempt(b: *mut Block, v: &mut Vcpu) {
    v.stop(false);
    v.signals.preempt.store(0, Ordering::Relaxed);
    // None may come between the registers and the frame.
    let held = raw::set_sigmask(raw::ALL_SIGNALS);
    if v.signals.pending.load(Ordering::Acquire) != 0 {
        // One of the program's comes first; all are blocked until then.
        v.stop(true);
        return;
    }
    let size = FRAME + vcpu::state_size() + 256;
    let (rip, rsp) = (v.regs.rip as usize, v.regs.rsp as usize);
    if preempt::decide(b, rip, rsp, held, size) {
        let mut info = [0; 16];
        info[0] = preempt::SIGNAL as u64;
        let action = Action {
            handler: preempt::hrt_preempted as *const () as usize,
            flags: flag::SIGINFO | flag::RESTORER | flag::NODEFER,
            restorer: hrt_restorer as *const () as usize,
            mask: 0,
        };
        let last = v.signals.last;
        deliver(b, v, &info, &action, held, held, last);
    }
    raw::set_sigmask(held);
}

/// rt_sigprocmask(2) has changed the calling thread's mask.
pub fn mask_changed(b: *mut Block) {
    let kept = preempt::keeps();
    if kept != 0 {
        raw::sigmask(raw::SIG_UNBLOCK, kept);
    }
    posix::mask_changed(b);
}

/// True if the signal that waits must wait for what the kernel does in the guest on the thread's behalf; the guest then goes on with that.
pub fn postponed(v: &mut Vcpu) -> bool {
    let at = |f: usize| f as u64;
    let rip = v.regs.rip;
    let (start, kept, end) = (
        at(frame::hrt_kvm_upcall as *const () as usize),
        at(frame::hrt_kvm_upcall_kept as *const () as usize),
        at(frame::hrt_kvm_upcall_end as *const () as usize),
    );
    if (kept..end).contains(&rip) {
        // Once more, to find the signal at the end.
        v.regs.rip = at(frame::hrt_kvm_upcall_resume as *const () as usize);
        // SAFETY: the calling thread's own.
        v.regs.rdi = unsafe { (*local()).frame } as u64;
    } else if !(start..kept).contains(&rip) && !posix::works() {
        return false;
    }
    v.stop(false);
    true
}

/// The calling carrier leaves its thread: signals that have come to it are for the process, and its mask is `mask` from here on.
pub fn hand_over(b: *mut Block, v: &mut Vcpu, mask: u64) {
    raw::set_sigmask(raw::ALL_SIGNALS);
    if v.signals.pending.load(Ordering::Acquire) != 0 {
        give_back(b, v);
    }
    raw::set_sigmask(mask);
    local::mask_is(b, Some(mask & !NEVER_BLOCKED));
}

/// Gives the process the signal that waits, and those that Linux keeps for the calling thread; all are blocked.
fn give_back(b: *mut Block, v: &mut Vcpu) {
    let s = &mut v.signals;
    let mut info = [0i32; 32];
    // SAFETY: a siginfo of 128 bytes, complete since `pending` is set.
    unsafe {
        let from = (&raw const s.info).cast::<i32>();
        core::ptr::copy_nonoverlapping(from, info.as_mut_ptr(), info.len());
    }
    s.pending.store(0, Ordering::Relaxed);
    s.waiting = None;
    v.stop(false);
    posix::for_the_process(b, Some(info), raw::ALL_SIGNALS);
}

/// The program's action for `sig`.
#[must_use]
pub fn action(sig: usize) -> Action {
    let mut held = NO_ACTION;
    raw_sigaction(sig, core::ptr::null(), &raw mut held);
    actions::unwrap(&held)
}

/// Lets `sig` come to the partner, if it does not; what Linux held is returned then.
pub fn catch(sig: usize) -> Option<Action> {
    let mut held = NO_ACTION;
    raw_sigaction(sig, core::ptr::null(), &raw mut held);
    if actions::entry_at(held.handler).is_some() {
        return None;
    }
    let ours = entered(0, 0);
    raw_sigaction(sig, &raw const ours, core::ptr::null_mut());
    Some(held)
}

/// Gives `sig` an action back.
pub fn put_back(sig: usize, held: &Action) {
    raw_sigaction(sig, held, core::ptr::null_mut());
}

/// Takes over the handlers that constructors of libraries have installed.
pub fn init() {
    actions::init(hrt_kvm_signal_entries as *const () as usize);
    // Entry 0 is what `catch` uses.
    let _ = actions::number(&NO_ACTION);
    actions::replace_handlers(|_, held| Some(wrap(held)));
}

/// Before the process goes on without the kernel: Linux gets the program's own handlers.
pub fn give_up() {
    actions::replace_handlers(|_, held| Some(actions::unwrap(held)));
}

/// rt_sigaction(2) for the program.
pub fn sigaction(sig: usize, new: usize, old: usize, size: usize) -> isize {
    if size != 8 {
        // SAFETY: Linux refuses it.
        return unsafe { raw::syscall4(nr::RT_SIGACTION, sig, new, old, size) };
    }
    let mut told = NO_ACTION;
    let mut asked = None;
    if new != 0 {
        let Some(mut action) = user::get::<Action>(new) else {
            return raw::err(errno::EFAULT);
        };
        actions::normalize(&mut action);
        told = wrap(&action);
        asked = Some(action);
    }
    let mut previous = NO_ACTION;
    if preempt::hides(sig, asked.as_ref()) {
        return if old != 0 && !user::put(old, &previous) {
            raw::err(errno::EFAULT)
        } else {
            0
        };
    }
    let new = if new == 0 {
        core::ptr::null()
    } else {
        &raw const told
    };
    let r = raw_sigaction(sig, new, &raw mut previous);
    if !new.is_null() {
        // Afterwards: what has been learned before that is the old one.
        local::action_changes(sig);
    }
    if r == 0 && old != 0 && !user::put(old, &actions::unwrap(&previous)) {
        return raw::err(errno::EFAULT);
    }
    r
}

/// Brings the signal that waits to the program.
pub fn deliver_pending(b: *mut Block, v: &mut Vcpu) {
    let s = &mut v.signals;
    // Written by `arrived`, at some instruction of this thread before it set `pending`.
    // SAFETY: fields of ours.
    let (info, mask, number) = unsafe {
        (
            (&raw const s.info).read_volatile(),
            (&raw const s.mask).read_volatile(),
            (&raw const s.number).read_volatile(),
        )
    };
    let action = actions::entry_at(actions::entry(number)).unwrap_or(NO_ACTION);
    let base = s.waiting.take().unwrap_or(mask);
    s.pending.store(0, Ordering::Relaxed);
    v.stop(false);
    let mut info = info;
    // SAFETY: a siginfo of ours.
    let theirs = unsafe {
        code(&info) == posix::SENT_ON
            && !posix::is_for_me(info[0] as i32, info.as_mut_ptr().cast(), true)
    };
    if theirs {
        // For a thread that another carrier executes by now, or that has got it already.
        raw::set_sigmask(mask);
        local::mask_is(b, Some(mask));
        return;
    }
    program_context(b, v);
    // A call that has not been made is made anew.
    // SAFETY: the calling thread's own.
    unsafe { (*local()).forward = 0 };
    let last = v.signals.last;
    let mask = deliver(b, v, &info, &action, mask, base, last);
    raw::set_sigmask(mask);
    local::mask_is(b, Some(mask));
}

/// The program's mask becomes `mask`, while all signals are blocked: what Linux is to have then; `None` if a signal waits to be brought.
pub fn remask(b: *mut Block, v: &mut Vcpu, mask: u64) -> Option<u64> {
    let s = &mut v.signals;
    if s.pending.load(Ordering::Acquire) == 0 {
        return Some(mask);
    }
    // SAFETY: a field of ours, written by `arrived`.
    let info = unsafe { (&raw const s.info).read_volatile() };
    let sig = info[0] as u32 as usize;
    if mask >> (sig - 1) & 1 == 0 {
        s.mask = mask;
        return None;
    }
    // It has come too early.
    s.pending.store(0, Ordering::Relaxed);
    v.stop(false);
    // What only comes to a process: from kill(2), and from Linux itself. All else may have been for this thread.
    const SI_USER: i32 = 0;
    const SI_KERNEL: i32 = 0x80;
    const SIGCHLD: usize = 17;
    let own = !matches!(code(&info), SI_USER | SI_KERNEL) && sig != SIGCHLD;
    // SAFETY: the calling thread's own block; a signal to ourselves. One that was the process's is so again.
    unsafe {
        let (pid, at) = ((*b).pid as usize, info.as_ptr() as usize);
        if own || raw::syscall4(nr::RT_SIGQUEUEINFO, pid, sig, at, 0) != 0 {
            actions::send_again(b, sig, info.as_ptr().cast());
        }
    }
    Some(mask)
}

/// A context inside a call slot or the channel becomes that of the program.
fn program_context(b: *mut Block, v: &mut Vcpu) {
    let r = &mut v.regs;
    match channel::resolve(b, r.rip as usize, r.rcx, r.r11, r.rax) {
        Some(Place::Before(slot, number)) => {
            r.rax = number;
            r.rip = slot.program_counter(slot.syscall(), number) as u64;
            return;
        }
        Some(Place::After(ret, result)) => {
            (r.rax, r.rcx, r.rip) = (result, ret, ret);
            return;
        }
        None => {}
    }
    let rip = v.regs.rip as usize;
    if let Some(to) = patch::island_target(rip) {
        // Nothing has been done.
        if let Some(slot) = Slot::containing(to) {
            v.regs.rip = slot.not_entered(to) as u64;
        }
    } else if let Some(slot) = Slot::containing(rip) {
        v.regs.rip = slot.program_counter(rip, v.regs.rax) as u64;
    }
}

/// Sends the program the signal of an exception, as Linux's `force_sig_info` does. `again`: its instruction, executed once
/// more, has the same effect.
pub fn raise(b: *mut Block, v: &mut Vcpu, info: &Info, trap: Trap, again: bool) {
    v.signals.last = trap;
    let sig = info[0] as u32 as usize;
    let version = local::action_version();
    let action = action(sig);
    if sig == SIGSEGV {
        local::learn(b, &action, version);
    }
    // None may come between the frame and the handler's mask.
    let held = raw::set_sigmask(raw::ALL_SIGNALS);
    let pending = v.signals.pending.load(Ordering::Acquire) != 0;
    let mask = if pending {
        // SAFETY: a field of ours, written by `arrived`.
        unsafe { (&raw const v.signals.mask).read_volatile() }
    } else {
        held
    };
    let blocked = mask >> (sig - 1) & 1 != 0;
    if action.handler == SIG_DFL || action.handler == SIG_IGN || blocked {
        if again && matches!(sig, SIGSEGV | SIGBUS | SIGFPE | SIGILL) {
            // The instruction, executed outside of the VM, ends the process with all that Linux can tell about it.
            put_back(sig, &NO_ACTION);
            local::settle(0, super::paging::USER_END);
            raw::set_sigmask(mask & !(1 << (sig - 1)));
            super::partner::leave(v);
        }
        die_by(sig);
    }
    if action.flags & flag::RESETHAND != 0 {
        put_back(sig, &NO_ACTION);
    }
    let mask = deliver(b, v, info, &action, mask, mask, trap);
    if pending {
        // This one comes first, and that one when its handler is about to begin.
        v.signals.mask = mask;
        local::mask_is(b, None);
    } else {
        raw::set_sigmask(mask);
        local::mask_is(b, Some(mask));
    }
}

/// Bytes of a ucontext and of a siginfo.
pub const CONTEXT: usize = 304;
const INFO: usize = 128;
/// Bytes of `struct rt_sigframe`: return address, ucontext, siginfo.
const FRAME: usize = 8 + CONTEXT + INFO;
/// Word of the frame where the ucontext's general registers begin.
const GREGS: usize = 1 + 5;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Flags that a handler begins without: RF, DF, TF.
pub const CLEARED: u64 = 0x1_0500;

/// Where a signal's frame lies on the program's stack.
pub struct Spot {
    /// The vector state.
    pub state: usize,
    /// `struct rt_sigframe`.
    pub frame: usize,
}

impl Spot {
    /// The address of the siginfo.
    #[must_use]
    pub fn info(&self) -> usize {
        self.context() + CONTEXT
    }

    /// The address of the ucontext.
    #[must_use]
    pub fn context(&self) -> usize {
        self.frame + 8
    }
}

/// Where a frame with `size` bytes of vector state lies for a program whose stack pointer is `rsp`.
#[must_use]
pub fn place(rsp: usize, action: &Action, alt: &AltStack, size: usize) -> Spot {
    let other =
        action.flags & flag::ONSTACK != 0 && alt.flags & block::SS_DISABLE == 0 && !alt.holds(rsp);
    let top = if other {
        alt.sp + alt.size
    } else {
        rsp.wrapping_sub(128) // the red zone
    };
    let state = top.wrapping_sub(size + 4) & !63;
    let frame = (state.wrapping_sub(FRAME) & !15).wrapping_sub(8);
    Spot { state, frame }
}

/// What Linux writes beside `size` bytes of vector state: `struct _fpx_sw_bytes` at byte 464, and the word behind all of it.
#[must_use]
pub fn description(size: usize, components: u64) -> ([u64; 6], u32) {
    let first = u64::from(FP_XSTATE_MAGIC1) | (size as u64 + 4) << 32;
    ([first, components, size as u64, 0, 0, 0], FP_XSTATE_MAGIC2)
}

/// The words of the frame. `registers` are those from r8 to rflags as a ucontext has them, `saved` is the mask that it keeps.
#[must_use]
pub fn words(
    registers: &[u64; 18],
    action: &Action,
    alt: &AltStack,
    info: &Info,
    saved: u64,
    trap: &Trap,
    state: usize,
) -> [u64; FRAME / 8] {
    let mut frame = [0u64; FRAME / 8];
    frame[0] = action.restorer as u64;
    frame[1] = 7; // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
    frame[3] = alt.sp as u64;
    frame[4] = u64::from(alt.flags as u32);
    frame[5] = alt.size as u64;
    frame[GREGS..GREGS + 18].copy_from_slice(registers);
    frame[GREGS + 18..GREGS + 24].copy_from_slice(&[
        0x33 | 0x2b << 48, // cs, gs, fs, ss
        trap.error,
        trap.number,
        saved,
        trap.cr2,
        state as u64,
    ]);
    frame[1 + UC_MASK] = saved;
    frame[39..55].copy_from_slice(info);
    frame
}

/// The mask in a handler of `sig`, which is entered with `mask`.
#[must_use]
pub fn handler_mask(sig: usize, action: &Action, mask: u64) -> u64 {
    let own = if action.flags & flag::NODEFER == 0 {
        1 << (sig - 1)
    } else {
        0
    };
    mask | action.mask | own
}

/// The flags `now` with those that a frame gives back (FIX_EFLAGS of Linux, `arch/x86/kernel/signal_64.c`).
#[must_use]
pub fn flags(of_frame: u64, now: u64) -> u64 {
    const FLAGS: u64 = 0x5_0dd5;
    of_frame & FLAGS | now & !FLAGS
}

/// Builds the frame and points the program to the handler; returns the handler's mask. `saved` is what the frame keeps.
fn deliver(
    b: *mut Block,
    v: &mut Vcpu,
    info: &Info,
    action: &Action,
    saved: u64,
    base: u64,
    trap: Trap,
) -> u64 {
    let sig = info[0] as u32 as usize;
    // SAFETY: the calling thread's own block.
    let alt = unsafe { *block::alt(b) };
    let size = vcpu::state_size();
    let to = place(v.regs.rsp as usize, action, &alt, size);
    local::settle(to.frame, to.state.saturating_add(size + 4));

    v.get_xsave();
    let (described, end) = description(size, vcpu::xcr0());
    let x = &mut v.xsave;
    for (to, word) in x[464..512].chunks_exact_mut(8).zip(described) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    x[size..size + 4].copy_from_slice(&end.to_le_bytes());

    let r = &v.regs;
    let registers = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx, r.rsp, r.rip, r.rflags,
    ];
    let frame = words(&registers, action, &alt, info, saved, &trap, to.state);

    let write =
        |v: &Vcpu| user::put(to.frame, &frame) && user::write(to.state, &v.xsave[..size + 4]);
    // What fails at first may be a stack that has yet to grow.
    let written = action.flags & flag::RESTORER != 0
        && (write(v) || faults::touch(to.frame, true) && write(v));
    if !written {
        // There is no room on the program's stack.
        die_by(SIGSEGV);
    }
    // A handler begins with vector state as new.
    v.xsave = [0; 4096];
    initial_state(&mut v.xsave);
    v.set_xsave();
    let r = &mut v.regs;
    r.rdi = sig as u64;
    r.rsi = to.info() as u64;
    r.rdx = to.context() as u64;
    r.rax = 0;
    r.rsp = to.frame as u64;
    r.rip = action.handler as u64;
    r.rflags &= !CLEARED;
    // SAFETY: the calling thread's own block.
    unsafe { (*b).signals.fetch_add(1, Ordering::Relaxed) };
    handler_mask(sig, action, base)
}

/// Vector state as a program starts with it (`struct kvm_xsave` of zeros).
pub fn initial_state(x: &mut [u8]) {
    x[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
    x[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
}

/// rt_sigreturn(2): the program's registers are then those of the frame.
pub fn sigreturn(b: *mut Block, v: &mut Vcpu) {
    let uc = v.regs.rsp as usize;
    let mut context = [0u8; 304];
    if !user::read(uc, &mut context) {
        die_by(SIGSEGV);
    }
    let word = |i: usize| {
        let mut w = [0u8; 8];
        w.copy_from_slice(&context[8 * i..8 * i + 8]);
        u64::from_le_bytes(w)
    };
    let g = |i: usize| word(5 + i);
    let r = &mut v.regs;
    let rflags = flags(g(17), r.rflags);
    *r = super::wire::Regs {
        r8: g(0),
        r9: g(1),
        r10: g(2),
        r11: g(3),
        r12: g(4),
        r13: g(5),
        r14: g(6),
        r15: g(7),
        rdi: g(8),
        rsi: g(9),
        rbp: g(10),
        rbx: g(11),
        rdx: g(12),
        rax: g(13),
        rcx: g(14),
        rsp: g(15),
        rip: g(16),
        rflags,
    };
    if !restore_state(v, g(23) as usize) {
        die_by(SIGSEGV);
    }
    let alt = block::AltStack {
        sp: word(2) as usize,
        flags: word(3) as i32,
        reserved: 0,
        size: word(4) as usize,
    };
    // SAFETY: the calling thread's own block.
    unsafe {
        if !(*block::alt(b)).holds(v.regs.rsp as usize) {
            *block::alt(b) = alt;
        }
    }
    let mask = word(UC_MASK) & !NEVER_BLOCKED;
    raw::set_sigmask(mask);
    local::mask_is(b, Some(mask));
}

fn restore_state(v: &mut Vcpu, at: usize) -> bool {
    v.xsave = [0; 4096];
    initial_state(&mut v.xsave);
    if at != 0 {
        if !user::read(at, &mut v.xsave[..512]) {
            return false;
        }
        let word = |x: &[u8; 4096], at: usize| {
            u32::from_le_bytes([x[at], x[at + 1], x[at + 2], x[at + 3]])
        };
        let size = word(&v.xsave, 480) as usize;
        let whole = word(&v.xsave, 464) == FP_XSTATE_MAGIC1
            && (576..=4096 - 4).contains(&size)
            && user::read(at, &mut v.xsave[..size + 4])
            && word(&v.xsave, size) == FP_XSTATE_MAGIC2;
        if whole {
            v.xsave[size..size + 4].fill(0);
        } else {
            // The old part alone (fxsave).
            v.xsave[512..].fill(0);
            v.xsave[512] = 3;
        }
        v.xsave[464..512].fill(0);
    }
    v.set_xsave()
}
