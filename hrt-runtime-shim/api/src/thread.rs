//! Kernel threads.

use super::alloc::boxed::Box;
use super::alloc::sync::Arc;
use super::raw::{Error, invoke, number};
use super::sync::Event;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;

/// What a thread's function has returned, or the panic that ended it.
pub type Outcome<T> = Result<T, Panic>;

/// A thread has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panic;

impl core::fmt::Display for Panic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a kernel thread has panicked")
    }
}

impl core::error::Error for Panic {}

/// Where a thread leaves its result.
struct Packet<T>(UnsafeCell<Option<Outcome<T>>>);
// SAFETY: the thread writes it, and who has joined it reads it.
unsafe impl<T: Send> Sync for Packet<T> {}
// SAFETY: as the value.
unsafe impl<T: Send> Send for Packet<T> {}

const FIRST: usize = 2;
const TLS: usize = 4;
const PREEMPT: usize = 8;

/// How a thread is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builder {
    stack: usize,
    first: bool,
    tls: bool,
    preempt: bool,
}

impl Builder {
    /// The usual: a stack of 256 KiB, which is touched only as far as it is used.
    #[must_use]
    pub const fn new() -> Self {
        Builder {
            stack: 256 * 1024,
            first: false,
            tls: false,
            preempt: false,
        }
    }

    /// A stack of at least so many bytes.
    #[must_use]
    pub const fn stack_size(mut self, bytes: usize) -> Self {
        self.stack = bytes;
        self
    }

    /// The thread executes at once, and the kernel thread that makes it when there is time, perhaps on another carrier: for work that is divided again and
    /// again.
    #[must_use]
    pub const fn first(mut self) -> Self {
        self.first = true;
        self
    }

    /// The thread has thread-local variables for itself, with their destructors: without this they are those of the Linux thread that executes it.
    #[must_use]
    pub const fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The thread may be preempted ([`preempt`]) without [`Builder::tls`].
    ///
    /// # Safety
    /// It must use no thread-local variable, and nothing that does, as libc: what it finds there may be another thread's at any instruction.
    #[must_use]
    pub const unsafe fn preempt(mut self) -> Self {
        self.preempt = true;
        self
    }

    /// Makes a thread that executes `f`.
    ///
    /// # Errors
    /// [`Error::NOT_SUPPORTED`]; no memory, or no thread of Linux's.
    pub fn spawn<T, F>(self, f: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: the function and its result live as long as they like.
        unsafe { self.make(f, None) }
    }

    /// # Safety
    /// What `f` and its result borrow must live until the thread has told `count`, or has ended.
    unsafe fn make<'a, T, F>(self, f: F, count: Option<Arc<Count>>) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + Send + 'a,
        T: Send + 'a,
    {
        prepare();
        let packet = Arc::new(Packet(UnsafeCell::new(None)));
        let theirs = Arc::clone(&packet);
        let main: Box<dyn FnOnce() + Send + 'a> = Box::new(move || {
            let outcome = caught(f);
            let panicked = outcome.is_err();
            // SAFETY: nobody reads it before the thread's end.
            unsafe { *theirs.0.get() = Some(outcome) };
            drop(theirs);
            // Nothing that is borrowed is used from here on.
            if let Some(count) = count {
                count.less(panicked);
            }
        });
        let main = Box::into_raw(Box::new(main));
        let mut id = 0usize;
        let flags = [
            (self.first, FIRST),
            (self.tls, TLS),
            (self.preempt, PREEMPT),
        ]
        .iter()
        .fold(
            0,
            |all, (wanted, flag)| if *wanted { all | flag } else { all },
        );
        // SAFETY: `enter` takes back the box, which lives as long as the caller promises.
        let made = unsafe {
            invoke(
                number::THREAD_CREATE,
                [
                    (&raw mut id) as usize,
                    enter as *const () as usize,
                    main as usize,
                    flags,
                    self.stack,
                ],
            )
        };
        if let Err(e) = made {
            // SAFETY: no thread has it.
            drop(unsafe { Box::from_raw(main) });
            return Err(e);
        }
        Ok(JoinHandle { id, packet })
    }
}

/// A thread's first function.
///
/// # Safety
/// `main` must be a box of `Builder::make`'s.
unsafe extern "C" fn enter(main: *mut Box<dyn FnOnce() + Send>) -> usize {
    // SAFETY: the caller's promise.
    let main = unsafe { Box::from_raw(main) };
    main();
    0
}

#[cfg(feature = "std")]
fn caught<T>(f: impl FnOnce() -> T) -> Outcome<T> {
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(f)).map_err(|_| Panic)
}

#[cfg(not(feature = "std"))]
fn caught<T>(f: impl FnOnce() -> T) -> Outcome<T> {
    Ok(f())
}

/// Before the first thread: carriers are to be threads that libc knows, if there is one.
fn prepare() {
    #[cfg(feature = "std")]
    {
        unsafe extern "C" {
            fn pthread_create(
                id: *mut usize,
                attributes: *const u8,
                f: extern "C" fn(*mut u8) -> *mut u8,
                argument: *mut u8,
            ) -> i32;
            fn pthread_join(id: usize, result: *mut usize) -> i32;
            fn pthread_detach(id: usize) -> i32;
        }
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Ordering::AcqRel) {
            // SAFETY: that function is as the kernel needs it.
            let _ = unsafe {
                invoke(
                    number::THREADS_MAKER,
                    [
                        pthread_create as *const () as usize,
                        pthread_join as *const () as usize,
                        pthread_detach as *const () as usize,
                        0,
                        0,
                    ],
                )
            };
        }
    }
}

/// A kernel thread, which may be joined; else it is detached.
pub struct JoinHandle<T> {
    id: usize,
    packet: Arc<Packet<T>>,
}

impl<T> JoinHandle<T> {
    /// Waits for the thread's end.
    ///
    /// # Errors
    /// [`Panic`].
    pub fn join(self) -> Outcome<T> {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: the handle is its thread's, and is joined once. The packet is read out once.
        unsafe {
            let joined = invoke(number::THREAD_JOIN, [this.id, 0, 0, 0, 0]);
            let packet = core::ptr::read(&this.packet);
            match joined {
                Ok(_) => (*packet.0.get()).take().unwrap_or(Err(Panic)),
                Err(_) => Err(Panic),
            }
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle is its thread's, and is not joined.
        let _ = unsafe { invoke(number::THREAD_DETACH, [self.id, 0, 0, 0, 0]) };
    }
}

/// Makes a thread that executes `f`, with the usual stack.
///
/// # Errors
/// As [`Builder::spawn`].
pub fn spawn<T, F>(f: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f)
}

/// Lets other threads execute.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn yield_now() -> Result<(), Error> {
    // SAFETY: it takes no argument.
    unsafe { invoke(number::THREAD_YIELD, [0; 5]) }.map(|_| ())
}

/// Stops the caller for at least that long.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn sleep(time: Duration) -> Result<(), Error> {
    let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: it takes a number.
    unsafe { invoke(number::THREAD_SLEEP, [ns as usize, 0, 0, 0, 0]) }.map(|_| ())
}

/// Figures of kernel threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Kernel threads ever made.
    pub created: u64,
    /// Of which so many have not ended.
    pub live: u64,
    /// Switches to a kernel thread.
    pub switches: u64,
    /// Kernel threads that went to another execution group.
    pub stolen: u64,
    /// Execution groups.
    pub groups: u32,
    /// Linux threads that execute kernel threads.
    pub carriers: u32,
    /// Times that a group got another carrier.
    pub rescues: u64,
}

/// From now on a thread with [`Builder::tls`] or [`Builder::preempt`] that has computed for `slice`, while others could execute, gives its carrier to them; zero: it may
/// compute for as long as it likes.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`]; a slice of more than an hour; signal 64, which the kernel needs for this, is in use.
pub fn preempt(slice: Duration) -> Result<(), Error> {
    let ns = usize::try_from(slice.as_nanos()).unwrap_or(usize::MAX);
    // SAFETY: it takes a number.
    unsafe { invoke(number::THREADS_PREEMPT, [ns, 0, 0, 0, 0]) }?;
    Ok(())
}

/// Figures of this process's kernel threads.
///
/// # Errors
/// [`Error::NOT_SUPPORTED`].
pub fn statistics() -> Result<Statistics, Error> {
    let mut s = Statistics::default();
    // SAFETY: the kernel writes a structure of this layout (`struct hrt_threads_info`).
    unsafe { invoke(number::THREADS_INFO, [(&raw mut s) as usize, 0, 0, 0, 0]) }?;
    Ok(s)
}

/// Threads of a scope that have not ended.
struct Count {
    /// One for each, and one for the scope.
    live: AtomicUsize,
    over: Event,
    panicked: AtomicBool,
}

impl Count {
    fn less(&self, panicked: bool) {
        if panicked {
            self.panicked.store(true, Ordering::Relaxed);
        }
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.over.set();
        }
    }
}

/// Threads that may borrow, since they have all ended when [`scope`] returns.
pub struct Scope<'scope, 'env: 'scope> {
    count: Arc<Count>,
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

/// A thread of a scope, which may be joined.
pub struct ScopedHandle<'scope, T>(JoinHandle<T>, PhantomData<&'scope ()>);

impl<T> ScopedHandle<'_, T> {
    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    /// [`Panic`].
    pub fn join(self) -> Outcome<T> {
        self.0.join()
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Makes a thread that executes `f`, with the usual stack.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn<T, F>(&'scope self, f: F) -> Result<ScopedHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_by(Builder::new(), f)
    }

    /// Makes a thread as `builder` says.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn_by<T, F>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> Result<ScopedHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.count.live.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `scope` does not return before the thread has counted itself out.
        let made = unsafe { builder.make(f, Some(Arc::clone(&self.count))) };
        if made.is_err() {
            self.count.less(false);
        }
        Ok(ScopedHandle(made?, PhantomData))
    }
}

/// Calls `f`, which may make threads that borrow, and waits until all of them have ended.
///
/// # Panics
/// If one of them has panicked, or `f`.
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let scope = Scope {
        count: Arc::new(Count {
            live: AtomicUsize::new(1),
            over: Event::new(true),
            panicked: AtomicBool::new(false),
        }),
        _scope: PhantomData,
        _env: PhantomData,
    };
    /// Waits, also if `f` panics.
    struct Wait(Arc<Count>);
    impl Drop for Wait {
        fn drop(&mut self) {
            self.0.less(false);
            while self.0.live.load(Ordering::Acquire) != 0 {
                let _ = self.0.over.wait(None);
            }
        }
    }
    let wait = Wait(Arc::clone(&scope.count));
    let r = f(&scope);
    drop(wait);
    assert!(
        !scope.count.panicked.load(Ordering::Relaxed),
        "a kernel thread of a scope has panicked"
    );
    r
}
