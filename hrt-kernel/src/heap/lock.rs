//! The heap's lock, which knows its owner: a signal handler that interrupts its holder is told so instead of waiting for ever.

use core::sync::atomic::{AtomicUsize, Ordering};

/// See the module. All zero is free.
#[repr(transparent)]
pub struct Lock(AtomicUsize);

impl Lock {
    /// Takes the lock for `me`, a number other than 0 that no other thread has; `wait` is called now and then. False if `me` holds
    /// it already.
    pub fn take(&self, me: usize, wait: impl Fn()) -> bool {
        let mut turns = 0u32;
        loop {
            match self
                .0
                .compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(owner) if owner == me => return false,
                Err(_) => {}
            }
            core::hint::spin_loop();
            turns += 1;
            if turns.is_multiple_of(128) {
                wait();
            }
        }
    }

    /// Gives it back; the caller must hold it.
    pub fn give(&self) {
        self.0.store(0, Ordering::Release);
    }
}
