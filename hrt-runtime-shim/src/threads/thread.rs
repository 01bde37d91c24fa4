//! A thread's record, and its life: made, executed, joined.

use super::donor::{self, Area};
use super::groups::{self, After, Carrier};
use super::keys::{self, INLINE};
use super::posix;
use super::stacks;
use super::switch;
use super::{CREATED, LIVE, Machine, current, leave, local};
use crate::raw::{self, errno, nr};
use crate::report;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hrt_kernel::threads::run::Node;
use hrt_kernel::threads::wait::{Lock, Waiter};
use hrt_kernel::threads::{Error, Host, NEVER};

/// `magic` of a thread that can be joined or is not known to have ended.
pub const ALIVE: u32 = 0x4852_5401;
/// Of one that is no more.
const GONE: u32 = 0x4852_5402;

/// Flags of [`create`] (`HRT_THREAD_*`).
#[allow(missing_docs)]
pub mod flag {
    /// It is never joined, and its memory is given back at its end.
    pub const DETACHED: usize = 1;
    /// It executes at once, and its creator when there is time; others may take the creator over.
    pub const FIRST: usize = 2;
    /// It has a thread area of the program's libc for itself.
    pub const TLS: usize = 4;
    /// It uses no thread-local variable and no libc, so it may be preempted without an area of its own.
    pub const PREEMPT: usize = 8;
    /// All that there are.
    pub const ALL: usize = DETACHED | FIRST | TLS | PREEMPT;
}

/// What a thread does.
pub type Function = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;

/// The class of the stack of a thread that uses libc, if it asks for nothing: 256 KiB.
const TLS_CLASS: u8 = 4;
/// Arguments that a function may have.
pub const ARGUMENTS: usize = 6;

/// A thread's record: at the upper end of its stack, or of a Linux thread's own.
#[repr(C, align(64))]
pub struct Thread {
    /// Links of run queues.
    pub node: Node,
    /// The stack pointer while it does not execute.
    pub rsp: usize,
    /// Its FS base; 0: its carrier's.
    pub fs: usize,
    /// The end of its stack.
    pub top: usize,
    /// The start of its stack.
    pub low: usize,
    /// Next in a list of stacks that are nobody's.
    pub next: *mut Thread,
    /// [`ALIVE`], or anything else.
    pub magic: AtomicU32,
    /// The stack's class.
    pub class: u8,
    /// A Linux thread, which waits by futex.
    pub linux: bool,
    detached: bool,
    done: bool,
    /// Values of keys are set.
    pub has_values: bool,
    /// The lock of `detached`, `done` and `joiner`.
    lock: Lock,
    joiner: *const Waiter,
    function: usize,
    arguments: [usize; ARGUMENTS],
    result: usize,
    /// Its number, from 1 on, unique in this process.
    pub number: u64,
    /// The fiber that executes; null: the thread's own stack.
    pub fiber: *mut super::fibers::Fiber,
    /// The thread's own stack, as a fiber.
    pub base: super::fibers::Fiber,
    /// It has a thread area of libc's.
    tls: bool,
    /// It may be preempted without one.
    preempt: bool,
    /// That.
    area: Area,
    /// What it has as a thread of the program's C library.
    pub posix: super::posix::Posix,
    /// Its queue of posted calls; null: none yet.
    pub calls: *const hrt_kernel::calls::Queue,
    /// More values of keys.
    pub more_values: *mut keys::Value,
    /// Values of the first keys.
    pub values: [keys::Value; INLINE],
}

#[unsafe(link_section = ".bss.hrt_shared")]
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Makes a thread that executes `function(argument)` on a stack of `size` bytes at least (0: the usual).
///
/// # Errors
/// Negative error number: EINVAL for unknown flags or a stack that is too large, EAGAIN without memory, or what Linux says to the
/// first Linux thread of the kernel's.
pub fn create(
    function: usize,
    argument: usize,
    flags: usize,
    size: usize,
) -> Result<*mut Thread, isize> {
    make(function, argument, None, flags, size)
}

/// As [`create`], for a function of as many arguments as `all` has.
///
/// # Errors
/// As [`create`].
pub fn invoke(
    function: usize,
    all: &[usize; ARGUMENTS],
    flags: usize,
    size: usize,
) -> Result<*mut Thread, isize> {
    make(function, 0, Some(all), flags, size)
}

#[inline]
fn make(
    function: usize,
    argument: usize,
    all: Option<&[usize; ARGUMENTS]>,
    flags: usize,
    size: usize,
) -> Result<*mut Thread, isize> {
    if function == 0 || flags & !flag::ALL != 0 {
        return Err(raw::err(errno::EINVAL));
    }
    let class = match size {
        0 if flags & flag::TLS != 0 => TLS_CLASS,
        0 => stacks::DEFAULT_CLASS,
        _ => stacks::class(size).ok_or(raw::err(errno::EINVAL))?,
    };
    if flags & flag::TLS != 0 && !donor::can_be_had() {
        return Err(raw::err(errno::ENOSYS));
    }
    let me = current();
    groups::start()?;
    // SAFETY: the calling thread's own; a kernel thread does not move before it stops.
    let c = unsafe { (*local()).carrier };
    let t = stacks::take(class, c).ok_or(raw::err(errno::EAGAIN))?;
    // SAFETY: the thread is ours.
    unsafe {
        (*t).fs = 0;
        (*t).tls = false;
        (*t).preempt = flags & flag::PREEMPT != 0;
        if flags & flag::TLS != 0 {
            if let Err(e) = donor::take(&raw mut (*t).area) {
                stacks::give_back(t, c);
                return Err(e);
            }
            (*t).tls = true;
            (*t).fs = (*t).area.fs;
            if flags & flag::DETACHED != 0 {
                donor::detach(&raw const (*t).area);
            }
        }
        (*t).detached = flags & flag::DETACHED != 0;
        (*t).done = false;
        (*t).joiner = core::ptr::null();
        (*t).function = function;
        (*t).arguments[0] = argument;
        if let Some(all) = all {
            (*t).arguments = *all;
        }
        (*t).number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        (*t).fiber = null_mut();
        (*t).rsp = switch::prepare((*t).top & !15, begin, t as usize);
        (*t).magic.store(ALIVE, Ordering::Release);
    }
    CREATED.fetch_add(1, Ordering::Relaxed);
    LIVE.fetch_add(1, Ordering::Relaxed);
    // SAFETY: our own record.
    if flags & flag::FIRST != 0 && !unsafe { (*me).linux } {
        groups::switch_to(me, t, After::Front);
    } else {
        groups::ready(t);
    }
    Ok(t)
}

/// Starts a thread of the program's C library, whose record `t` is, with its thread area at `tls`, by `begin(t)` on the stack below `at`.
///
/// # Safety
/// The record must be the caller's, and complete but for this.
pub unsafe fn start_posix(
    t: *mut Thread,
    tls: usize,
    at: usize,
    begin: unsafe extern "C" fn(usize) -> !,
) {
    // SAFETY: the caller's promise.
    unsafe {
        (*t).fs = tls;
        (*t).top = at;
        (*t).low = 0;
        (*t).linux = false;
        (*t).fiber = null_mut();
        (*t).has_values = false;
        (*t).number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        (*t).rsp = switch::prepare(at & !15, begin, t as usize);
    }
    CREATED.fetch_add(1, Ordering::Relaxed);
    LIVE.fetch_add(1, Ordering::Relaxed);
    groups::ready(t);
}

/// True if thread `t` may be preempted anywhere in its own code: it shares no thread-local variable with another one.
///
/// # Safety
/// `t` must be a kernel thread's record.
pub unsafe fn can_be_preempted(t: *const Thread) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*t).tls || (*t).posix.is || (*t).preempt }
}

/// A new thread's first steps.
unsafe extern "C" fn begin(t: usize) -> ! {
    groups::arrived();
    let t = t as *mut Thread;
    leave();
    // SAFETY: the record of the thread that executes; the program gave the function.
    let result = unsafe {
        let function: Function = core::mem::transmute((*t).function);
        let [a, b, c, d, e, f] = (*t).arguments;
        function(a, b, c, d, e, f)
    };
    exit(result)
}

/// Ends the calling kernel thread.
pub fn exit(result: usize) -> ! {
    let t = current();
    // SAFETY: our own record.
    unsafe {
        if (*t).has_values {
            keys::destroy(t);
        }
        (*t).result = result;
    }
    match super::enter() {
        // The end of the work is that of the thread that executes next.
        Some(inside) => core::mem::forget(inside),
        None => report::fatal("a signal handler that interrupted the kernel ends its thread"),
    }
    crate::channel::posts::kernel_thread_ends(t);
    groups::switch_away(t, After::Exit);
    report::fatal("a thread that has ended goes on")
}

/// The thread's stack is in use no more: tells who waits for it, or gives it back.
///
/// # Safety
/// The thread must have ended, and its carrier be on another stack.
pub unsafe fn retire(t: *mut Thread, c: *mut Carrier) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*t).posix.is {
            return posix::retire(t);
        }
    }
    if LIVE.fetch_sub(1, Ordering::AcqRel) == 1 {
        super::none_left();
    }
    // SAFETY: the caller's promise.
    unsafe {
        if (*t).tls {
            donor::give_back(&raw mut (*t).area);
        }
        let held = (*t).lock.take::<Machine>();
        (*t).done = true;
        if (*t).detached {
            drop(held);
            bury(t, c);
            return;
        }
        let joiner = core::mem::replace(&mut (*t).joiner, core::ptr::null());
        drop(held);
        if !joiner.is_null() {
            // From here on the thread is the joiner's.
            Waiter::wake::<Machine>(joiner);
        }
    }
}

/// # Safety
/// Nobody may know the thread any more.
unsafe fn bury(t: *mut Thread, c: *mut Carrier) {
    // SAFETY: the caller's promise.
    unsafe {
        (*t).magic.store(GONE, Ordering::Relaxed);
        stacks::give_back(t, c);
    }
}

/// The thread that a handle means, if it is one.
///
/// # Safety
/// It must have been one at some time.
unsafe fn known(handle: usize) -> Option<*mut Thread> {
    let t = handle as *mut Thread;
    // SAFETY: the caller's promise: the memory of threads is never unmapped.
    unsafe {
        let fine = !t.is_null()
            && t.is_aligned()
            && (*t).magic.load(Ordering::Acquire) == ALIVE
            && !(*t).linux;
        fine.then_some(t)
    }
}

/// Waits for the end of a thread, until `deadline` at most, and takes its result.
///
/// # Errors
/// ESRCH if there is no such thread, EDEADLK for the caller itself, EINVAL if it is detached or another thread waits for it, ETIMEDOUT.
///
/// # Safety
/// `handle` must be what [`create`] gave, at some time.
pub unsafe fn join(handle: usize, deadline: u64) -> Result<usize, isize> {
    // SAFETY: the caller's promise.
    let t = unsafe { known(handle) }.ok_or(raw::err(errno::ESRCH))?;
    if t == current() {
        return Err(raw::err(Error::Deadlock as i32));
    }
    // SAFETY: the thread is alive as long as nobody has joined it, which is the caller's to do.
    unsafe {
        let held = (*t).lock.take::<Machine>();
        if (*t).detached || !(*t).joiner.is_null() {
            return Err(raw::err(errno::EINVAL));
        }
        if !(*t).done {
            let w = Waiter::new::<Machine>(0);
            (*t).joiner = &raw const w;
            drop(held);
            Machine::park(&w, deadline);
            if deadline != NEVER {
                let held = (*t).lock.take::<Machine>();
                if !(*t).joiner.is_null() {
                    (*t).joiner = core::ptr::null();
                    return Err(raw::err(Error::TimedOut as i32));
                }
                drop(held);
                w.settle::<Machine>();
            }
        } else {
            drop(held);
        }
        let result = (*t).result;
        if (*t).tls {
            donor::join(&raw const (*t).area);
        }
        bury(t, (*local()).carrier);
        Ok(result)
    }
}

/// A thread's memory is given back at its end, without a join.
///
/// # Errors
/// ESRCH, EINVAL as for [`join`].
///
/// # Safety
/// As [`join`].
pub unsafe fn detach(handle: usize) -> Result<(), isize> {
    // SAFETY: the caller's promise.
    let t = unsafe { known(handle) }.ok_or(raw::err(errno::ESRCH))?;
    // SAFETY: as for `join`.
    unsafe {
        let held = (*t).lock.take::<Machine>();
        if (*t).detached || !(*t).joiner.is_null() {
            return Err(raw::err(errno::EINVAL));
        }
        (*t).detached = true;
        let done = (*t).done;
        if (*t).tls {
            donor::detach(&raw const (*t).area);
        }
        drop(held);
        if done {
            bury(t, (*local()).carrier);
        }
    }
    Ok(())
}

/// Records of Linux threads that are nobody's.
struct Records {
    lock: Lock,
    rest: UnsafeCell<(usize, usize)>,
}
// SAFETY: the cell is used under the lock.
unsafe impl Sync for Records {}
#[unsafe(link_section = ".bss.hrt_shared")]
static RECORDS: Records = Records {
    lock: Lock::new(),
    rest: UnsafeCell::new((0, 0)),
};

/// A record for the calling Linux thread, which has none yet.
#[cold]
pub fn adopt() -> *mut Thread {
    let l = local();
    // SAFETY: the calling thread's own.
    unsafe {
        if (*l).own.is_null() {
            (*l).own = record();
            renew((*l).own);
        }
        if (*l).carrier.is_null() {
            (*l).thread = (*l).own;
        }
        // A handler of the program's on a carrier without a thread is as a Linux thread, too.
        (*l).own
    }
}

/// As for a new Linux thread.
///
/// # Safety
/// The record must be a Linux thread's that is no more, or new.
pub unsafe fn renew(t: *mut Thread) {
    // SAFETY: the caller's promise.
    unsafe {
        (*t).linux = true;
        (*t).magic.store(ALIVE, Ordering::Relaxed);
        (*t).number = NUMBERS.fetch_add(1, Ordering::Relaxed) + 1;
        (*t).fiber = null_mut();
        (*t).calls = core::ptr::null();
        if (*t).has_values {
            keys::forget(t);
        }
    }
}

fn record() -> *mut Thread {
    const BYTES: usize = 64 * 1024;
    loop {
        {
            let _held = RECORDS.lock.take::<Machine>();
            // SAFETY: the lock is held.
            let (at, end) = unsafe { &mut *RECORDS.rest.get() };
            if *at < *end {
                *at += size_of::<Thread>();
                return (*at - size_of::<Thread>()) as *mut Thread;
            }
        }
        // SAFETY: a new mapping disturbs nobody.
        let at = unsafe { raw::syscall6(nr::MMAP, [0, BYTES, 3, 0x22, usize::MAX, 0]) };
        if raw::is_err(at) {
            report::fatal("no memory for a thread's record");
        }
        let at = at as usize;
        let fits = BYTES / size_of::<Thread>() * size_of::<Thread>();
        let _held = RECORDS.lock.take::<Machine>();
        // SAFETY: the lock is held; another's rest may be lost, without harm.
        unsafe { *RECORDS.rest.get() = (at, at + fits) };
    }
}

/// In the child of a fork: there is no kernel thread but perhaps the caller.
pub fn after_fork() {
    // SAFETY: this is the only thread.
    unsafe {
        RECORDS.lock.reset();
        let t = (*local()).thread;
        let alive = !t.is_null() && !(*t).linux;
        LIVE.store(usize::from(alive), Ordering::Relaxed);
        CREATED.store(u64::from(alive), Ordering::Relaxed);
    }
}
