//! Fibers: stacks that a thread switches between by name. A fiber executes as the thread that switches to it, on whatever thread that is.

use super::stacks;
use super::switch::{self, hrt_switch};
use super::thread::Thread;
use super::{current, leave, local};
use crate::raw::{self, errno};
use crate::report;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

/// `state`: it can be switched to.
const STOPPED: u32 = 0x4852_4601;
/// It executes.
const EXECUTES: u32 = 0x4852_4602;
/// Its function has returned.
const DONE: u32 = 0x4852_4603;
/// It is no more.
const GONE: u32 = 0x4852_4604;

/// A fiber: in the record at the end of its stack, or a thread's own stack.
#[repr(C)]
pub struct Fiber {
    rsp: usize,
    state: AtomicU32,
    /// It is a thread's own stack.
    base: bool,
    function: usize,
    /// What is passed to it at the next switch.
    value: usize,
    /// The one that switched to it.
    from: *mut Fiber,
}

/// The fiber that thread `t` executes.
///
/// # Safety
/// `t` must be the calling thread.
unsafe fn executing(t: *mut Thread) -> *mut Fiber {
    // SAFETY: the caller's promise.
    unsafe {
        if (*t).fiber.is_null() {
            let base = &raw mut (*t).base;
            (*base).base = true;
            (*base).state.store(EXECUTES, Ordering::Relaxed);
            return base;
        }
        (*t).fiber
    }
}

/// The calling fiber's handle.
pub fn this() -> *mut Fiber {
    // SAFETY: the calling thread's own.
    unsafe { executing(current()) }
}

/// Makes a fiber that executes `function`, whose argument is the value of the first switch to it, on a stack of `size` bytes (0: the usual).
///
/// # Errors
/// EINVAL, EAGAIN without memory.
pub fn create(function: usize, size: usize) -> Result<*mut Fiber, isize> {
    if function == 0 {
        return Err(raw::err(errno::EINVAL));
    }
    let class = match size {
        0 => stacks::DEFAULT_CLASS,
        _ => stacks::class(size).ok_or(raw::err(errno::EINVAL))?,
    };
    // SAFETY: the calling thread's own; the stack is ours.
    unsafe {
        let t = stacks::take(class, (*local()).carrier).ok_or(raw::err(errno::EAGAIN))?;
        let f = &raw mut (*t).base;
        (*f).base = false;
        (*f).function = function;
        (*f).from = null_mut();
        (*f).rsp = switch::prepare((*t).top & !15, begin, f as usize);
        (*f).state.store(STOPPED, Ordering::Release);
        Ok(f)
    }
}

/// A new fiber's first steps.
unsafe extern "C" fn begin(f: usize) -> ! {
    let f = f as *mut Fiber;
    // SAFETY: the fiber executes; the program gave the function. Its end is a switch to the one that switched to it last.
    unsafe {
        arrived(f);
        let value = (*f).value;
        leave();
        let function: unsafe extern "C" fn(usize) -> usize = core::mem::transmute((*f).function);
        let result = function(value);
        match super::enter() {
            // The end of the work is that of the fiber that goes on.
            Some(inside) => core::mem::forget(inside),
            None => report::fatal("a signal handler that interrupted the kernel ends its fiber"),
        }
        let back = (*f).from;
        if go(back, result, DONE).is_err() {
            report::fatal("a fiber has returned, and the one that it would go back to is gone");
        }
    }
    report::fatal("a fiber that has ended goes on")
}

/// After a switch to `f`: the one that it came from can be switched to.
///
/// # Safety
/// `f` must be the calling fiber, right after the switch.
unsafe fn arrived(f: *mut Fiber) {
    // SAFETY: the caller's promise: `from` was set by the switch, and is on no other thread.
    unsafe {
        let from = (*f).from;
        let to = if (*from).state.load(Ordering::Relaxed) == DONE {
            DONE
        } else {
            STOPPED
        };
        (*from).state.store(to, Ordering::Release);
    }
}

/// Switches to fiber `to`, which gets `value`; returns the value that the caller is switched to with.
///
/// # Errors
/// ESRCH: no such fiber, or its function has returned. EBUSY: it executes. EINVAL: it is another thread's own stack.
///
/// # Safety
/// `to` must be a fiber, or have been one.
pub unsafe fn switch(to: *mut Fiber, value: usize) -> Result<usize, isize> {
    // SAFETY: the caller's promise.
    unsafe { go(to, value, EXECUTES) }
}

/// # Safety
/// As [`switch`].
unsafe fn go(to: *mut Fiber, value: usize, state: u32) -> Result<usize, isize> {
    if to.is_null() || !to.is_aligned() {
        return Err(raw::err(errno::ESRCH));
    }
    let t = current();
    // SAFETY: the caller's promise; the calling thread's own.
    unsafe {
        let me = executing(t);
        match (*to)
            .state
            .compare_exchange(STOPPED, EXECUTES, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => {}
            Err(EXECUTES) => return Err(raw::err(errno::EBUSY)),
            Err(_) => return Err(raw::err(errno::ESRCH)),
        }
        if (*to).base && to != &raw mut (*t).base {
            (*to).state.store(STOPPED, Ordering::Release);
            return Err(raw::err(errno::EINVAL));
        }
        (*me).state.store(state, Ordering::Relaxed);
        (*to).from = me;
        (*to).value = value;
        (*t).fiber = if (*to).base { null_mut() } else { to };
        hrt_switch(&raw mut (*me).rsp, (*to).rsp);
        arrived(me);
        Ok((*me).value)
    }
}

/// Gives a fiber's stack back, whether its function has returned or not.
///
/// # Errors
/// ESRCH: no such fiber. EBUSY: it executes. EINVAL: it is a thread's own stack.
///
/// # Safety
/// As [`switch`].
pub unsafe fn delete(f: *mut Fiber) -> Result<(), isize> {
    if f.is_null() || !f.is_aligned() {
        return Err(raw::err(errno::ESRCH));
    }
    // SAFETY: the caller's promise; the record that the fiber is in is its stack's.
    unsafe {
        if (*f).base {
            return Err(raw::err(errno::EINVAL));
        }
        let gone = |was| {
            (*f).state
                .compare_exchange(was, GONE, Ordering::Acquire, Ordering::Relaxed)
        };
        match gone(STOPPED).or_else(|_| gone(DONE)) {
            Ok(_) => {}
            Err(EXECUTES) => return Err(raw::err(errno::EBUSY)),
            Err(_) => return Err(raw::err(errno::ESRCH)),
        }
        let t = f
            .cast::<u8>()
            .sub(core::mem::offset_of!(Thread, base))
            .cast::<Thread>();
        stacks::give_back(t, (*local()).carrier);
    }
    Ok(())
}
