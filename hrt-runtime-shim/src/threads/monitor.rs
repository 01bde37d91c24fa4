//! The monitor: a Linux thread of the kernel's that lets timers go off, and looks after groups whose carrier does not come back.
//!
//! It blocks all signals. While all carriers sleep and no timer is armed, it sleeps too.

use super::groups;
use super::objects;
use super::{Machine, futex_wait, futex_wake, now};
use crate::raw;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use hrt_kernel::threads::NEVER;
use hrt_kernel::threads::timers::{Heap, Timer};
use hrt_kernel::threads::wait::{Lock, Waiter};
use hrt_kernel::threads::watch::{self, SHORT, Seen, Verdict, Watched};

/// Something that is to happen at a time.
#[repr(C)]
pub struct Alarm {
    timer: Timer,
    what: What,
}

/// What that is.
pub enum What {
    /// A wait ends.
    Expire(*const Waiter),
    /// A timer of the program's goes off.
    Timer(*mut objects::ProgramTimer),
}

impl Alarm {
    /// Ends a wait at `when`.
    pub fn wake(when: u64, w: *const Waiter) -> Self {
        Alarm {
            timer: Timer::new(when),
            what: What::Expire(w),
        }
    }

    /// Lets the program's timer `of` go off.
    pub const fn of(of: *mut objects::ProgramTimer) -> Self {
        Alarm {
            timer: Timer::new(0),
            what: What::Timer(of),
        }
    }

    /// When it goes off.
    #[must_use]
    pub fn when(&self) -> u64 {
        self.timer.when
    }

    /// Says when.
    pub fn set(&mut self, when: u64) {
        self.timer.when = when;
    }
}

struct Timers {
    lock: Lock,
    heap: UnsafeCell<Heap>,
}
// SAFETY: the heap is used under the lock.
unsafe impl Sync for Timers {}
#[unsafe(link_section = ".bss.hrt_shared")]
static TIMERS: Timers = Timers {
    lock: Lock::new(),
    heap: UnsafeCell::new(Heap::new()),
};

#[unsafe(link_section = ".bss.hrt_shared")]
static STARTED: AtomicBool = AtomicBool::new(false);
/// A futex: 0 while the monitor works, 1 while it sleeps for a time, 2 while it sleeps until it is woken.
#[unsafe(link_section = ".bss.hrt_shared")]
static SLEEP: AtomicU32 = AtomicU32::new(0);
const WORKS: u32 = 0;
const DOZES: u32 = 1;
const SLEEPS: u32 = 2;
/// Looks without any work before it sleeps.
const PATIENCE: u32 = 8;

/// Arms an alarm.
///
/// # Safety
/// It must not be armed, and must stay where it is until it is disarmed.
pub unsafe fn arm(a: *mut Alarm) {
    let first = {
        let _held = TIMERS.lock.take::<Machine>();
        // SAFETY: the caller's promise; the lock is held.
        unsafe {
            let heap = &mut *TIMERS.heap.get();
            let before = heap.first();
            heap.insert(&raw mut (*a).timer);
            before.is_none_or(|b| (*a).timer.when < b)
        }
    };
    if first {
        kick(DOZES);
    }
}

/// Disarms an alarm; false if it has gone off. It is not used any more after that.
///
/// # Safety
/// It must be alive.
pub unsafe fn disarm(a: *mut Alarm) -> bool {
    let _held = TIMERS.lock.take::<Machine>();
    // SAFETY: the caller's promise; the lock is held, under which alarms go off.
    unsafe { (*TIMERS.heap.get()).remove(&raw mut (*a).timer) }
}

/// Wakes the monitor from a sleep of `depth` or deeper.
fn kick(depth: u32) {
    if SLEEP.load(Ordering::SeqCst) >= depth && SLEEP.swap(WORKS, Ordering::AcqRel) != WORKS {
        futex_wake(&raw const SLEEP);
    }
}

/// A carrier has been woken: there is something to look after.
pub fn busy() {
    kick(SLEEPS);
}

/// Starts the monitor.
///
/// # Errors
/// What Linux says to a new thread.
pub fn start() -> Result<(), isize> {
    if STARTED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    match groups::linux_thread(work, 0) {
        0 => Ok(()),
        e => {
            STARTED.store(false, Ordering::Release);
            Err(e)
        }
    }
}

/// All signals but SIGSYS, by which the `hosted` platform gets calls of libc that makes a thread.
pub const BLOCKED: u64 = raw::ALL_SIGNALS & !(1 << 30);

/// The signal by which glibc's setuid(3) and its like reach each thread that libc has made; they wait for all of them.
const SETXID: u64 = 1 << 32;

unsafe extern "C" fn work(_: usize) -> usize {
    raw::set_sigmask(BLOCKED & !SETXID);
    super::helps();
    let mut watched = [Watched::new(); 64];
    let (mut wait, mut idle) = (SHORT, 0);
    loop {
        let time = now();
        go_off(time);
        let (mut queued, mut busy) = (false, false);
        for (i, g) in groups::all().iter().enumerate() {
            let seen = Seen {
                switches: groups::switches_of(g),
                queued: g.queue.len(),
                busy: groups::is_busy(g),
            };
            queued |= seen.queued > 0;
            busy |= seen.busy;
            match watched[i].look(seen, groups::slice_of(g), || groups::time_of(g)) {
                Verdict::Fine => {}
                Verdict::Preempt => groups::ask(g),
                Verdict::Stuck => groups::rescue(i),
            }
        }
        if queued {
            // Somebody may sleep although there is work: who made it ready thought that its own group would come to it soon.
            groups::wake_one();
        }
        idle = if queued || busy { 0 } else { idle + 1 };
        let next = watch::next(wait, queued, busy || idle < PATIENCE);
        wait = next.unwrap_or(wait);
        let depth = if next.is_some() { DOZES } else { SLEEPS };
        SLEEP.store(depth, Ordering::SeqCst);
        // What came before could not wake us.
        let first = first();
        let missed = next.is_none() && groups::all().iter().any(groups::is_busy);
        let until = first.min(next.map_or(NEVER, |n| time + n));
        if !missed && now() < until {
            super::idly(|| futex_wait(&raw const SLEEP, depth, until));
        }
        SLEEP.store(WORKS, Ordering::SeqCst);
        if missed {
            idle = 0;
        }
    }
}

fn first() -> u64 {
    let _held = TIMERS.lock.take::<Machine>();
    // SAFETY: the lock is held.
    unsafe { (*TIMERS.heap.get()).first().unwrap_or(NEVER) }
}

/// Lets alarms go off that are due.
fn go_off(time: u64) {
    loop {
        let _held = TIMERS.lock.take::<Machine>();
        // SAFETY: the lock is held; armed alarms are alive, and an alarm starts with its timer.
        let a = unsafe { (*TIMERS.heap.get()).due(time) };
        let Some(a) = a else { return };
        let a = a.cast::<Alarm>();
        // SAFETY: as above; who disarms it waits for the lock.
        unsafe {
            match (*a).what {
                What::Expire(w) => Waiter::expire::<Machine>(w),
                What::Timer(t) => {
                    if let Some(when) = objects::go_off(t, time) {
                        (*a).timer.when = when;
                        (*TIMERS.heap.get()).insert(&raw mut (*a).timer);
                    }
                }
            }
        }
    }
}

/// In the child of a fork: no timer is armed, and the monitor is started anew when it is needed.
pub fn after_fork() {
    // SAFETY: this is the only thread.
    unsafe {
        TIMERS.lock.reset();
        (*TIMERS.heap.get()).clear();
    }
    STARTED.store(false, Ordering::Relaxed);
    SLEEP.store(WORKS, Ordering::Relaxed);
}
