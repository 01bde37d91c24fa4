//! The kernel functions of threads, as programs call them (`hrt.h`): results are values, or negative error numbers of Linux.

use super::fibers::{self, Fiber};
use super::objects::{self, ProgramTimer};
use super::{
    INTERRUPTED, Machine, current, enter, fibers as fiber, groups, keys, now, preempt, thread,
};
use crate::raw::{self, errno, nr};
use core::sync::atomic::Ordering;
use hrt_kernel::threads::sync::{Barrier, Condition, Event, Mutex, Once, RwLock, Semaphore};
use hrt_kernel::threads::wait::Waiter;
use hrt_kernel::threads::{Error, Host, NEVER};

/// What a function of the core says, for a program.
fn answer(r: Result<(), Error>) -> isize {
    match r {
        Ok(()) => 0,
        Err(e) => raw::err(e as i32),
    }
}

fn value(r: Result<usize, isize>) -> isize {
    match r {
        Ok(v) => v as isize,
        Err(e) => e,
    }
}

fn nothing(r: Result<(), isize>) -> isize {
    value(r.map(|()| 0))
}

/// Works inside the kernel, unless the caller is a handler that has interrupted that.
#[inline(always)]
fn inside(work: impl FnOnce() -> isize) -> isize {
    match enter() {
        Some(_inside) => work(),
        None => INTERRUPTED,
    }
}

pub unsafe extern "C" fn thread_create(
    out: *mut usize,
    function: usize,
    argument: usize,
    flags: usize,
    size: usize,
) -> isize {
    inside(|| match thread::create(function, argument, flags, size) {
        Ok(t) => {
            if !out.is_null() {
                // SAFETY: the program's own.
                unsafe { out.write(t as usize) };
            }
            0
        }
        Err(e) => e,
    })
}

pub unsafe extern "C" fn thread_join(handle: usize, result: *mut usize) -> isize {
    // SAFETY: the program's own.
    unsafe { thread_join_until(handle, result, NEVER) }
}

pub unsafe extern "C" fn thread_join_until(
    handle: usize,
    result: *mut usize,
    deadline: u64,
) -> isize {
    // SAFETY: the program gives what it got.
    inside(|| match unsafe { thread::join(handle, deadline) } {
        Ok(r) => {
            if !result.is_null() {
                // SAFETY: the program's own.
                unsafe { result.write(r) };
            }
            0
        }
        Err(e) => e,
    })
}

pub unsafe extern "C" fn thread_detach(handle: usize) -> isize {
    // SAFETY: the program gives what it got.
    inside(|| nothing(unsafe { thread::detach(handle) }))
}

pub extern "C" fn thread_exit(result: usize) -> isize {
    // SAFETY: the calling thread's own.
    if unsafe { (*current()).linux || (*current()).posix.is } {
        return raw::err(errno::EPERM);
    }
    thread::exit(result)
}

pub extern "C" fn thread_self() -> isize {
    current() as isize
}

pub extern "C" fn thread_yield() -> isize {
    inside(|| {
        let t = current();
        // SAFETY: the calling thread's own.
        if unsafe { (*t).linux } {
            Machine::give_way();
        } else {
            groups::yield_now(t);
        }
        0
    })
}

pub extern "C" fn thread_sleep(ns: u64) -> isize {
    inside(|| {
        let w = Waiter::new::<Machine>(0);
        // SAFETY: our own waiter.
        unsafe { Machine::park(&w, now().saturating_add(ns).min(NEVER - 1)) };
        0
    })
}

pub extern "C" fn time() -> isize {
    now() as isize
}

/// An object at an address of the program's.
///
/// # Safety
/// There must be one, which no one moves while it is used.
unsafe fn at<'a, T>(address: *const T) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { &*address }
}

/// Functions `NAME(object, deadline)`, or without deadline: each a method of the object.
macro_rules! functions {
    ($($name:ident($object:ident : $type:ty $(, $deadline:ident)?) $body:expr;)*) => {
        $(pub unsafe extern "C" fn $name(object: *const $type $(, $deadline: u64)?) -> isize {
            // SAFETY: the program's object.
            let $object = unsafe { at(object) };
            inside(|| answer($body))
        })*
    };
}

functions! {
    mutex_lock(m: Mutex) m.lock::<Machine>(NEVER);
    mutex_try_lock(m: Mutex) m.try_lock::<Machine>();
    mutex_lock_until(m: Mutex, deadline) m.lock::<Machine>(deadline);
    mutex_unlock(m: Mutex) m.unlock::<Machine>();
    condition_signal(c: Condition) { c.signal::<Machine>(); Ok(()) };
    condition_broadcast(c: Condition) { c.broadcast::<Machine>(); Ok(()) };
    semaphore_wait(s: Semaphore) s.wait::<Machine>(NEVER);
    semaphore_try_wait(s: Semaphore) s.try_wait();
    semaphore_wait_until(s: Semaphore, deadline) s.wait::<Machine>(deadline);
    event_wait(e: Event) e.wait::<Machine>(NEVER);
    event_wait_until(e: Event, deadline) e.wait::<Machine>(deadline);
    event_reset(e: Event) { e.reset(); Ok(()) };
    rwlock_read(l: RwLock) l.read::<Machine>(NEVER);
    rwlock_read_until(l: RwLock, deadline) l.read::<Machine>(deadline);
    rwlock_write(l: RwLock) l.write::<Machine>(NEVER);
    rwlock_write_until(l: RwLock, deadline) l.write::<Machine>(deadline);
    rwlock_unlock(l: RwLock) l.unlock::<Machine>();
}

pub unsafe extern "C" fn condition_wait(c: *const Condition, m: *const Mutex) -> isize {
    // SAFETY: the program's own.
    unsafe { condition_wait_until(c, m, NEVER) }
}

pub unsafe extern "C" fn condition_wait_until(
    c: *const Condition,
    m: *const Mutex,
    deadline: u64,
) -> isize {
    // SAFETY: the program's objects.
    let (c, m) = unsafe { (at(c), at(m)) };
    inside(|| answer(c.wait::<Machine>(m, deadline)))
}

pub unsafe extern "C" fn semaphore_post(s: *const Semaphore) -> isize {
    match enter() {
        // SAFETY: the program's object.
        Some(_inside) => answer(unsafe { at(s) }.post::<Machine>()),
        None => nothing(objects::post_soon(s as usize, false)),
    }
}

pub unsafe extern "C" fn event_set(e: *const Event) -> isize {
    match enter() {
        Some(_inside) => {
            // SAFETY: the program's object.
            unsafe { at(e) }.set::<Machine>();
            0
        }
        None => nothing(objects::post_soon(e as usize, true)),
    }
}

pub unsafe extern "C" fn barrier_wait(b: *const Barrier) -> isize {
    // SAFETY: the program's object.
    let b = unsafe { at(b) };
    inside(|| match b.wait::<Machine>() {
        Ok(last) => isize::from(last),
        Err(e) => raw::err(e as i32),
    })
}

pub unsafe extern "C" fn once(o: *const Once, function: usize) -> isize {
    // SAFETY: the program's object.
    let o = unsafe { at(o) };
    let mut first = false;
    let r = inside(|| {
        first = o.begin::<Machine>();
        0
    });
    if first {
        // SAFETY: the program's function.
        unsafe {
            let call: unsafe extern "C" fn() = core::mem::transmute(function);
            call();
        }
        o.done(true);
    }
    r
}

pub extern "C" fn key_create(destructor: usize) -> isize {
    inside(|| value(keys::create(destructor)))
}

pub extern "C" fn key_delete(key: usize) -> isize {
    inside(|| nothing(keys::delete(key)))
}

pub extern "C" fn key_set(key: usize, v: usize) -> isize {
    // SAFETY: the calling thread's own.
    nothing(unsafe { keys::set(current(), key, v) })
}

pub extern "C" fn key_get(key: usize) -> usize {
    // SAFETY: the calling thread's own.
    unsafe { keys::get(current(), key) }
}

pub unsafe extern "C" fn timer_start(t: *mut ProgramTimer, first: u64, period: u64) -> isize {
    // SAFETY: the program's object.
    inside(|| nothing(unsafe { objects::start(t, now().saturating_add(first), period) }))
}

pub unsafe extern "C" fn timer_stop(t: *mut ProgramTimer) -> isize {
    // SAFETY: the program's object.
    inside(|| isize::from(unsafe { objects::stop(t) }))
}

pub unsafe extern "C" fn fiber_create(out: *mut usize, function: usize, size: usize) -> isize {
    inside(|| match fibers::create(function, size) {
        Ok(f) => {
            // SAFETY: the program's own.
            unsafe { out.write(f as usize) };
            0
        }
        Err(e) => e,
    })
}

pub unsafe extern "C" fn fiber_switch(f: *mut Fiber, v: usize, result: *mut usize) -> isize {
    // SAFETY: the program gives what it got.
    inside(|| match unsafe { fiber::switch(f, v) } {
        Ok(r) => {
            if !result.is_null() {
                // SAFETY: the program's own.
                unsafe { result.write(r) };
            }
            0
        }
        Err(e) => e,
    })
}

pub extern "C" fn fiber_self() -> isize {
    fibers::this() as isize
}

pub unsafe extern "C" fn fiber_delete(f: *mut Fiber) -> isize {
    // SAFETY: the program gives what it got.
    inside(|| nothing(unsafe { fibers::delete(f) }))
}

/// Bytes of the stack of a function that is invoked.
const INVOKED: usize = 256 * 1024;

/// The arguments at `from`, of which there are `count`.
///
/// # Safety
/// They must be the program's.
unsafe fn arguments(from: *const usize, count: usize) -> Option<[usize; thread::ARGUMENTS]> {
    let mut all = [0; thread::ARGUMENTS];
    for (i, to) in all.get_mut(..count)?.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *to = unsafe { from.add(i).read() };
    }
    Some(all)
}

pub unsafe extern "C" fn invoke_async(
    out: *mut usize,
    function: usize,
    from: *const usize,
    count: usize,
) -> isize {
    // SAFETY: the program's own.
    let Some(all) = (unsafe { arguments(from, count) }) else {
        return raw::err(errno::EINVAL);
    };
    inside(|| match thread::invoke(function, &all, 0, INVOKED) {
        Ok(t) => {
            // SAFETY: the program's own.
            unsafe { out.write(t as usize) };
            0
        }
        Err(e) => e,
    })
}

pub unsafe extern "C" fn invoke(
    result: *mut usize,
    function: usize,
    from: *const usize,
    count: usize,
) -> isize {
    let mut t = 0;
    // SAFETY: the program's own.
    unsafe {
        match invoke_async(&raw mut t, function, from, count) {
            0 => thread_join(t, result),
            e => e,
        }
    }
}

const PAGE: usize = 4096;

pub unsafe extern "C" fn merge(start: usize, len: usize) -> isize {
    const POPULATE_READ: usize = 22; // Linux 5.14
    const POPULATE_WRITE: usize = 23;
    let from = start & !(PAGE - 1);
    let Some(to) = start
        .checked_add(len)
        .and_then(|e| e.checked_next_multiple_of(PAGE))
    else {
        return raw::err(errno::EINVAL);
    };
    // SAFETY: the program's own memory gets its pages, which changes nothing that it holds.
    let populate = |how| unsafe { raw::syscall4(nr::MADVISE, from, to - from, how, 0) };
    let mut r = populate(POPULATE_WRITE);
    if r != 0 {
        r = populate(POPULATE_READ);
    }
    if r == raw::err(errno::EINVAL) {
        let here = &raw const r as usize & !(PAGE - 1);
        // SAFETY: the stack has its page already.
        if unsafe { raw::syscall4(nr::MADVISE, here, PAGE, POPULATE_READ, 0) } == 0 {
            // The advice is known, but there is no right to touch that memory; nor has the program any that the kernel keeps.
            return raw::err(errno::ENOMEM);
        }
    }
    if r == 0 {
        for page in (from..to).step_by(PAGE) {
            // Where the kernel has page tables of its own, they follow.
            // SAFETY: just populated.
            unsafe { (page as *const u8).read_volatile() };
        }
    }
    r
}

pub unsafe extern "C" fn unmerge(start: usize, len: usize) -> isize {
    // SAFETY: drops page-table entries, which are found again when they are needed.
    let r = unsafe { raw::syscall4(hrt_abi::api::CALL, hrt_abi::api::op::UNMERGE, start, len, 0) };
    // On `hosted` Linux hears this, and the page tables are Linux's.
    if r == raw::err(errno::ENOSYS) { 0 } else { r }
}

/// What `hrt_threads_info` tells.
#[repr(C)]
pub struct Info {
    created: u64,
    live: u64,
    switches: u64,
    stolen: u64,
    groups: u32,
    carriers: u32,
    rescues: u64,
}
const _: () = assert!(size_of::<Info>() == 48);

pub unsafe extern "C" fn threads_info(out: *mut Info) -> isize {
    // SAFETY: the program's own.
    unsafe {
        out.write(Info {
            created: super::CREATED.load(Ordering::Relaxed),
            live: super::LIVE.load(Ordering::Relaxed) as u64,
            switches: groups::switches(),
            stolen: groups::STOLEN.load(Ordering::Relaxed),
            groups: groups::all().len() as u32,
            carriers: groups::carriers() as u32,
            rescues: groups::RESCUES.load(Ordering::Relaxed),
        });
    }
    0
}

pub extern "C" fn threads_preempt(ns: u64) -> isize {
    let us = ns.div_ceil(1000);
    inside(|| match u32::try_from(us) {
        Ok(us) => preempt::set(us),
        Err(_) => raw::err(errno::EINVAL),
    })
}

pub extern "C" fn threads_maker(create: usize, join: usize, detach: usize) -> isize {
    inside(|| nothing(groups::set_libc(create, join, detach)))
}
