//! Posted system calls: made by another core, or when they are collected. `hrt.h`, "Posted calls", says which calls are made by whom, and in what order.
//!
//! ```
//! # #[cfg(feature = "std")] {
//! let (number_getppid, number_write) = (110, 1);
//! let mut calls = hrt::call::Calls::new();
//! calls.push(number_getppid, [0; 6]);
//! calls.push(number_write, [usize::MAX, 0, 0, 0, 0, 0]);
//! // SAFETY: no memory is handed over.
//! match unsafe { calls.post() } {
//!     Ok(()) => {
//!         let results = calls.wait().unwrap();
//!         assert!(results[0] >= 0 && results[1] == -9); // EBADF
//!     }
//!     Err(e) => assert_eq!(e, hrt::Error::NOT_SUPPORTED),
//! }
//! # }
//! ```

use super::alloc::boxed::Box;
use super::alloc::vec::Vec;
use super::raw::{Error, invoke, number};
use core::cell::UnsafeCell;
use core::marker::PhantomData;

/// `hrt_call_t`.
#[repr(C, align(16))]
#[derive(Clone, Copy, Default)]
struct Raw {
    number: usize,
    arguments: [usize; 6],
    result: isize,
    state: [u64; 2],
}

/// What has become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is not made yet.
    Posted,
    /// It is made, with Linux's result: a value, or a negative error number.
    Made(isize),
    /// Only the thread that has posted it can make it, or one before it: [`Calls::wait`] does.
    Own,
}

/// Calls that are posted together and made one after the other. Only the thread that posts them collects them.
///
/// Dropping them while they are posted waits for them.
pub struct Calls {
    list: Vec<Raw>,
    /// Those that are posted: they stay where they are.
    posted: Option<Box<[UnsafeCell<Raw>]>>,
    _own: PhantomData<*mut ()>,
}

impl Calls {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Calls {
            list: Vec::new(),
            posted: None,
            _own: PhantomData,
        }
    }

    /// Adds system call `number` (syscall(2)) to those that the next [`Calls::post`] posts.
    pub fn push(&mut self, number: usize, arguments: [usize; 6]) {
        self.list.push(Raw {
            number,
            arguments,
            ..Raw::default()
        });
    }

    /// Posts what was added since the last time.
    ///
    /// # Errors
    /// [`Error::BUSY`]: the ones before are not collected. EINVAL: a call that makes or ends a thread or a process, or returns from a signal. Nothing is posted
    /// then. [`Error::NOT_SUPPORTED`].
    ///
    /// # Safety
    /// The calls must be sound for this process until they are collected, even if this value is forgotten: what their arguments point at is borrowed or
    /// written until then.
    pub unsafe fn post(&mut self) -> Result<(), Error> {
        if self.posted.is_some() {
            return Err(Error::BUSY);
        }
        let calls: Box<[UnsafeCell<Raw>]> =
            self.list.iter().copied().map(UnsafeCell::new).collect();
        // SAFETY: the caller's promise; the calls stay where they are until they are collected.
        unsafe { invoke(number::CALLS_POST, [at(&calls), calls.len(), 0, 0, 0]) }?;
        self.list.clear();
        self.posted = Some(calls);
        Ok(())
    }

    /// What has become of posted call `index`; `None` if there is none. Never waits.
    ///
    /// # Errors
    /// [`Error::BUSY`] in a handler of signals that has interrupted a function of the kernel's.
    pub fn progress(&mut self, index: usize) -> Result<Option<Progress>, Error> {
        let Some(call) = self.posted.as_ref().and_then(|p| p.get(index)) else {
            return Ok(None);
        };
        // SAFETY: a call that this thread has posted.
        let done = unsafe { invoke(number::CALL_DONE, [call.get() as usize, 0, 0, 0, 0]) }?;
        Ok(Some(match done {
            0 => Progress::Posted,
            // SAFETY: it is collected, so nobody writes it.
            1 => Progress::Made(unsafe { (*call.get()).result }),
            _ => Progress::Own,
        }))
    }

    /// Collects all posted calls: their results, as of [`Progress::Made`]. More may be posted then.
    ///
    /// # Errors
    /// As [`Calls::progress`].
    pub fn wait(&mut self) -> Result<Vec<isize>, Error> {
        self.collect()?;
        let calls = self.posted.take().unwrap_or_default();
        Ok(calls
            .into_vec()
            .into_iter()
            .map(|c| c.into_inner().result)
            .collect())
    }

    fn collect(&self) -> Result<(), Error> {
        match &self.posted {
            // SAFETY: calls that this thread has posted.
            Some(p) => unsafe { invoke(number::CALLS_WAIT, [at(p), p.len(), 0, 0, 0]) }.map(|_| ()),
            None => Ok(()),
        }
    }
}

fn at(calls: &[UnsafeCell<Raw>]) -> usize {
    calls.as_ptr() as usize
}

impl Default for Calls {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        if self.collect().is_err() {
            // They are still the kernel's.
            core::mem::forget(self.posted.take());
        }
    }
}
