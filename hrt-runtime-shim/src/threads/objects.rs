//! The program's timers, and posts that handlers of signals make.

use super::monitor::{self, Alarm};
use super::thread::{self, flag};
use super::{Machine, POSTS, local};
use crate::raw::{self, errno};
use core::sync::atomic::{AtomicU32, Ordering};
use hrt_kernel::threads::sync::{Event, Semaphore};

/// A timer of the program's, in its memory (`struct hrt_timer`).
#[repr(C)]
pub struct ProgramTimer {
    alarm: Alarm,
    /// Nanoseconds between two times; 0: once.
    period: u64,
    /// An event to set, or 0.
    event: usize,
    /// Else a function, which a kernel thread of its own calls.
    function: usize,
    argument: usize,
    /// How often it has gone off.
    count: AtomicU32,
    /// [`SET`] once it has been started.
    set: u32,
}
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ProgramTimer>() == 96);
    assert!(offset_of!(ProgramTimer, event) == 64);
    assert!(offset_of!(ProgramTimer, function) == 72);
    assert!(offset_of!(ProgramTimer, argument) == 80);
};

const SET: u32 = 0x4852_5454;

/// Starts a timer anew: it goes off at `first` (monotonic clock), then each `period` ns.
///
/// # Errors
/// EINVAL: it has neither event nor function. What Linux says to the monitor's start.
///
/// # Safety
/// `t` must be a timer whose `event`, `function` and `argument` are set, and all else zeros before its first use.
pub unsafe fn start(t: *mut ProgramTimer, first: u64, period: u64) -> Result<(), isize> {
    // SAFETY: the caller's promise.
    unsafe {
        if t.is_null() || ((*t).event == 0) == ((*t).function == 0) {
            return Err(raw::err(errno::EINVAL));
        }
        super::groups::start()?;
        if (*t).set == SET {
            monitor::disarm(&raw mut (*t).alarm);
        } else {
            (&raw mut (*t).alarm).write(Alarm::of(t));
            (*t).set = SET;
        }
        (*t).period = period;
        (*t).alarm.set(first);
        monitor::arm(&raw mut (*t).alarm);
    }
    Ok(())
}

/// Stops a timer; false if it does not run. It does not go off after that.
///
/// # Safety
/// As [`start`].
pub unsafe fn stop(t: *mut ProgramTimer) -> bool {
    // SAFETY: the caller's promise.
    unsafe { !t.is_null() && (*t).set == SET && monitor::disarm(&raw mut (*t).alarm) }
}

/// It goes off; returns when it does so next.
///
/// # Safety
/// It must be alive: the timers' lock is held.
pub unsafe fn go_off(t: *mut ProgramTimer, time: u64) -> Option<u64> {
    // SAFETY: the caller's promise; the program's event is alive as long as its timer runs.
    unsafe {
        (*t).count.fetch_add(1, Ordering::Relaxed);
        if (*t).event != 0 {
            (*((*t).event as *const Event)).set::<Machine>();
        } else {
            // Without memory for a thread this time is left out.
            let _ = thread::create((*t).function, (*t).argument, flag::DETACHED, 0);
        }
        if (*t).period == 0 {
            return None;
        }
        let last = (*t).alarm.when();
        // Times that were missed are left out.
        let missed = time.saturating_sub(last) / (*t).period;
        Some(last.saturating_add((missed + 1).saturating_mul((*t).period)))
    }
}

/// What a handler posts to: the low bit of its address says which.
const EVENT: usize = 1;

/// Sets an event, or posts to a semaphore, once the function that the caller's handler interrupted is done.
///
/// # Errors
/// EAGAIN: too many wait already.
pub fn post_soon(object: usize, event: bool) -> Result<(), isize> {
    // SAFETY: the calling thread's own; a handler that interrupts this one leaves it as it finds it, or with one more.
    unsafe {
        let l = local();
        let n = (*l).posted.load(Ordering::Relaxed) as usize;
        if n >= POSTS {
            return Err(raw::err(errno::EAGAIN));
        }
        (*l).posted.store(n as u32 + 1, Ordering::Relaxed);
        (&raw mut (*l).posts[n]).write_volatile(object | if event { EVENT } else { 0 });
    }
    Ok(())
}

/// Does what handlers have left.
#[cold]
pub fn post_later() {
    loop {
        // SAFETY: the calling thread's own; `inside` keeps handlers from anything but `post_soon`.
        unsafe {
            let l = local();
            (*l).inside.store(1, Ordering::Relaxed);
            core::sync::atomic::compiler_fence(Ordering::SeqCst);
            let mut i = 0;
            loop {
                while i < (*l).posted.load(Ordering::Relaxed) {
                    let object = (&raw const (*l).posts[i as usize]).read_volatile();
                    i += 1;
                    match object & EVENT {
                        0 => {
                            let _ = (*(object as *const Semaphore)).post::<Machine>();
                        }
                        _ => (*((object & !EVENT) as *const Event)).set::<Machine>(),
                    }
                }
                // No more have come meanwhile.
                if (*l)
                    .posted
                    .compare_exchange(i, 0, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
                {
                    break;
                }
            }
            core::sync::atomic::compiler_fence(Ordering::SeqCst);
            (*l).inside.store(0, Ordering::Relaxed);
            if (*l).posted.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}
