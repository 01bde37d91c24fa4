//! The run queue of an execution group: threads that could execute. Its own thread takes the oldest, or the newest where a child goes
//! first; others steal the oldest.

use super::Host;
use super::wait::Lock;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

/// What a thread is linked by; a thread starts with it.
#[repr(C)]
#[derive(Debug)]
pub struct Node {
    next: *mut Node,
    prev: *mut Node,
}

impl Node {
    /// In no queue.
    #[must_use]
    pub const fn new() -> Self {
        Node {
            next: null_mut(),
            prev: null_mut(),
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

struct Ends {
    head: *mut Node,
    tail: *mut Node,
}

/// See the module.
pub struct RunQueue {
    lock: Lock,
    length: AtomicUsize,
    ends: UnsafeCell<Ends>,
}

// SAFETY: the ends and the nodes' links are used under the lock only.
unsafe impl Sync for RunQueue {}
// SAFETY: as above; nothing belongs to the thread that made it.
unsafe impl Send for RunQueue {}

impl RunQueue {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        RunQueue {
            lock: Lock::new(),
            length: AtomicUsize::new(0),
            ends: UnsafeCell::new(Ends {
                head: null_mut(),
                tail: null_mut(),
            }),
        }
    }

    /// How many threads wait here; old news unless the lock is held.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// True if none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a thread, as the oldest (`front`) or the newest, and answers `look`, which is called under the lock with the length: what it reads
    /// is ordered against every [`RunQueue::is_really_empty`].
    ///
    /// # Safety
    /// The node must be in no queue, and alive until it is taken out.
    #[inline]
    pub unsafe fn push<H: Host, R>(
        &self,
        node: *mut Node,
        front: bool,
        look: impl FnOnce(usize) -> R,
    ) -> R {
        let _held = self.lock.take::<H>();
        // SAFETY: the lock is held; nodes in the queue are alive.
        unsafe {
            let e = &mut *self.ends.get();
            if front {
                (*node).prev = null_mut();
                (*node).next = e.head;
                match e.head.is_null() {
                    true => e.tail = node,
                    false => (*e.head).prev = node,
                }
                e.head = node;
            } else {
                (*node).next = null_mut();
                (*node).prev = e.tail;
                match e.tail.is_null() {
                    true => e.head = node,
                    false => (*e.tail).next = node,
                }
                e.tail = node;
            }
        }
        let n = self.length.load(Ordering::Relaxed) + 1;
        self.length.store(n, Ordering::Relaxed);
        look(n)
    }

    /// Takes the thread at the front.
    #[inline]
    pub fn pop<H: Host>(&self) -> Option<*mut Node> {
        if self.is_empty() {
            return None;
        }
        let _held = self.lock.take::<H>();
        // SAFETY: the lock is held; nodes in the queue are alive.
        unsafe {
            let e = &mut *self.ends.get();
            let first = e.head;
            if first.is_null() {
                return None;
            }
            e.head = (*first).next;
            match e.head.is_null() {
                true => e.tail = null_mut(),
                false => (*e.head).prev = null_mut(),
            }
            self.length
                .store(self.length.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
            Some(first)
        }
    }

    /// Takes the thread at the front and adds `node` at the back. Unless the queue was empty, it stays locked until [`RunQueue::unlock`]: so
    /// nobody comes to `node` before.
    ///
    /// # Safety
    /// As [`RunQueue::push`].
    #[inline]
    pub unsafe fn rotate<H: Host>(&self, node: *mut Node) -> Option<*mut Node> {
        if self.is_empty() {
            return None;
        }
        let held = self.lock.take::<H>();
        // SAFETY: the lock is held; nodes in the queue are alive.
        unsafe {
            let e = &mut *self.ends.get();
            let first = e.head;
            if first.is_null() {
                return None;
            }
            (*node).next = null_mut();
            (*node).prev = e.tail;
            (*e.tail).next = node;
            e.tail = node;
            e.head = (*first).next;
            (*e.head).prev = null_mut();
            core::mem::forget(held);
            Some(first)
        }
    }

    /// Ends what [`RunQueue::rotate`] has begun.
    ///
    /// # Safety
    /// The caller must have begun it.
    #[inline]
    pub unsafe fn unlock(&self) {
        // SAFETY: the caller's promise: the lock is the caller's.
        unsafe { self.lock.reset() };
    }

    /// Takes the thread at the back: the one that its own group would come to last.
    pub fn steal<H: Host>(&self) -> Option<*mut Node> {
        if self.is_empty() {
            return None;
        }
        let _held = self.lock.take::<H>();
        // SAFETY: the lock is held; nodes in the queue are alive.
        unsafe {
            let e = &mut *self.ends.get();
            let last = e.tail;
            if last.is_null() {
                return None;
            }
            e.tail = (*last).prev;
            match e.tail.is_null() {
                true => e.head = null_mut(),
                false => (*e.tail).next = null_mut(),
            }
            self.length
                .store(self.length.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
            Some(last)
        }
    }

    /// As [`RunQueue::is_empty`], under the lock: see [`RunQueue::push`].
    #[must_use]
    pub fn is_really_empty<H: Host>(&self) -> bool {
        let _held = self.lock.take::<H>();
        self.is_empty()
    }

    /// Forgets all threads.
    ///
    /// # Safety
    /// No other thread may use the queue (in the child of a fork).
    pub unsafe fn reset(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            self.lock.reset();
            *self.ends.get() = Ends {
                head: null_mut(),
                tail: null_mut(),
            };
        }
        self.length.store(0, Ordering::Relaxed);
    }
}

impl Default for RunQueue {
    fn default() -> Self {
        Self::new()
    }
}
