//! Kernel threads, as far as no machine is needed: wait queues, the objects that threads synchronize by, run queues, timers, and
//! what the monitor decides. The machine (stacks, switches, Linux threads) is behind [`Host`].
//!
//! A thread that waits has a [`wait::Waiter`] on its own stack. Whoever ends the wait moves the waiter's state to *woken*, and readies the
//! thread if it had already stopped executing; so waking and a deadline can meet in any order.

pub mod run;
pub mod sync;
pub mod timers;
pub mod wait;
pub mod watch;

use core::sync::atomic::AtomicU32;

/// A deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// Errors of the functions here, as positive Linux error numbers (`errno(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// The caller does not own the object (EPERM).
    NotOwner = 1,
    /// It cannot be had now (EAGAIN).
    Again = 11,
    /// The object is in use (EBUSY).
    Busy = 16,
    /// An argument means nothing (EINVAL).
    Invalid = 22,
    /// The caller would wait for itself (EDEADLK).
    Deadlock = 35,
    /// A counter is at its end (EOVERFLOW).
    Overflow = 75,
    /// The deadline has passed (ETIMEDOUT).
    TimedOut = 110,
}

/// The machine that threads execute on.
pub trait Host {
    /// Identifies the calling thread; never 0, and its own while it lives.
    fn current() -> usize;

    /// For how many turns a lock that another thread holds is worth waiting for, before the caller stops.
    fn patience() -> u32;

    /// Called for each turn of a short wait for a lock.
    fn relax(turns: u32);

    /// Lets other threads execute, the caller later.
    fn give_way();

    /// Stops the calling thread until its waiter is woken, or until `deadline` ([`NEVER`], or nanoseconds of the monotonic clock), when the
    /// host lets it expire.
    ///
    /// # Safety
    /// `waiter` must be the caller's own.
    unsafe fn park(waiter: &wait::Waiter, deadline: u64);

    /// Lets `thread`, which has stopped in [`Host::park`], go on. `state` is its waiter's state word, which may be gone.
    fn ready(thread: usize, state: *const AtomicU32);
}
