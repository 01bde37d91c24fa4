//! Waiting: the lock of an object, a thread that waits, and the queue of those.

use super::Host;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

/// A lock for a few instructions at a time. All zeros: free.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Lock(AtomicU32);

/// Holds a [`Lock`].
pub struct Held<'a>(&'a Lock);

impl Lock {
    /// Free.
    #[must_use]
    pub const fn new() -> Self {
        Lock(AtomicU32::new(0))
    }

    /// Takes the lock.
    #[inline]
    pub fn take<H: Host>(&self) -> Held<'_> {
        let mut turns = 0;
        while self.0.swap(1, Ordering::Acquire) != 0 {
            while self.0.load(Ordering::Relaxed) != 0 {
                turns += 1;
                H::relax(turns);
            }
        }
        Held(self)
    }

    /// Takes the lock if it is free.
    #[must_use]
    pub fn try_take(&self) -> Option<Held<'_>> {
        (self.0.swap(1, Ordering::Acquire) == 0).then(|| Held(self))
    }

    /// Frees it.
    ///
    /// # Safety
    /// Its holder must have forgotten it, or be gone for ever (in the child of a fork).
    pub unsafe fn reset(&self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

/// [`Waiter`]'s state: its thread has not stopped yet.
pub const WAITING: u32 = 0;
/// Its thread has stopped.
pub const PARKED: u32 = 1;
/// The wait is over.
pub const WOKEN: u32 = 2;
/// Its deadline has passed.
pub const LATE: u32 = 3;

/// A thread that waits, on its own stack.
#[repr(C)]
#[derive(Debug)]
pub struct Waiter {
    /// [`WAITING`], [`PARKED`], [`WOKEN`] or [`LATE`].
    pub state: AtomicU32,
    /// What it waits for, as its object understands it.
    pub tag: u32,
    /// The thread.
    pub thread: usize,
    links: UnsafeCell<Links>,
}

#[repr(C)]
#[derive(Debug)]
struct Links {
    next: *mut Waiter,
    prev: *mut Waiter,
    queued: bool,
}

impl Waiter {
    /// The calling thread, about to wait for `tag`.
    #[must_use]
    pub fn new<H: Host>(tag: u32) -> Self {
        Waiter {
            state: AtomicU32::new(WAITING),
            tag,
            thread: H::current(),
            links: UnsafeCell::new(Links {
                next: null_mut(),
                prev: null_mut(),
                queued: false,
            }),
        }
    }

    /// Ends the wait. Of several calls only the first does something.
    ///
    /// # Safety
    /// `this` must be alive until its state is [`WOKEN`].
    pub unsafe fn wake<H: Host>(this: *const Waiter) {
        // SAFETY: the caller's promise; nothing of it is used after the exchange, when its thread may go on.
        unsafe {
            let (thread, state) = ((*this).thread, &raw const (*this).state);
            if (*state).swap(WOKEN, Ordering::AcqRel) == PARKED {
                H::ready(thread, state);
            }
        }
    }

    /// The deadline has passed: the thread goes on, unless it has been woken. Does nothing the second time.
    ///
    /// # Safety
    /// `this` must be alive.
    pub unsafe fn expire<H: Host>(this: *const Waiter) {
        // SAFETY: the caller's promise; nothing of it is used after the exchange.
        unsafe {
            let (thread, state) = ((*this).thread, &raw const (*this).state);
            let mut was = (*state).load(Ordering::Relaxed);
            while was == WAITING || was == PARKED {
                match (*state).compare_exchange(was, LATE, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(PARKED) => return H::ready(thread, state),
                    Ok(_) => return,
                    Err(now) => was = now,
                }
            }
        }
    }

    /// Waits for the wake of a waiter that somebody has taken out of its queue, but whose deadline has passed before: until then it must not go.
    pub fn settle<H: Host>(&self) {
        let mut turns = 0;
        while self.state.load(Ordering::Acquire) != WOKEN {
            turns += 1;
            H::relax(turns);
        }
    }

    /// True while it is in a queue, whose lock the caller holds.
    ///
    /// # Safety
    /// The lock of the queue that it was put into must be held.
    pub unsafe fn is_queued(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { (*self.links.get()).queued }
    }
}

/// Waiters, first come first served. All zeros: empty. Every use needs the lock of the object that it belongs to.
#[repr(C)]
#[derive(Debug)]
pub struct Queue {
    head: *mut Waiter,
    tail: *mut Waiter,
}

impl Queue {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Queue {
            head: null_mut(),
            tail: null_mut(),
        }
    }

    /// True if nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Adds a waiter at the end.
    ///
    /// # Safety
    /// It must be in no queue, and stay where it is until it has been taken out.
    pub unsafe fn push(&mut self, w: &Waiter) {
        let at = core::ptr::from_ref(w).cast_mut();
        // SAFETY: queued waiters are alive, and their links belong to the queue.
        unsafe {
            *w.links.get() = Links {
                next: null_mut(),
                prev: self.tail,
                queued: true,
            };
            match self.tail.is_null() {
                true => self.head = at,
                false => (*(*self.tail).links.get()).next = at,
            }
        }
        self.tail = at;
    }

    /// Takes a queued waiter out.
    ///
    /// # Safety
    /// It must be in this queue.
    pub unsafe fn remove(&mut self, w: *const Waiter) {
        // SAFETY: queued waiters are alive, and their links belong to the queue.
        unsafe {
            let l = &mut *(*w).links.get();
            match l.prev.is_null() {
                true => self.head = l.next,
                false => (*(*l.prev).links.get()).next = l.next,
            }
            match l.next.is_null() {
                true => self.tail = l.prev,
                false => (*(*l.next).links.get()).prev = l.prev,
            }
            l.queued = false;
        }
    }

    /// Takes the first one out, which stays alive until it is woken.
    pub fn pop(&mut self) -> Option<*const Waiter> {
        let first = self.head;
        if first.is_null() {
            return None;
        }
        // SAFETY: it is in this queue.
        unsafe { self.remove(first) };
        Some(first)
    }

    /// Takes out the first one whose tag is `tag`.
    pub fn pop_tagged(&mut self, tag: u32) -> Option<*const Waiter> {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: queued waiters are alive, and their links belong to the queue.
            unsafe {
                if (*at).tag == tag {
                    self.remove(at);
                    return Some(at);
                }
                at = (*(*at).links.get()).next;
            }
        }
        None
    }

    /// Takes out the first one that `wanted` says yes to.
    pub fn pop_if(
        &mut self,
        mut wanted: impl FnMut(*const Waiter) -> bool,
    ) -> Option<*const Waiter> {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: queued waiters are alive, and their links belong to the queue.
            unsafe {
                if wanted(at) {
                    self.remove(at);
                    return Some(at);
                }
                at = (*(*at).links.get()).next;
            }
        }
        None
    }

    /// The first one's tag.
    #[must_use]
    pub fn first_tag(&self) -> Option<u32> {
        // SAFETY: queued waiters are alive.
        (!self.head.is_null()).then(|| unsafe { (*self.head).tag })
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}
