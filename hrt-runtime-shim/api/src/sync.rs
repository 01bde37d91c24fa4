//! What threads synchronize by: kernel threads and the program's other threads alike.
//!
//! A thread that waits for a lock of this module lets other kernel threads execute; one that waits for a lock of the standard library stops its
//! carrier.

use super::raw::{Error, invoke, number};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// A deadline that never comes.
const NEVER: u64 = u64::MAX;

fn deadline(until: Option<Duration>) -> usize {
    until.map_or(NEVER, |d| u64::try_from(d.as_nanos()).unwrap_or(NEVER - 1)) as usize
}

/// The memory of a kernel object.
#[repr(C)]
struct Object<const WORDS: usize>(UnsafeCell<[u64; WORDS]>);

// SAFETY: only the kernel uses it, for threads alike.
unsafe impl<const WORDS: usize> Sync for Object<WORDS> {}
// SAFETY: an object that is moved is borrowed by nobody, so no thread waits for it.
unsafe impl<const WORDS: usize> Send for Object<WORDS> {}

impl<const WORDS: usize> Object<WORDS> {
    const fn new(first: u64) -> Self {
        let mut words = [0; WORDS];
        words[0] = first;
        Object(UnsafeCell::new(words))
    }

    fn call(&self, number: usize, b: usize, c: usize) -> Result<usize, Error> {
        // SAFETY: a kernel object of the kind that the function takes (this module's callers), which is borrowed meanwhile.
        unsafe { invoke(number, [self.0.get() as usize, b, c, 0, 0]) }
    }
}

/// A value that one thread at a time may use.
pub struct Mutex<T: ?Sized> {
    object: Object<5>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is used by the lock's holder only.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// Holds a [`Mutex`].
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// A lock is its thread's own.
    _own: core::marker::PhantomData<*mut ()>,
}

impl<T> Mutex<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        Mutex {
            object: Object::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    fn held(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            _own: core::marker::PhantomData,
        }
    }

    /// Locks it. A thread that holds it already waits for ever.
    ///
    /// # Errors
    /// [`Error::NOT_SUPPORTED`].
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        self.object.call(number::MUTEX_LOCK, 0, 0)?;
        Ok(self.held())
    }

    /// Locks it if it is not locked.
    ///
    /// # Errors
    /// [`Error::BUSY`], [`Error::NOT_SUPPORTED`].
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        self.object.call(number::MUTEX_TRY_LOCK, 0, 0)?;
        Ok(self.held())
    }

    /// Locks it, or gives up at a time of [`crate::time`].
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`], [`Error::NOT_SUPPORTED`].
    pub fn lock_until(&self, until: Duration) -> Result<MutexGuard<'_, T>, Error> {
        let at = deadline(Some(until));
        self.object.call(number::MUTEX_LOCK_UNTIL, at, 0)?;
        Ok(self.held())
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let _ = self.mutex.object.call(number::MUTEX_UNLOCK, 0, 0);
    }
}

/// A condition variable.
pub struct Condition(Object<3>);

impl Condition {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Condition(Object::new(0))
    }

    /// Unlocks the mutex, waits to be signalled (`until`: at the latest until a time of [`crate::time`]), and locks it again.
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`]; the mutex is locked then, too.
    pub fn wait<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        until: Option<Duration>,
    ) -> Result<(), Error> {
        let mutex = guard.mutex.object.0.get() as usize;
        self.0
            .call(number::CONDITION_WAIT_UNTIL, mutex, deadline(until))
            .map(|_| ())
    }

    /// Ends the wait of one thread.
    pub fn signal(&self) {
        let _ = self.0.call(number::CONDITION_SIGNAL, 0, 0);
    }

    /// Ends the waits of all threads.
    pub fn broadcast(&self) {
        let _ = self.0.call(number::CONDITION_BROADCAST, 0, 0);
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

/// A counting semaphore.
pub struct Semaphore(Object<4>);

impl Semaphore {
    /// With so many units.
    #[must_use]
    pub const fn new(units: u32) -> Self {
        Semaphore(Object::new(units as u64))
    }

    /// Takes a unit, waiting for it (`until`: at the latest until a time of [`crate::time`]).
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`], [`Error::NOT_SUPPORTED`].
    pub fn wait(&self, until: Option<Duration>) -> Result<(), Error> {
        self.0
            .call(number::SEMAPHORE_WAIT_UNTIL, deadline(until), 0)
            .map(|_| ())
    }

    /// Takes a unit if there is one.
    ///
    /// # Errors
    /// [`Error::AGAIN`], [`Error::NOT_SUPPORTED`].
    pub fn try_wait(&self) -> Result<(), Error> {
        self.0.call(number::SEMAPHORE_TRY_WAIT, 0, 0).map(|_| ())
    }

    /// Adds a unit. May be called in a signal handler.
    ///
    /// # Errors
    /// There are too many, or [`Error::NOT_SUPPORTED`].
    pub fn post(&self) -> Result<(), Error> {
        self.0.call(number::SEMAPHORE_POST, 0, 0).map(|_| ())
    }
}

/// Something that happens.
pub struct Event(Object<4>);

impl Event {
    /// `manual`: once set, it lets all threads pass until it is reset; else it lets one pass.
    #[must_use]
    pub const fn new(manual: bool) -> Self {
        Event(Object::new((manual as u64) << 32))
    }

    /// Waits until it is set (`until`: at the latest until a time of [`crate::time`]).
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`], [`Error::NOT_SUPPORTED`].
    pub fn wait(&self, until: Option<Duration>) -> Result<(), Error> {
        self.0
            .call(number::EVENT_WAIT_UNTIL, deadline(until), 0)
            .map(|_| ())
    }

    /// Sets it. May be called in a signal handler.
    ///
    /// # Errors
    /// [`Error::NOT_SUPPORTED`].
    pub fn set(&self) -> Result<(), Error> {
        self.0.call(number::EVENT_SET, 0, 0).map(|_| ())
    }

    /// It is not set any more.
    ///
    /// # Errors
    /// [`Error::NOT_SUPPORTED`].
    pub fn reset(&self) -> Result<(), Error> {
        self.0.call(number::EVENT_RESET, 0, 0).map(|_| ())
    }
}

/// A barrier.
pub struct Barrier(Object<4>);

impl Barrier {
    /// For so many threads, at least one.
    #[must_use]
    pub const fn new(threads: u32) -> Self {
        Barrier(Object::new(threads as u64))
    }

    /// Waits until all have come; true in one of them.
    ///
    /// # Errors
    /// It is for no threads, or [`Error::NOT_SUPPORTED`].
    pub fn wait(&self) -> Result<bool, Error> {
        self.0.call(number::BARRIER_WAIT, 0, 0).map(|r| r == 1)
    }
}

/// A value that many threads may read, or one may write.
pub struct RwLock<T: ?Sized> {
    object: Object<5>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is shared by readers, or used by one writer.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: as the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

/// Reads a [`RwLock`].
pub struct ReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _own: core::marker::PhantomData<*mut ()>,
}

/// Writes a [`RwLock`].
pub struct WriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    _own: core::marker::PhantomData<*mut ()>,
}

impl<T> RwLock<T> {
    /// An unlocked one.
    pub const fn new(value: T) -> Self {
        RwLock {
            object: Object::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks it to read (`until`: gives up at a time of [`crate::time`]).
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`], [`Error::NOT_SUPPORTED`]; the caller writes.
    pub fn read(&self, until: Option<Duration>) -> Result<ReadGuard<'_, T>, Error> {
        self.object
            .call(number::RWLOCK_READ_UNTIL, deadline(until), 0)?;
        Ok(ReadGuard {
            lock: self,
            _own: core::marker::PhantomData,
        })
    }

    /// Locks it to write (`until`: gives up at a time of [`crate::time`]).
    ///
    /// # Errors
    /// [`Error::TIMED_OUT`], [`Error::NOT_SUPPORTED`]; the caller writes already.
    pub fn write(&self, until: Option<Duration>) -> Result<WriteGuard<'_, T>, Error> {
        self.object
            .call(number::RWLOCK_WRITE_UNTIL, deadline(until), 0)?;
        Ok(WriteGuard {
            lock: self,
            _own: core::marker::PhantomData,
        })
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held to read.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        let _ = self.lock.object.call(number::RWLOCK_UNLOCK, 0, 0);
    }
}

impl<T: ?Sized> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held to write.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held to write.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        let _ = self.lock.object.call(number::RWLOCK_UNLOCK, 0, 0);
    }
}
