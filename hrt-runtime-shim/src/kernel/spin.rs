//! The kernel's lock: for a few instructions at a time. No signal handler of the program and no call that blocks runs under it.
//!
//! Who does not get it soon sleeps on it, since its holder may wait for this very processor. In a jail the kernel makes no call of
//! its own accord: there it is waited for by spinning, and nobody is woken; so who sleeps does so for a short time only.

use super::CONFINED;
use crate::raw::{self, nr};
use core::sync::atomic::{AtomicU32, Ordering};

/// See the module.
pub struct Spin(AtomicU32);

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep.
const AWAITED: u32 = 2;

/// Turns before sleep.
const TURNS: u32 = 100;
/// Nanoseconds after which a sleeper looks by itself.
const NAP: usize = 10_000_000;
const FUTEX_WAIT_PRIVATE: usize = 128;
const FUTEX_WAKE_PRIVATE: usize = 129;

/// Holds a lock.
pub struct Guard<'a>(&'a Spin);

impl Spin {
    /// Free.
    #[must_use]
    pub const fn new() -> Self {
        Spin(AtomicU32::new(FREE))
    }

    /// Takes the lock.
    #[must_use]
    pub fn take(&self) -> Guard<'_> {
        let mut turns = 0;
        while self
            .0
            .compare_exchange_weak(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::hint::spin_loop();
            turns += 1;
            if turns >= TURNS && !CONFINED.load(Ordering::Relaxed) {
                self.sleep();
                break;
            }
        }
        Guard(self)
    }

    /// Takes the lock if it is free soon. For the guest's kernel, which can neither sleep nor wake: a sleeper looks by itself.
    #[must_use]
    pub fn take_soon(&self) -> Option<Brief<'_>> {
        for _ in 0..TURNS {
            let got =
                self.0
                    .compare_exchange_weak(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
            if got.is_ok() {
                return Some(Brief(self));
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Takes the lock by sleeping for it.
    #[cold]
    fn sleep(&self) {
        // Whoever has slept cannot know that nobody else does.
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            if CONFINED.load(Ordering::Relaxed) {
                core::hint::spin_loop();
                continue;
            }
            self.futex(FUTEX_WAIT_PRIVATE, AWAITED as usize);
        }
    }

    fn futex(&self, operation: usize, value: usize) {
        let nap = [0, NAP];
        let word = core::ptr::from_ref(&self.0) as usize;
        let nap = nap.as_ptr() as usize;
        // SAFETY: waits for or wakes on a word of ours; the time is a complete `struct timespec`.
        unsafe { raw::syscall4(nr::FUTEX, word, operation, value, nap) };
    }
}

/// Holds a lock, and wakes nobody at its end.
pub struct Brief<'a>(&'a Spin);

impl Drop for Brief<'_> {
    fn drop(&mut self) {
        self.0.0.store(FREE, Ordering::Release);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let awaited = self.0.0.swap(FREE, Ordering::Release) == AWAITED;
        if awaited && !CONFINED.load(Ordering::Relaxed) {
            self.0.futex(FUTEX_WAKE_PRIVATE, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::UnsafeCell;

    struct Counted(Spin, UnsafeCell<u64>);
    // SAFETY: the number is used under the lock only.
    unsafe impl Sync for Counted {}

    #[test]
    fn one_at_a_time() {
        const THREADS: u64 = 8;
        const ROUNDS: u64 = 20_000;
        let counted = Counted(Spin::new(), UnsafeCell::new(0));
        let counted = &counted;
        std::thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(move || {
                    for i in 0..ROUNDS {
                        let _guard = counted.0.take();
                        // SAFETY: the lock is held.
                        unsafe { *counted.1.get() += 1 };
                        if i % 1000 == 0 {
                            // Long enough for others to go to sleep.
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        // SAFETY: all threads have ended.
        assert_eq!(unsafe { *counted.1.get() }, THREADS * ROUNDS);
        assert_eq!(counted.0.0.load(Ordering::Relaxed), FREE);
    }
}
