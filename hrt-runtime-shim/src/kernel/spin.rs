//! The kernel's lock: for a few instructions at a time. No signal handler of the program and no call that blocks runs under it.

use super::CONFINED;
use crate::raw::{self, nr};
use core::sync::atomic::{AtomicBool, Ordering};

/// See the module.
pub struct Spin(AtomicBool);

/// Holds a lock.
pub struct Guard<'a>(&'a Spin);

impl Spin {
    /// Free.
    #[must_use]
    pub const fn new() -> Self {
        Spin(AtomicBool::new(false))
    }

    /// Takes the lock.
    #[must_use]
    pub fn take(&self) -> Guard<'_> {
        let mut turns = 0u32;
        while self
            .0
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::hint::spin_loop();
            turns += 1;
            // The holder may wait for this very processor.
            if turns.is_multiple_of(256) && !CONFINED.load(Ordering::Relaxed) {
                // SAFETY: sched_yield(2) changes nothing.
                unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
            }
        }
        Guard(self)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}
