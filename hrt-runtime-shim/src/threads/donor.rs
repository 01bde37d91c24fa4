//! Thread areas of the program's libc for kernel threads that want one (`HRT_THREAD_TLS`).
//!
//! Such an area is more than memory: libc keeps lists of them, fills them with pointers into itself, and runs destructors at their end. So it is
//! taken from a thread that libc has made, the *donor*, which sleeps as long as the kernel thread lives, with FS at its area, and then ends as
//! any thread does, destructors included.

use super::groups::{DETACH, JOIN, MAKER};
use super::{futex_wait, futex_wake, switch};
use crate::raw;
use core::sync::atomic::{AtomicU32, Ordering};
use hrt_kernel::threads::NEVER;

/// A donor, on its own stack.
pub struct Donor {
    /// A futex.
    state: AtomicU32,
}

/// It sleeps.
const SLEEPS: u32 = 0;
/// Its area is used no more.
const OVER: u32 = 1;

/// What a kernel thread knows of its donor.
#[repr(C)]
pub struct Area {
    /// libc's name of it.
    id: usize,
    donor: *const Donor,
    /// Its FS base.
    pub fs: usize,
    /// A futex: 1 once the two fields before are set.
    ready: AtomicU32,
}

/// True if the program has said how libc makes threads; then the carriers are such, too, and may call libc.
pub fn can_be_had() -> bool {
    [&MAKER, &JOIN, &DETACH]
        .iter()
        .all(|f| f.load(Ordering::Acquire) != 0)
}

/// Takes an area, for `area` to keep.
///
/// # Errors
/// What libc answers.
///
/// # Safety
/// [`can_be_had`] must be true. `area` must be alive until [`give_back`].
pub unsafe fn take(area: *mut Area) -> Result<(), isize> {
    let maker = MAKER.load(Ordering::Acquire);
    // SAFETY: the program has given a function like pthread_create(3); the area is alive.
    unsafe {
        (*area).ready.store(0, Ordering::Relaxed);
        let create: unsafe extern "C" fn(
            *mut usize,
            usize,
            unsafe extern "C" fn(*mut Area) -> usize,
            *mut Area,
        ) -> i32 = core::mem::transmute(maker);
        let r = create(&raw mut (*area).id, 0, donate, area);
        if r != 0 {
            return Err(raw::err(r));
        }
        while (*area).ready.load(Ordering::Acquire) == 0 {
            futex_wait(&raw const (*area).ready, 0, NEVER);
        }
    }
    Ok(())
}

/// A donor's life.
///
/// # Safety
/// Only [`take`] may start this.
unsafe extern "C" fn donate(area: *mut Area) -> usize {
    super::helps();
    // No signal is for this thread.
    let mask = raw::set_sigmask(super::monitor::BLOCKED);
    let donor = Donor {
        state: AtomicU32::new(SLEEPS),
    };
    // SAFETY: `take` waits for us.
    unsafe {
        (*area).donor = &raw const donor;
        (*area).fs = switch::fs();
        (*area).ready.store(1, Ordering::Release);
        futex_wake(&raw const (*area).ready);
    }
    while donor.state.load(Ordering::Acquire) == SLEEPS {
        futex_wait(&raw const donor.state, SLEEPS, NEVER);
    }
    raw::set_sigmask(mask);
    // It ends as one of the program's.
    super::begins();
    0
}

/// The area is used no more: its donor ends.
///
/// # Safety
/// FS must be elsewhere.
pub unsafe fn give_back(area: *mut Area) {
    // SAFETY: the donor sleeps until the store; after that its futex may be gone, which a wake does not mind.
    unsafe {
        let state = &raw const (*(*area).donor).state;
        (*state).store(OVER, Ordering::Release);
        futex_wake(state);
    }
}

/// Waits for the end of a donor whose area was given back, so for the destructors.
///
/// # Safety
/// It must not be detached.
pub unsafe fn join(area: *const Area) {
    // SAFETY: the program has given a function like pthread_join(3).
    unsafe {
        let join: unsafe extern "C" fn(usize, usize) -> i32 =
            core::mem::transmute(JOIN.load(Ordering::Acquire));
        join((*area).id, 0);
    }
}

/// Nobody will wait for the donor.
///
/// # Safety
/// It must not be detached, or joined.
pub unsafe fn detach(area: *const Area) {
    // SAFETY: the program has given a function like pthread_detach(3).
    unsafe {
        let detach: unsafe extern "C" fn(usize) -> i32 =
            core::mem::transmute(DETACH.load(Ordering::Acquire));
        detach((*area).id);
    }
}
