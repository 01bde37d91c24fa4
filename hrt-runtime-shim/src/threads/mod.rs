//! Kernel threads on this machine: many of them on few Linux threads.
//!
//! An *execution group* ([`groups`]) has a run queue and a *carrier*, a Linux thread that executes its threads. Kernel threads have stacks of the kernel's
//! ([`stacks`]) and are switched by the carrier in user mode ([`switch`]). A *monitor*, one more Linux thread ([`monitor`]), keeps the timers,
//! and gives a group another carrier when its own does not come back: because a thread waits in Linux, or computes.
//!
//! Everything here is called by the program, on the stack of the calling thread, which may also be a plain Linux thread: that one waits by futex(2).
//!
//! # Memory
//! These functions execute in the program's place, on `kvm` in the guest, which may not write what is the kernel's. So all that they write lies in the
//! image's part `.bss.hrt_shared`, in memory of its own, or in the program's objects.
//!
//! # Signals
//! A handler of the program may interrupt these functions anywhere. While one of them works (`Local::inside`) others that a handler calls are
//! refused, but for those that only post something, which are done as soon as the interrupted one is.

pub mod api;
mod donor;
pub mod fibers;
pub mod groups;
pub mod keys;
pub mod monitor;
pub mod objects;
pub mod posix;
pub mod preempt;
pub mod stacks;
pub mod switch;
pub mod thread;

use crate::kernel::CONFINED;
use crate::kernel::block::{self, AltStack};
use crate::raw::{self, errno, nr};
use core::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use groups::Carrier;
use hrt_kernel::threads::wait::{LATE, PARKED, WAITING, WOKEN, Waiter};
use hrt_kernel::threads::{Host, NEVER};
use thread::Thread;

/// Kernel threads ever created in this process.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static CREATED: AtomicU64 = AtomicU64::new(0);
/// Kernel threads that live.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Linux threads of this process that are known to wait for others.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static IDLE: AtomicUsize = AtomicUsize::new(0);

/// The calling Linux thread waits in `work`.
fn idly(work: impl FnOnce()) {
    IDLE.fetch_add(1, Ordering::Relaxed);
    work();
    IDLE.fetch_sub(1, Ordering::Relaxed);
}

/// Posts that can wait for an interrupted function to be done.
const POSTS: usize = 6;

/// What a Linux thread keeps here.
#[repr(C, align(64))]
pub struct Local {
    /// The thread that executes; null: none yet, or a carrier that has none.
    pub thread: *mut Thread,
    /// The carrier that this Linux thread is.
    pub carrier: *mut Carrier,
    /// A Linux thread's own record.
    pub own: *mut Thread,
    /// 1 while a function here works.
    pub inside: AtomicU32,
    /// How many of `posts` are in use.
    pub posted: AtomicU32,
    /// Objects to post to.
    pub posts: [usize; POSTS],
    /// On `kvm`, at the end of a call that is served in the program's place: its frame, and where the program goes on.
    pub frame: usize,
    /// That.
    pub resume: usize,
    /// There, 1 if the call that comes next was served so already, and is for Linux.
    pub forward: u32,
    /// The alternate signal stack of what executes (sigaltstack(2)).
    pub alt: AltStack,
}

impl Local {
    /// As for a new Linux thread.
    pub fn reset(&mut self) {
        self.thread = core::ptr::null_mut();
        self.carrier = core::ptr::null_mut();
        // `own` is kept for the next Linux thread with this block.
        if !self.own.is_null() {
            // SAFETY: the record belongs to the block.
            unsafe { thread::renew(self.own) };
        }
        self.inside.store(0, Ordering::Relaxed);
        self.posted.store(0, Ordering::Relaxed);
        self.forward = 0;
        self.alt = AltStack::NONE;
    }
}

/// Where [`Local::inside`] is, for assembly.
pub const INSIDE_OFFSET: usize = core::mem::offset_of!(Local, inside);
/// Where [`Local::frame`] is.
pub const FRAME_OFFSET: usize = core::mem::offset_of!(Local, frame);
/// Where [`Local::resume`] is.
pub const RESUME_OFFSET: usize = core::mem::offset_of!(Local, resume);

/// The calling Linux thread's. A kernel thread gets another one whenever it has stopped.
#[inline(always)]
pub fn local() -> *mut Local {
    let l: *mut Local;
    // SAFETY: the GS base of a hybridized thread is its block.
    unsafe {
        core::arch::asm!(
            "movq %gs:{at}, {}", out(reg) l, at = const block::offset::LOCAL,
            options(att_syntax, nostack, readonly, preserves_flags)
        );
    }
    l
}

/// The thread that calls.
#[inline]
pub fn current() -> *mut Thread {
    // SAFETY: the calling thread's own.
    let t = unsafe { (*local()).thread };
    if t.is_null() { thread::adopt() } else { t }
}

/// The caller's work here is not interrupted by another function's.
pub struct Inside(());

/// Begins work; `None` in a handler that interrupted other work.
#[inline]
pub fn enter() -> Option<Inside> {
    // SAFETY: the calling thread's own; only itself and its handlers use it.
    let inside = unsafe { &(*local()).inside };
    if inside.load(Ordering::Relaxed) != 0 {
        return None;
    }
    inside.store(1, Ordering::Relaxed);
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    Some(Inside(()))
}

/// What a function answers in a handler that interrupted another one.
pub const INTERRUPTED: isize = raw::err(errno::EBUSY);

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        leave();
    }
}

/// Ends work, and does what handlers have left to do.
#[inline]
pub fn leave() {
    leave_with_signals();
    if posix::quiet() {
        posix::let_signals_in();
    }
}

/// As [`leave`], where signals that wait have another way to come.
#[inline]
fn leave_with_signals() {
    // SAFETY: as for `enter`.
    let l = unsafe { &*local() };
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    l.inside.store(0, Ordering::Relaxed);
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    if l.posted.load(Ordering::Relaxed) != 0 {
        objects::post_later();
    }
}

/// Nanoseconds of the monotonic clock (clock_gettime(2)).
#[must_use]
pub fn now() -> u64 {
    const CLOCK_MONOTONIC: usize = 1;
    raw::clock(CLOCK_MONOTONIC)
}

const FUTEX_WAKE_PRIVATE: usize = 1 | 128;
const FUTEX_WAIT_BITSET_PRIVATE: usize = 9 | 128;

/// Waits while `word` is `value`, until `deadline` at most; may return early.
pub fn futex_wait(word: *const AtomicU32, value: u32, deadline: u64) {
    let until = [deadline / 1_000_000_000, deadline % 1_000_000_000];
    let at = match deadline {
        NEVER => 0,
        _ => until.as_ptr() as usize,
    };
    // SAFETY: only reads the word and the time.
    unsafe {
        raw::syscall6(
            nr::FUTEX,
            [
                word as usize,
                FUTEX_WAIT_BITSET_PRIVATE,
                value as usize,
                at,
                0,
                u32::MAX as usize,
            ],
        )
    };
}

/// Wakes a Linux thread that waits at `word`, which may be gone: futexes may be woken for nothing.
pub fn futex_wake(word: *const AtomicU32) {
    // SAFETY: touches no memory.
    unsafe { raw::syscall4(nr::FUTEX, word as usize, FUTEX_WAKE_PRIVATE, 1, 0) };
}

/// Turns for which a Linux thread looks before it waits by futex(2), where there is more than one processor.
const LOOKS: u32 = 300;

/// This machine, for the objects.
pub struct Machine;

impl Host for Machine {
    #[inline]
    fn current() -> usize {
        current() as usize
    }

    fn patience() -> u32 {
        groups::patience()
    }

    fn relax(turns: u32) {
        core::hint::spin_loop();
        // The holder may wait for this very processor.
        if turns.is_multiple_of(128) && !CONFINED.load(Ordering::Relaxed) {
            // SAFETY: changes nothing.
            unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
        }
    }

    fn give_way() {
        let t = current();
        // SAFETY: our own record.
        if unsafe { (*t).linux } || !groups::yield_now(t) {
            // SAFETY: changes nothing.
            unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
        }
    }

    unsafe fn park(w: &Waiter, deadline: u64) {
        if over(w) {
            return;
        }
        let t = current();
        // SAFETY: our own record.
        if unsafe { (*t).linux } {
            park_linux(w, deadline);
        } else if deadline == NEVER {
            groups::switch_away(t, groups::After::Park(w));
        } else {
            let mut alarm = monitor::Alarm::wake(deadline, w);
            // SAFETY: the alarm stays here until it is disarmed.
            unsafe {
                monitor::arm(&raw mut alarm);
                groups::switch_away(t, groups::After::Park(w));
                monitor::disarm(&raw mut alarm);
            }
        }
    }

    fn ready(thread: usize, state: *const AtomicU32) {
        let t = thread as *mut Thread;
        // SAFETY: a thread that waits exists. A Linux thread's record is never unmapped, and `linux` never changes.
        if unsafe { (*t).linux } {
            futex_wake(state);
        } else {
            groups::ready(t);
        }
    }
}

fn over(w: &Waiter) -> bool {
    matches!(w.state.load(Ordering::Acquire), WOKEN | LATE)
}

/// Waits as a Linux thread, during which handlers may call what they like: nothing is held.
fn park_linux(w: &Waiter, deadline: u64) {
    if groups::several() {
        for _ in 0..LOOKS {
            if over(w) {
                return;
            }
            core::hint::spin_loop();
        }
    }
    if w.state
        .compare_exchange(WAITING, PARKED, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        return;
    }
    leave();
    idly(|| {
        while !over(w) {
            if deadline != NEVER && now() >= deadline {
                // SAFETY: our own waiter.
                unsafe { Waiter::expire::<Machine>(w) };
                break;
            }
            futex_wait(&raw const w.state, PARKED, deadline);
        }
    });
    let l = local();
    // SAFETY: our own.
    unsafe { (*l).inside.store(1, Ordering::Relaxed) };
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Once, when the kernel is set up: `slot` is where kernel calls enter.
pub fn init(lock: &crate::kernel::slots::Guard) {
    switch::init(lock);
}

/// Linux threads that are not the kernel's, less one, so that it starts as zero. A thread counts from before it is made until its end; one of the
/// kernel's takes itself out in between: so this is never less than the truth, and -1 is certain.
#[unsafe(link_section = ".bss.hrt_shared")]
static PLAIN: AtomicIsize = AtomicIsize::new(0);

/// A Linux thread is about to be made.
pub fn begins() {
    PLAIN.fetch_add(1, Ordering::AcqRel);
}

/// A Linux thread ends, or was not made after all; true if nothing of the program's is left in this process.
pub fn ends() -> bool {
    PLAIN.fetch_sub(1, Ordering::AcqRel) == 0 && LIVE.load(Ordering::Acquire) == 0
}

/// The calling Linux thread is the kernel's.
fn helps() {
    if ends() {
        // All others have ended before this one came so far.
        none_left();
    }
}

/// No kernel thread is left: the process ends if no other is.
fn none_left() {
    // In this order: who could still make kernel threads is one of those counted, and may have made some before it ended.
    if PLAIN.load(Ordering::Acquire) < 0 && LIVE.load(Ordering::Acquire) == 0 {
        // SAFETY: ends the process, as the last thread's end does.
        unsafe { switch::hrt_exit_group(0) };
    }
}

/// In the child of a fork: its one thread goes on, on the one Linux thread there is.
pub fn after_fork() {
    // SAFETY: the calling thread's own.
    let carrier = unsafe { !(*local()).carrier.is_null() };
    PLAIN.store(if carrier { -1 } else { 0 }, Ordering::Relaxed);
    IDLE.store(0, Ordering::Relaxed);
    groups::after_fork();
    monitor::after_fork();
    stacks::after_fork();
    thread::after_fork();
    posix::after_fork(block::current());
    keys::after_fork();
}
