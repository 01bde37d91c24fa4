//! What threads synchronize by. Each object lies in the program's memory, all zeros is a good initial state (but for a barrier), and its size is that
//! of `hrt.h`, which is at most that of its pthread counterpart in glibc. A mutex has its kind where glibc has it.
//!
//! An object is handed over: who is woken has got what it waited for, so nobody can come between, and nobody waits twice.

use super::wait::{Lock, Queue, Waiter};
use super::{Error, Host, NEVER};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A queue with its lock.
#[repr(C)]
#[derive(Debug)]
struct Waiting {
    lock: Lock,
    tag: AtomicU32,
    queue: UnsafeCell<Queue>,
}

// SAFETY: the queue is used under the lock only.
unsafe impl Sync for Waiting {}
// SAFETY: a queue that moves is empty; else its waiters would be lost, which is the owner's promise to avoid.
unsafe impl Send for Waiting {}

impl Waiting {
    const fn new() -> Self {
        Waiting {
            lock: Lock::new(),
            tag: AtomicU32::new(0),
            queue: UnsafeCell::new(Queue::new()),
        }
    }

    /// # Safety
    /// The lock must be held while the result is used.
    #[allow(clippy::mut_from_ref)]
    unsafe fn queue(&self) -> &mut Queue {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.queue.get() }
    }

    /// Waits, in the queue, until another thread takes the caller out; `unless` is asked under the lock and ends the wait before
    /// it begins.
    fn wait<H: Host, R>(
        &self,
        tag: u32,
        deadline: u64,
        unless: impl FnOnce(&mut Queue) -> Option<R>,
    ) -> Result<Option<R>, Error> {
        let w = Waiter::new::<H>(tag);
        let held = self.lock.take::<H>();
        // SAFETY: the lock is held.
        let queue = unsafe { self.queue() };
        if let Some(r) = unless(queue) {
            return Ok(Some(r));
        }
        if deadline == 0 {
            return Err(Error::TimedOut);
        }
        // SAFETY: the waiter stays here until it is out of the queue.
        unsafe { queue.push(&w) };
        drop(held);
        // SAFETY: our own waiter.
        unsafe { H::park(&w, deadline) };
        // SAFETY: our own waiter and queue.
        if deadline != NEVER && unsafe { give_up::<H>(&w, &self.lock, &self.queue) } {
            return Err(Error::TimedOut);
        }
        Ok(None)
    }
}

/// Takes a waiter whose deadline may have passed out of its queue; false if another thread has done so, which has then woken it.
///
/// # Safety
/// The waiter must have been put into that queue, whose lock is `lock`.
unsafe fn give_up<H: Host>(w: &Waiter, lock: &Lock, queue: &UnsafeCell<Queue>) -> bool {
    {
        let _held = lock.take::<H>();
        // SAFETY: the caller's promise; the lock is held.
        unsafe {
            if w.is_queued() {
                (*queue.get()).remove(w);
                return true;
            }
        }
    }
    w.settle::<H>();
    false
}

/// A mutex's behaviour, by glibc's numbers (`PTHREAD_MUTEX_*_NP`).
pub mod kind {
    /// A second lock by the owner waits for ever.
    pub const NORMAL: u32 = 0;
    /// The owner may lock again, and unlocks as often.
    pub const RECURSIVE: u32 = 1;
    /// A second lock, or an unlock by another thread, is an error.
    pub const ERRORCHECK: u32 = 2;
    /// As `NORMAL`.
    pub const ADAPTIVE: u32 = 3;
}

/// `word` of a mutex that is free.
const FREE: u32 = 0;
/// That is locked, and nobody waits.
const LOCKED: u32 = 1;
/// That is locked, and its queue is to be looked at when it is unlocked.
const CONTENDED: u32 = 2;

/// A mutual-exclusion lock.
#[repr(C)]
#[derive(Debug)]
pub struct Mutex {
    word: AtomicU32,
    depth: AtomicU32,
    owner: AtomicUsize,
    kind: AtomicU32,
    lock: Lock,
    queue: UnsafeCell<Queue>,
}

// SAFETY: the queue is used under the lock only.
unsafe impl Sync for Mutex {}
// SAFETY: as for `Waiting`.
unsafe impl Send for Mutex {}

const _: () = assert!(size_of::<Mutex>() == 40 && core::mem::offset_of!(Mutex, kind) == 16);

impl Mutex {
    /// Unlocked, of the [`kind`] given.
    #[must_use]
    pub const fn new(kind: u32) -> Self {
        Mutex {
            word: AtomicU32::new(FREE),
            depth: AtomicU32::new(0),
            owner: AtomicUsize::new(0),
            kind: AtomicU32::new(kind),
            lock: Lock::new(),
            queue: UnsafeCell::new(Queue::new()),
        }
    }

    /// True if a thread holds it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.word.load(Ordering::Acquire) != FREE
    }

    fn checks(&self) -> bool {
        matches!(
            self.kind.load(Ordering::Relaxed),
            kind::RECURSIVE | kind::ERRORCHECK
        )
    }

    /// What a lock by the owner answers.
    fn again(&self, tries: bool) -> Option<Result<(), Error>> {
        match self.kind.load(Ordering::Relaxed) {
            kind::RECURSIVE => {
                let depth = self.depth.load(Ordering::Relaxed);
                if depth == u32::MAX {
                    return Some(Err(Error::Again));
                }
                self.depth.store(depth + 1, Ordering::Relaxed);
                Some(Ok(()))
            }
            kind::ERRORCHECK if !tries => Some(Err(Error::Deadlock)),
            kind::ERRORCHECK => Some(Err(Error::Busy)),
            _ => None,
        }
    }

    /// Locks it if it is free.
    ///
    /// # Errors
    /// [`Error::Busy`] if it is not; [`Error::Again`] if the owner has locked it too often.
    #[inline]
    pub fn try_lock<H: Host>(&self) -> Result<(), Error> {
        let got = self
            .word
            .compare_exchange(FREE, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if self.checks() {
            let me = H::current();
            if got {
                self.owner.store(me, Ordering::Relaxed);
            } else if self.owner.load(Ordering::Relaxed) == me {
                return self.again(true).unwrap_or(Err(Error::Busy));
            }
        }
        if got { Ok(()) } else { Err(Error::Busy) }
    }

    /// Locks it, waiting until `deadline` at most.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Deadlock`] and [`Error::Again`] as its kind has it.
    pub fn lock<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        let mut turns = 0;
        loop {
            match self.try_lock::<H>() {
                Err(Error::Busy) => {}
                done => return done,
            }
            if self.checks() && self.owner.load(Ordering::Relaxed) == H::current() {
                return Err(Error::Deadlock);
            }
            // Who waits already comes first.
            if turns >= H::patience() || self.word.load(Ordering::Relaxed) == CONTENDED {
                break;
            }
            turns += 1;
            core::hint::spin_loop();
        }
        self.wait::<H>(deadline)
    }

    #[cold]
    fn wait<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        let w = Waiter::new::<H>(0);
        // SAFETY: our own waiter, until it is out of the queue.
        unsafe {
            if self.enqueue::<H>(&w) {
                if self.checks() {
                    self.owner.store(w.thread, Ordering::Relaxed);
                }
                return Ok(());
            }
            H::park(&w, deadline);
            if deadline != NEVER && give_up::<H>(&w, &self.lock, &self.queue) {
                return Err(Error::TimedOut);
            }
        }
        Ok(())
    }

    /// Locks it for the waiter (true), or puts that into the queue: then it is woken as the owner.
    ///
    /// # Safety
    /// As for [`Queue::push`].
    unsafe fn enqueue<H: Host>(&self, w: &Waiter) -> bool {
        let _held = self.lock.take::<H>();
        if self.word.swap(CONTENDED, Ordering::Acquire) == FREE {
            // SAFETY: the lock is held.
            if unsafe { (*self.queue.get()).is_empty() } {
                // Nobody may have seen CONTENDED and counted on it but under the lock.
                self.word.store(LOCKED, Ordering::Relaxed);
            }
            return true;
        }
        // SAFETY: the caller's promise; the lock is held.
        unsafe { (*self.queue.get()).push(w) };
        false
    }

    /// Unlocks it, or hands it to the thread that waits longest.
    ///
    /// # Errors
    /// [`Error::NotOwner`], as its kind has it.
    #[inline]
    pub fn unlock<H: Host>(&self) -> Result<(), Error> {
        if self.checks() {
            if self.owner.load(Ordering::Relaxed) != H::current() {
                return Err(Error::NotOwner);
            }
            let depth = self.depth.load(Ordering::Relaxed);
            if depth > 0 {
                self.depth.store(depth - 1, Ordering::Relaxed);
                return Ok(());
            }
            self.owner.store(0, Ordering::Relaxed);
        }
        if self
            .word
            .compare_exchange(LOCKED, FREE, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.hand_over::<H>();
        }
        Ok(())
    }

    #[cold]
    fn hand_over<H: Host>(&self) {
        let held = self.lock.take::<H>();
        // SAFETY: the lock is held.
        let queue = unsafe { &mut *self.queue.get() };
        let Some(next) = queue.pop() else {
            self.word.store(FREE, Ordering::Release);
            return;
        };
        if self.checks() {
            // SAFETY: a waiter lives until it is woken.
            self.owner
                .store(unsafe { (*next).thread }, Ordering::Relaxed);
        }
        if queue.is_empty() {
            self.word.store(LOCKED, Ordering::Relaxed);
        }
        drop(held);
        // SAFETY: as above.
        unsafe { Waiter::wake::<H>(next) };
    }

    /// Unlocks a recursive mutex wholly; returns what [`Mutex::restore`] takes.
    fn release<H: Host>(&self) -> Result<u32, Error> {
        let depth = match self.checks() {
            true if self.owner.load(Ordering::Relaxed) != H::current() => {
                return Err(Error::NotOwner);
            }
            true => self.depth.swap(0, Ordering::Relaxed),
            false => 0,
        };
        self.unlock::<H>()?;
        Ok(depth)
    }

    fn restore(&self, depth: u32) {
        if depth != 0 {
            self.depth.store(depth, Ordering::Relaxed);
        }
    }
}

/// A condition variable.
#[repr(C)]
#[derive(Debug)]
pub struct Condition {
    waiting: Waiting,
}
const _: () = assert!(size_of::<Condition>() == 24);

impl Condition {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Condition {
            waiting: Waiting::new(),
        }
    }

    /// Unlocks `mutex`, waits to be signalled until `deadline` at most, and locks it again, whatever happens.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::NotOwner`] as the mutex's kind has it, and then nothing was done.
    pub fn wait<H: Host>(&self, mutex: &Mutex, deadline: u64) -> Result<(), Error> {
        let w = Waiter::new::<H>(0);
        {
            let _held = self.waiting.lock.take::<H>();
            // SAFETY: the lock is held; the waiter stays here until it is out of the queue.
            unsafe { self.waiting.queue().push(&w) };
        }
        let depth = match mutex.release::<H>() {
            Ok(depth) => depth,
            Err(e) => {
                // Somebody may have signalled us: that one is lost, as the caller broke the rules.
                // SAFETY: our own waiter and queue.
                unsafe { give_up::<H>(&w, &self.waiting.lock, &self.waiting.queue) };
                return Err(e);
            }
        };
        // SAFETY: our own waiter.
        unsafe { H::park(&w, deadline) };
        let timed_out = deadline != NEVER
            // SAFETY: our own waiter and queue.
            && unsafe { give_up::<H>(&w, &self.waiting.lock, &self.waiting.queue) };
        let locked = mutex.lock::<H>(NEVER);
        mutex.restore(depth);
        locked?;
        if timed_out {
            return Err(Error::TimedOut);
        }
        Ok(())
    }

    /// Ends the wait of the thread that waits longest.
    pub fn signal<H: Host>(&self) {
        let held = self.waiting.lock.take::<H>();
        // SAFETY: the lock is held.
        let first = unsafe { self.waiting.queue().pop() };
        drop(held);
        if let Some(w) = first {
            // SAFETY: a waiter lives until it is woken.
            unsafe { Waiter::wake::<H>(w) };
        }
    }

    /// Ends the waits of all threads that wait now.
    pub fn broadcast<H: Host>(&self) {
        let _held = self.waiting.lock.take::<H>();
        // SAFETY: the lock is held.
        unsafe { wake_list::<H>(self.waiting.queue()) };
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

/// Wakes all that wait.
///
/// # Safety
/// The queue's lock must be held.
unsafe fn wake_list<H: Host>(list: &mut Queue) {
    while let Some(w) = list.pop() {
        // SAFETY: a waiter lives until it is woken.
        unsafe { Waiter::wake::<H>(w) };
    }
}

/// A counting semaphore.
#[repr(C)]
#[derive(Debug)]
pub struct Semaphore {
    value: AtomicU32,
    pad: u32,
    waiting: Waiting,
}
const _: () = assert!(size_of::<Semaphore>() == 32);

impl Semaphore {
    /// The greatest value (SEM_VALUE_MAX).
    pub const MAX: u32 = i32::MAX as u32;

    /// With `value` units.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Semaphore {
            value: AtomicU32::new(value),
            pad: 0,
            waiting: Waiting::new(),
        }
    }

    /// The units there are.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.value.load(Ordering::Relaxed)
    }

    /// Takes a unit if there is one.
    ///
    /// # Errors
    /// [`Error::Again`].
    pub fn try_wait(&self) -> Result<(), Error> {
        self.value
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |v| v.checked_sub(1))
            .map(|_| ())
            .map_err(|_| Error::Again)
    }

    /// Takes a unit, waiting for one until `deadline` at most.
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn wait<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        if self.try_wait().is_ok() {
            return Ok(());
        }
        self.waiting
            .wait::<H, ()>(0, deadline, |_| self.try_wait().ok())
            .map(|_| ())
    }

    /// Adds a unit, or gives it to the thread that waits longest.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn post<H: Host>(&self) -> Result<(), Error> {
        let held = self.waiting.lock.take::<H>();
        // SAFETY: the lock is held.
        let first = unsafe { self.waiting.queue().pop() };
        if let Some(w) = first {
            drop(held);
            // SAFETY: a waiter lives until it is woken.
            unsafe { Waiter::wake::<H>(w) };
            return Ok(());
        }
        self.value
            .fetch_update(Ordering::Release, Ordering::Relaxed, |v| {
                (v < Self::MAX).then_some(v + 1)
            })
            .map(|_| ())
            .map_err(|_| Error::Overflow)
    }
}

/// Something that happens: threads wait until it is set.
#[repr(C)]
#[derive(Debug)]
pub struct Event {
    set: AtomicU32,
    manual: AtomicU32,
    waiting: Waiting,
}
const _: () = assert!(size_of::<Event>() == 32);

impl Event {
    /// `manual`: it stays set until it is reset; else it lets one thread pass. All zeros: automatic, not set.
    #[must_use]
    pub const fn new(manual: bool, set: bool) -> Self {
        Event {
            set: AtomicU32::new(set as u32),
            manual: AtomicU32::new(manual as u32),
            waiting: Waiting::new(),
        }
    }

    fn pass(&self) -> Option<()> {
        let passes = match self.manual.load(Ordering::Relaxed) {
            0 => self
                .set
                .compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed)
                .is_ok(),
            _ => self.set.load(Ordering::Acquire) != 0,
        };
        passes.then_some(())
    }

    /// Waits until it is set, until `deadline` at most (0: not at all).
    ///
    /// # Errors
    /// [`Error::TimedOut`].
    pub fn wait<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        if self.pass().is_some() {
            return Ok(());
        }
        self.waiting
            .wait::<H, ()>(0, deadline, |_| self.pass())
            .map(|_| ())
    }

    /// Sets it.
    pub fn set<H: Host>(&self) {
        if self.manual.load(Ordering::Relaxed) != 0 {
            let _held = self.waiting.lock.take::<H>();
            self.set.store(1, Ordering::Release);
            // SAFETY: the lock is held.
            unsafe { wake_list::<H>(self.waiting.queue()) };
            return;
        }
        let held = self.waiting.lock.take::<H>();
        // SAFETY: the lock is held.
        let Some(w) = (unsafe { self.waiting.queue().pop() }) else {
            self.set.store(1, Ordering::Release);
            return;
        };
        drop(held);
        // SAFETY: a waiter lives until it is woken.
        unsafe { Waiter::wake::<H>(w) };
    }

    /// It is set no more.
    pub fn reset(&self) {
        self.set.store(0, Ordering::Relaxed);
    }
}

/// A barrier.
#[repr(C)]
#[derive(Debug)]
pub struct Barrier {
    threads: AtomicU32,
    arrived: AtomicU32,
    waiting: Waiting,
}
const _: () = assert!(size_of::<Barrier>() == 32);

impl Barrier {
    /// For so many threads, at least one.
    #[must_use]
    pub const fn new(threads: u32) -> Self {
        Barrier {
            threads: AtomicU32::new(threads),
            arrived: AtomicU32::new(0),
            waiting: Waiting::new(),
        }
    }

    /// True if somebody waits at it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.arrived.load(Ordering::Acquire) != 0
    }

    /// Waits until as many threads have come as it is for; true for one of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is for no threads at all.
    pub fn wait<H: Host>(&self) -> Result<bool, Error> {
        let threads = self.threads.load(Ordering::Relaxed);
        if threads == 0 {
            return Err(Error::Invalid);
        }
        let last = self.waiting.wait::<H, ()>(0, NEVER, |queue| {
            let n = self.arrived.load(Ordering::Relaxed) + 1;
            if n < threads {
                self.arrived.store(n, Ordering::Relaxed);
                return None;
            }
            self.arrived.store(0, Ordering::Release);
            // SAFETY: the lock is held.
            unsafe { wake_list::<H>(queue) };
            Some(())
        })?;
        Ok(last.is_some())
    }
}

const READER: u32 = 1;
const WRITER: u32 = 2;

/// A lock that many threads may hold to read, or one to write. As in glibc, readers do not wait for writers that wait.
#[repr(C)]
#[derive(Debug)]
pub struct RwLock {
    readers: AtomicU32,
    pad: u32,
    writer: AtomicUsize,
    waiting: Waiting,
}
const _: () = assert!(size_of::<RwLock>() == 40);

impl RwLock {
    /// Unlocked.
    #[must_use]
    pub const fn new() -> Self {
        RwLock {
            readers: AtomicU32::new(0),
            pad: 0,
            writer: AtomicUsize::new(0),
            waiting: Waiting::new(),
        }
    }

    /// True if a thread holds it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.readers.load(Ordering::Acquire) != 0 || self.writer.load(Ordering::Acquire) != 0
    }

    /// Under the lock: one reader more, if no thread writes.
    fn enter_reader(&self) -> Option<Result<(), Error>> {
        if self.writer.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let n = self.readers.load(Ordering::Relaxed);
        if n == u32::MAX {
            return Some(Err(Error::Again));
        }
        self.readers.store(n + 1, Ordering::Relaxed);
        Some(Ok(()))
    }

    /// Under the lock: `me` writes, if no thread reads or writes.
    fn enter_writer(&self, me: usize) -> Option<()> {
        let free =
            self.writer.load(Ordering::Relaxed) == 0 && self.readers.load(Ordering::Relaxed) == 0;
        free.then(|| self.writer.store(me, Ordering::Relaxed))
    }

    /// Locks it to read, waiting until `deadline` at most (0: not at all).
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Deadlock`] if the caller writes; [`Error::Again`] if there are too many.
    pub fn read<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        if self.writer.load(Ordering::Relaxed) == H::current() {
            return Err(Error::Deadlock);
        }
        self.waiting
            .wait::<H, _>(READER, deadline, |_| self.enter_reader())?
            .unwrap_or(Ok(()))
    }

    /// Locks it to write, waiting until `deadline` at most (0: not at all).
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Deadlock`] if the caller writes already.
    pub fn write<H: Host>(&self, deadline: u64) -> Result<(), Error> {
        let me = H::current();
        if self.writer.load(Ordering::Relaxed) == me {
            return Err(Error::Deadlock);
        }
        self.waiting
            .wait::<H, ()>(WRITER, deadline, |_| self.enter_writer(me))
            .map(|_| ())
    }

    /// Unlocks it.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if another thread writes, or none reads.
    pub fn unlock<H: Host>(&self) -> Result<(), Error> {
        let _held = self.waiting.lock.take::<H>();
        let writer = self.writer.load(Ordering::Relaxed);
        let readers = self.readers.load(Ordering::Relaxed);
        if writer == 0 && readers > 0 {
            self.readers.store(readers - 1, Ordering::Release);
            if readers > 1 {
                return Ok(());
            }
        } else if writer != 0 && writer == H::current() {
            self.writer.store(0, Ordering::Release);
        } else {
            return Err(Error::NotOwner);
        }
        // SAFETY: the lock is held; waiters live until they are woken.
        unsafe {
            let queue = self.waiting.queue();
            if queue.first_tag() == Some(WRITER) {
                if let Some(w) = queue.pop() {
                    self.writer.store((*w).thread, Ordering::Relaxed);
                    Waiter::wake::<H>(w);
                }
                return Ok(());
            }
            while let Some(w) = queue.pop_tagged(READER) {
                self.readers
                    .store(self.readers.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                Waiter::wake::<H>(w);
            }
        }
        Ok(())
    }
}

impl Default for RwLock {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that is done once; glibc's `pthread_once_t` in size and in its first state.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Once(AtomicU32);

const RUNNING: u32 = 1;
const DONE: u32 = 2;

impl Once {
    /// Not done.
    #[must_use]
    pub const fn new() -> Self {
        Once(AtomicU32::new(0))
    }

    /// True if the caller is to do it, and then say [`Once::done`]; false when it has been done, which is waited for.
    pub fn begin<H: Host>(&self) -> bool {
        loop {
            match self
                .0
                .compare_exchange(0, RUNNING, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(DONE) => return false,
                Err(_) => H::give_way(),
            }
        }
    }

    /// It is done, or (`false`) to be done by another.
    pub fn done(&self, done: bool) {
        self.0.store(if done { DONE } else { 0 }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
