//! Threads of the program's C library as kernel threads (the set `pthread`).
//!
//! The C library is left as it is: the kernel serves the system calls by which it makes, stops and ends threads. Its clone(2) makes a kernel
//! thread, with the stack and thread area that the library has prepared; its futex(2) stops that thread and switches to the next one; its
//! exit(2) ends it. So mutexes, condition variables, semaphores, joins, keys, cancellation and locks of stdio are the library's own, with
//! their own memory, and waits cost a switch instead of a Linux thread's.
//!
//! Calls that may stop a thread leave the kernel first and come back in the program's place, on its stack ([`hrt_upcall`]), since a thread must not stop
//! on its carrier's kernel stack. While that works (`Local::inside`), signals are deferred as on the kernel stack.
//!
//! On `kvm` that is in the guest, which asks its partner by system calls: what the partner notes down of a signal waits there for as long ([`waiting`]).
//!
//! Linux's own threads (the first one, and carriers) wait by Linux's futex(2). A wake looks here first, and asks Linux for the rest if a Linux
//! thread has ever waited at an address of the same bucket.

use super::groups;
use super::thread::{self, Thread};
use super::{LIVE, Machine, current, local, now};
use crate::hosted::frame::{NOT_MADE, hrt_mask_call};
use crate::kernel::block::{self, AltStack, Block};
use crate::kernel::{CONFINED, actions, observe, user};
use crate::kvm::signals;
use crate::raw::{self, errno, nr};
use core::cell::UnsafeCell;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use hrt_kernel::threads::wait::{Lock, Queue, Waiter};
use hrt_kernel::threads::{Host, NEVER};

/// The set is wanted, and the platform has it.
static ON: AtomicBool = AtomicBool::new(false);
/// A kernel thread of this kind has been made.
#[unsafe(link_section = ".bss.hrt_shared")]
static STARTED: AtomicBool = AtomicBool::new(false);

/// Numbers of system calls that only matter here (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).
mod call {
    pub const NANOSLEEP: usize = 35;
    pub const SCHED_SETPARAM: usize = 142;
    pub const SCHED_GETPARAM: usize = 143;
    pub const SCHED_SETSCHEDULER: usize = 144;
    pub const SCHED_GETSCHEDULER: usize = 145;
    pub const TKILL: usize = 200;
    pub const SCHED_SETAFFINITY: usize = 203;
    pub const SET_TID_ADDRESS: usize = 218;
    pub const CLOCK_NANOSLEEP: usize = 230;
    pub const SET_ROBUST_LIST: usize = 273;
    pub const RSEQ: usize = 334;
    pub const FUTEX_WAITV: usize = 449;
    /// setuid, setgid, setreuid, setregid, setgroups, setresuid, setresgid, setfsuid, setfsgid, capset.
    pub const CREDENTIALS: [usize; 10] = [105, 106, 113, 114, 116, 117, 119, 122, 123, 126];
}

/// Turns the set on; to be called before any call is served.
pub fn init(wanted: bool) {
    ON.store(wanted, Ordering::Relaxed);
}

/// True if the kernel has something to do with call `number` on behalf of these threads.
#[must_use]
pub fn mediates(number: usize) -> bool {
    ON.load(Ordering::Relaxed)
        && (comes_back(number)
            || matches!(
                number,
                nr::GETTID
                    | nr::TGKILL
                    | nr::SCHED_GETAFFINITY
                    | call::SCHED_SETAFFINITY
                    | call::TKILL
                    | call::SET_ROBUST_LIST
                    | call::SET_TID_ADDRESS
                    | call::RSEQ
                    | call::FUTEX_WAITV
                    | call::SCHED_SETPARAM..=call::SCHED_GETSCHEDULER
            )
            || call::CREDENTIALS.contains(&number))
}

/// True if call `number` is one that [`hrt_upcall`] serves and nothing else has to do with.
#[must_use]
pub fn comes_back(number: usize) -> bool {
    ON.load(Ordering::Relaxed)
        && matches!(
            number,
            nr::FUTEX | nr::SCHED_YIELD | call::NANOSLEEP | call::CLOCK_NANOSLEEP
        )
}

/// Flags of a clone(2) that makes a thread as C libraries do: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID;
/// beside them musl gives the old DETACHED.
const THREAD_FLAGS: u64 = 0x3d_0f00;
const DETACHED: u64 = 0x40_0000;

/// True if a clone(2) with these flags makes a kernel thread.
#[must_use]
pub fn makes(flags: u64) -> bool {
    ON.load(Ordering::Relaxed)
        && !CONFINED.load(Ordering::Relaxed)
        && flags & !DETACHED == THREAD_FLAGS
}

/// True once kernel threads of this kind may be there.
#[inline]
fn started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// What a thread's record has for this.
#[repr(C)]
pub struct Posix {
    /// It is one of these threads.
    pub is: bool,
    /// What gettid(2) answers in it: above all that Linux gives (4,194,304 at most).
    pub tid: u32,
    /// Where 0 is stored at its end (CLONE_CHILD_CLEARTID).
    clear: usize,
    /// Its robust futexes (set_robust_list(2)).
    robust: usize,
    /// Its signal mask when it last stopped or changed it.
    pub mask: u64,
    /// Its mask outside of handlers.
    base: u64,
    /// It may be in a handler, with another mask.
    handling: bool,
    /// Its alternate signal stack while it does not execute.
    pub alt: AltStack,
    /// 1 if it believes that it has SIGSYS blocked (`Block::sigsys_blocked`).
    pub sigsys: u32,
    /// Signals that others have sent to it, by tgkill(2).
    pending: AtomicU64,
    /// Signals that it waits for (rt_sigtimedwait(2)).
    waits: AtomicU64,
    /// The Linux thread that executes it; 0: none.
    pub on: AtomicU32,
    /// The lock of `parked`.
    lock: Lock,
    parked: *const Sleeper,
}

/// A thread that waits here, on its own stack.
#[repr(C)]
struct Sleeper {
    waiter: Waiter,
    /// The futex; of a thread that sleeps for a time, 0.
    address: usize,
    bits: u32,
    interrupted: AtomicBool,
}

struct Bucket {
    lock: Lock,
    queue: UnsafeCell<Queue>,
    /// A Linux thread has waited.
    linux: AtomicBool,
    /// Threads in the queue.
    waiting: AtomicUsize,
}
// SAFETY: the queue is used under the lock.
unsafe impl Sync for Bucket {}
const BUCKETS: usize = 1024;
#[unsafe(link_section = ".bss.hrt_shared")]
static ALL: [Bucket; BUCKETS] = [const {
    Bucket {
        lock: Lock::new(),
        queue: UnsafeCell::new(Queue::new()),
        linux: AtomicBool::new(false),
        waiting: AtomicUsize::new(0),
    }
}; BUCKETS];

fn bucket(address: usize) -> &'static Bucket {
    &ALL[((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % BUCKETS]
}

/// Threads there can be at a time.
const THREADS: usize = 65_536;
/// Their numbers start here.
const FIRST_TID: u32 = 1 << 22;
/// How often a record's number changes before it comes again: below FUTEX_TID_MASK in all.
const GENERATIONS: u32 = 8_000;

struct Records {
    lock: Lock,
    /// Where they are, how many have been used, those that are free.
    rest: UnsafeCell<(usize, usize, *mut Thread)>,
}
// SAFETY: used under the lock.
unsafe impl Sync for Records {}
#[unsafe(link_section = ".bss.hrt_shared")]
static RECORDS: Records = Records {
    lock: Lock::new(),
    rest: UnsafeCell::new((0, 0, core::ptr::null_mut())),
};

/// A record with a number of its own, and nothing else set.
fn take_record() -> Option<*mut Thread> {
    let _held = RECORDS.lock.take::<Machine>();
    // SAFETY: the lock is held; records in the list are nobody's.
    unsafe {
        let (base, used, free) = &mut *RECORDS.rest.get();
        if *base == 0 {
            let size = THREADS * size_of::<Thread>();
            // SAFETY: a new mapping disturbs nobody; of it only what is used takes memory (MAP_NORESERVE).
            let at = raw::syscall6(nr::MMAP, [0, size, 3, 0x4022, usize::MAX, 0]);
            if raw::is_err(at) {
                return None;
            }
            *base = at as usize;
        }
        if !free.is_null() {
            let t = *free;
            *free = (*t).next;
            let next = (*t).posix.tid + THREADS as u32;
            let last = FIRST_TID + GENERATIONS * THREADS as u32;
            (*t).posix.tid = if next < last {
                next
            } else {
                FIRST_TID + 1 + (next - FIRST_TID - 1) % THREADS as u32
            };
            return Some(t);
        }
        if *used == THREADS {
            return None;
        }
        let t = (*base + *used * size_of::<Thread>()) as *mut Thread;
        *used += 1;
        (*t).posix.tid = FIRST_TID + *used as u32;
        Some(t)
    }
}

/// The record of the thread with this number. It may end at any time; its memory stays.
fn find(tid: u32) -> Option<*mut Thread> {
    let i = (tid.checked_sub(FIRST_TID + 1)?) as usize % THREADS;
    let _held = RECORDS.lock.take::<Machine>();
    // SAFETY: the lock is held.
    let (base, used, _) = unsafe { *RECORDS.rest.get() };
    if i >= used {
        return None;
    }
    let t = (base + i * size_of::<Thread>()) as *mut Thread;
    // SAFETY: within the records in use.
    unsafe { ((*t).posix.is && (*t).posix.tid == tid).then_some(t) }
}

/// The calling thread's record, if it is one of these.
#[inline]
fn me() -> Option<*mut Thread> {
    if !started() {
        return None;
    }
    // SAFETY: the calling thread's own.
    unsafe {
        let t = (*local()).thread;
        (!t.is_null() && (*t).posix.is).then_some(t)
    }
}

/// What an upcall's code does next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Back to the program with this result.
    Done(isize),
    /// Linux serves the call.
    Forward,
    /// The call is made again, after handlers of signals.
    Again,
}

/// Arguments of a clone.
#[derive(Clone, Copy)]
pub struct Child {
    /// Where its number is stored (PARENT_SETTID).
    pub parent_tid: usize,
    /// Where 0 is stored at its end.
    pub child_tid: usize,
    /// The end of its stack.
    pub stack: usize,
    /// Its thread area.
    pub tls: usize,
}

/// Makes a kernel thread that starts by a return to `resume`, with `frame` (16-byte words) above its stack pointer.
///
/// # Errors
/// EAGAIN: there are too many, or no Linux thread can be had; EFAULT.
///
/// # Safety
/// `write` stores the thread's first registers at the address that it gets, on the child's stack; `begin` goes on with them.
pub unsafe fn create(
    child: &Child,
    size: usize,
    write: impl FnOnce(usize),
    begin: unsafe extern "C" fn(usize) -> !,
) -> Result<u32, isize> {
    let at = child.stack.wrapping_sub(128 + size) & !15;
    if !user::can_read(at, size) || !user::can_read8(child.parent_tid & !7) {
        return Err(raw::err(errno::EFAULT));
    }
    groups::start().map_err(|_| raw::err(errno::EAGAIN))?;
    let t = take_record().ok_or(raw::err(errno::EAGAIN))?;
    STARTED.store(true, Ordering::SeqCst);
    write(at);
    // SAFETY: the record is ours; the stack is the program's, for this thread.
    unsafe {
        let tid = (*t).posix.tid;
        (*t).posix.clear = child.child_tid;
        (*t).posix.robust = 0;
        (*t).posix.mask = mask();
        (*t).posix.base = (*t).posix.mask;
        (*t).posix.handling = false;
        (*t).posix.alt = AltStack::NONE;
        (*t).posix.sigsys = (*block::current()).sigsys_blocked;
        (*t).posix.pending = AtomicU64::new(0);
        (*t).posix.waits = AtomicU64::new(0);
        (*t).posix.on = AtomicU32::new(0);
        (*t).posix.parked = null();
        (*t).posix.is = true;
        (child.parent_tid as *mut u32).write(tid);
        thread::start_posix(t, child.tls, at, begin);
        Ok(tid)
    }
}

/// The caller's signal mask.
fn mask() -> u64 {
    match me() {
        // SAFETY: the calling thread's own.
        Some(t) if !unsafe { may_handle(t) } => unsafe { (*t).posix.mask },
        _ => real_mask(),
    }
}

/// As [`mask`], asking Linux.
fn real_mask() -> u64 {
    let real = raw::sigmask(raw::SIG_BLOCK, 0);
    // A signal that comes in between is deferred, with all others.
    waiting(block::current()).unwrap_or(real)
}

/// True if the calling thread `t` may be in a handler, or have returned from one, since its mask was last known.
///
/// # Safety
/// It must be that.
unsafe fn may_handle(t: *mut Thread) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*t).posix.handling || groups::handlers_seen() != handlers() }
}

/// Handlers that the calling Linux thread has entered.
pub fn handlers() -> u64 {
    // SAFETY: the calling thread's own block.
    unsafe { (*block::current()).signals.load(Ordering::Relaxed) }
}

/// The calling thread `t` is about to stop, perhaps in a handler, whose mask is then its own as long as others execute.
///
/// # Safety
/// It must be that.
#[inline]
pub unsafe fn stops(t: *mut Thread) {
    // SAFETY: the caller's promise.
    unsafe {
        if !(*t).posix.is {
            return;
        }
        (*t).posix.alt = *block::alt(block::current());
        if may_handle(t) {
            let mask = real_mask();
            (*t).posix.handling = mask != (*t).posix.base;
            (*t).posix.mask = mask;
            groups::mask_is(mask);
            groups::handlers_are(handlers());
        }
    }
}

/// If a signal waits, with all others blocked, for the kernel's work on the calling thread's behalf to be done: the mask that the thread has.
fn waiting(b: *mut Block) -> Option<u64> {
    if observe::is_guest() {
        return signals::waiting(b).map(|(mask, _)| mask);
    }
    // SAFETY: the calling thread's own block.
    unsafe { ((*b).deferred != 0).then_some((*b).deferred_mask) }
}

/// A kernel function is done: on `kvm` a signal that has waited for that can come.
#[inline]
pub fn let_signals_in() {
    if observe::is_guest() && started() && waiting(block::current()).is_some() {
        // SAFETY: does nothing but leave the guest.
        unsafe { raw::syscall4(hrt_abi::api::CALL, usize::MAX, 0, 0, 0) };
    }
}

/// The thread on `t` is over, and its stack in use no more.
///
/// # Safety
/// `t` must be one of these, and its carrier on another stack.
pub unsafe fn retire(t: *mut Thread) {
    // SAFETY: the caller's promise.
    unsafe {
        release_robust(t);
        {
            let _held = (*t).posix.lock.take::<Machine>();
            (*t).posix.is = false;
        }
        let clear = (*t).posix.clear;
        if (*t).has_values {
            super::keys::forget(t);
        }
        if clear != 0 && clear.is_multiple_of(4) && user::can_read8(clear & !7) {
            (*(clear as *const AtomicU32)).store(0, Ordering::SeqCst);
            let woken = wake(clear, i32::MAX, u32::MAX);
            if linux_waits(clear) {
                wake_linux(clear, 1, 0, woken as isize, u32::MAX);
            }
        }
        // The number of the first thread of a fork's child was Linux's to give.
        if (*t).posix.tid > FIRST_TID {
            let _held = RECORDS.lock.take::<Machine>();
            let (_, _, free) = &mut *RECORDS.rest.get();
            (*t).next = *free;
            *free = t;
        }
        // Who has seen the thread's end may end, too: so the process must not do so without this.
        if LIVE.fetch_sub(1, Ordering::AcqRel) == 1 {
            super::none_left();
        }
    }
}

/// As Linux does at a thread's end (`exit_robust_list`, kernel/futex/core.c): who waits for a lock that it holds learns that its owner is dead.
///
/// # Safety
/// As [`retire`].
unsafe fn release_robust(t: *mut Thread) {
    const LIMIT: usize = 2048;
    // SAFETY: the caller's promise.
    let (head, tid) = unsafe { ((*t).posix.robust, (*t).posix.tid) };
    if head == 0 {
        return;
    }
    // struct robust_list_head: the list, the distance of a lock word, one that is about to change.
    let (Some([first, offset]), Some(pending)) =
        (user::get::<[usize; 2]>(head), user::get::<u64>(head + 16))
    else {
        return;
    };
    let dead = |entry: usize| {
        let word = (entry & !1).wrapping_add(offset);
        if entry & !1 != 0 && word.is_multiple_of(4) && user::can_read8(word & !7) {
            // SAFETY: just seen to be readable; a lock is the program's to write.
            let word_at = unsafe { &*(word as *const AtomicU32) };
            let mut was = word_at.load(Ordering::Relaxed);
            while was & 0x3fff_ffff == tid {
                let died = was & 0x8000_0000 | 0x4000_0000;
                match word_at.compare_exchange(was, died, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => {
                        if was & 0x8000_0000 != 0 && wake(word, 1, u32::MAX) == 0 {
                            wake_linux(word, 1, 0, 0, u32::MAX);
                            wake_linux(word, 1 | 128, 0, 0, u32::MAX);
                        }
                        break;
                    }
                    Err(now) => was = now,
                }
            }
        }
    };
    let pending = pending as usize;
    let mut at = first;
    for _ in 0..LIMIT {
        if at & !1 == head {
            break;
        }
        let Some(next) = user::get::<u64>(at & !1) else {
            break;
        };
        if at & !1 != pending & !1 {
            dead(at);
        }
        at = next as usize;
    }
    dead(pending);
}

const PRIVATE: usize = 128;
const REALTIME: usize = 256;

/// Wakes up to `most` kernel threads that wait at `address` for one of `bits`; how many.
fn wake(address: usize, most: i32, bits: u32) -> i32 {
    let b = bucket(address);
    // What the program has stored comes before the look, as a waiter's count comes before its look at the value.
    fence(Ordering::SeqCst);
    if b.waiting.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    let mut n = 0;
    let _held = b.lock.take::<Machine>();
    while n < most {
        // SAFETY: the lock is held; queued waiters are alive, and the first field of a `Sleeper`.
        unsafe {
            let wanted = |w: *const Waiter| {
                let s = w.cast::<Sleeper>();
                (*s).address == address && (*s).bits & bits != 0
            };
            let Some(w) = (*b.queue.get()).pop_if(wanted) else {
                break;
            };
            b.waiting.fetch_sub(1, Ordering::Relaxed);
            Waiter::wake::<Machine>(w);
        }
        n += 1;
    }
    n
}

fn linux_waits(address: usize) -> bool {
    fence(Ordering::SeqCst);
    bucket(address).linux.load(Ordering::Relaxed)
}

/// Lets Linux wake the rest; the sum.
fn wake_linux(address: usize, operation: usize, most: i32, woken: isize, bits: u32) -> isize {
    let rest = if most == 0 { 1 } else { most as usize };
    // SAFETY: touches no memory.
    let r = unsafe { raw::syscall6(nr::FUTEX, [address, operation, rest, 0, 0, bits as usize]) };
    if raw::is_err(r) && woken == 0 {
        r
    } else {
        woken + r.max(0)
    }
}

/// The time of a `struct timespec` in ns; `None` if it is none.
fn nanoseconds(t: [usize; 2]) -> Option<u64> {
    let [s, ns] = t;
    if s as isize > -1 && ns < 1_000_000_000 {
        Some(
            (s as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(ns as u64)
                .min(NEVER - 1),
        )
    } else {
        None
    }
}

/// A deadline of the monotonic clock from the `struct timespec` at `at`: relative, or a time of clock `absolute`.
fn deadline(at: usize, absolute: Option<usize>) -> Result<u64, isize> {
    let t = user::get::<[usize; 2]>(at).ok_or(raw::err(errno::EFAULT))?;
    let t = nanoseconds(t).ok_or(raw::err(errno::EINVAL))?;
    Ok(match absolute {
        None => now().saturating_add(t),
        Some(1) => t,
        // As far away as it is now: later changes of the clock do not count.
        Some(id) => now().saturating_add(t.saturating_sub(raw::clock(id))),
    }
    .min(NEVER - 1))
}

/// Why a thread goes on.
enum Why {
    Woken,
    Late,
    Signal,
    Changed,
}

/// Stops the calling thread `t` until it is woken, `deadline` passes or a signal comes; at `address` (0: none) only while the word there is `value`.
fn stop(t: *mut Thread, address: usize, value: u32, bits: u32, deadline: u64) -> Why {
    let s = Sleeper {
        waiter: Waiter::new::<Machine>(0),
        address,
        bits,
        interrupted: AtomicBool::new(false),
    };
    let b = bucket(if address == 0 {
        (&raw const s) as usize
    } else {
        address
    });
    // SAFETY: the record and block are the calling thread's own; the sleeper stays here until it is in no queue, and unpublished.
    unsafe {
        stops(t);
        let held = (*t).posix.lock.take::<Machine>();
        if due(t) != 0 || waiting(block::current()).is_some() {
            // As on Linux a wait whose time is over has ended by that, however many signals there are.
            return if now() < deadline {
                Why::Signal
            } else {
                Why::Late
            };
        }
        let held_bucket = b.lock.take::<Machine>();
        b.waiting.fetch_add(1, Ordering::SeqCst);
        if address != 0 && (*(address as *const AtomicU32)).load(Ordering::SeqCst) != value {
            b.waiting.fetch_sub(1, Ordering::Relaxed);
            return Why::Changed;
        }
        (*b.queue.get()).push(&s.waiter);
        drop(held_bucket);
        (*t).posix.parked = &raw const s;
        drop(held);
        Machine::park(&s.waiter, deadline);
        let held = (*t).posix.lock.take::<Machine>();
        (*t).posix.parked = null();
        drop(held);
        let held_bucket = b.lock.take::<Machine>();
        let alone = s.waiter.is_queued();
        if alone {
            (*b.queue.get()).remove(&raw const s.waiter);
            b.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        drop(held_bucket);
        if alone {
            return Why::Late;
        }
        s.waiter.settle::<Machine>();
        if s.interrupted.load(Ordering::Acquire) {
            Why::Signal
        } else {
            Why::Woken
        }
    }
}

/// Ends the wait of thread `t`, to which a signal has been sent; false if it does not wait here.
///
/// # Safety
/// `t` must be a record; its lock must be held.
unsafe fn interrupt(t: *mut Thread) -> bool {
    // SAFETY: what is published is alive as long as the lock is held.
    unsafe {
        let s = (*t).posix.parked;
        if s.is_null() {
            return false;
        }
        let b = bucket(match (*s).address {
            0 => s as usize,
            a => a,
        });
        let _held = b.lock.take::<Machine>();
        if (*s).waiter.is_queued() {
            (*b.queue.get()).remove(&raw const (*s).waiter);
            b.waiting.fetch_sub(1, Ordering::Relaxed);
            (*s).interrupted.store(true, Ordering::Release);
            Waiter::wake::<Machine>(&raw const (*s).waiter);
        }
        true
    }
}

/// The caller's signals that are due, if any may be: by its real signal mask, which a handler may have narrowed.
fn due(t: *mut Thread) -> u64 {
    // SAFETY: the calling thread's own.
    unsafe {
        let pending = (*t).posix.pending.load(Ordering::SeqCst);
        if pending == 0 || pending & !(*t).posix.mask == 0 && !may_handle(t) {
            return 0;
        }
        pending & !real_mask()
    }
}

/// Sends the calling thread's signals to its Linux thread; they come when the program goes on.
fn deliver(t: *mut Thread) {
    let due = due(t);
    if due == 0 {
        return;
    }
    let b = block::current();
    // SAFETY: the calling thread's own.
    unsafe {
        // On `kvm` the first one that comes to the partner blocks the others.
        if !observe::is_guest() {
            let real = raw::set_sigmask(raw::ALL_SIGNALS);
            if (*b).deferred == 0 {
                (*b).deferred_mask = real;
                (*b).deferred = 1;
            }
        }
        for sig in (1..=64).filter(|s| due >> (s - 1) & 1 != 0) {
            let mut held = actions::NO_ACTION;
            actions::raw_sigaction(sig, null(), &raw mut held);
            if held.handler <= actions::SIG_IGN {
                // No handler of ours learns of it.
                (*t).posix
                    .pending
                    .fetch_and(!(1 << (sig - 1)), Ordering::SeqCst);
                raw::syscall4(nr::TGKILL, (*b).pid as usize, (*b).tid as usize, sig, 0);
            } else {
                send_on(b, (*b).tid as usize, sig);
            }
        }
    }
}

/// Has Linux thread `on` look for signal `sig` among those of the thread that it executes.
fn send_on(b: *mut Block, on: usize, sig: usize) {
    // siginfo: number, error, code, padding, process, user.
    let mut info = [0i32; 32];
    info[0] = sig as i32;
    info[2] = SENT_ON;
    // SAFETY: the calling thread's own block; a signal to a thread of this process.
    unsafe {
        info[4] = (*b).pid as i32;
        info[5] = raw::syscall4(102, 0, 0, 0, 0) as i32; // getuid
        let pid = (*b).pid as usize;
        raw::syscall4(nr::RT_TGSIGQUEUEINFO, pid, on, sig, info.as_ptr() as usize);
    }
}

/// What an interrupted wait that Linux would restart does: with handlers that ask for it, it starts again.
fn interrupted(t: *mut Thread, restarts: bool) -> Next {
    deliver(t);
    let mut pending = 0u64;
    // SAFETY: writes a local.
    unsafe { raw::syscall4(nr::RT_SIGPENDING, (&raw mut pending) as usize, 8, 0, 0) };
    let b = block::current();
    let due = match observe::is_guest() {
        true => match signals::waiting(b) {
            Some((mask, sig)) => pending & !mask | 1 << (sig - 1),
            None => 0,
        },
        // SAFETY: the calling thread's own block.
        false => unsafe { pending & !(*b).deferred_mask },
    };
    let restart = |sig: usize| {
        let mut held = actions::NO_ACTION;
        actions::raw_sigaction(sig, null(), &raw mut held);
        held.handler <= actions::SIG_IGN || held.flags & actions::flag::RESTART != 0
    };
    if restarts && (1..=64).all(|s| due >> (s - 1) & 1 == 0 || restart(s)) {
        Next::Again
    } else {
        Next::Done(raw::err(errno::EINTR))
    }
}

/// Serves a call in the program's place: a thread may stop here.
#[must_use]
pub fn serve(number: usize, args: &[usize; 6]) -> Next {
    let t = me();
    let next = match (number, t) {
        (nr::FUTEX, _) => futex(t, args),
        (_, None) => Next::Forward,
        (nr::SCHED_YIELD, Some(t)) => {
            if !groups::yield_now(t) {
                // SAFETY: changes nothing.
                unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
            }
            Next::Done(0)
        }
        (call::NANOSLEEP, Some(t)) => sleep(t, args[0], args[1], None),
        (call::CLOCK_NANOSLEEP, Some(t)) => match (args[0], args[1]) {
            (0 | 1, 0) => sleep(t, args[2], args[3], None),
            (id @ (0 | 1), 1) => sleep(t, args[2], 0, Some(id)),
            _ => Next::Forward,
        },
        _ => Next::Forward,
    };
    if let Some(t) = t {
        deliver(t);
    }
    next
}

fn sleep(t: *mut Thread, time: usize, rest: usize, absolute: Option<usize>) -> Next {
    let until = match deadline(time, absolute) {
        Ok(d) => d,
        Err(e) => return Next::Done(e),
    };
    match stop(t, 0, 0, u32::MAX, until) {
        Why::Signal => {
            let next = interrupted(t, false);
            let left = until.saturating_sub(now());
            if rest != 0 && !user::put(rest, &[left / 1_000_000_000, left % 1_000_000_000]) {
                return Next::Done(raw::err(errno::EFAULT));
            }
            next
        }
        _ => Next::Done(0),
    }
}

fn futex(t: Option<*mut Thread>, args: &[usize; 6]) -> Next {
    const WAIT: usize = 0;
    const WAKE: usize = 1;
    const REQUEUE: usize = 3;
    const CMP_REQUEUE: usize = 4;
    const WAKE_OP: usize = 5;
    const WAIT_BITSET: usize = 9;
    const WAKE_BITSET: usize = 10;
    let [address, operation, value, time, second, bits] = *args;
    if !started() {
        return Next::Forward;
    }
    let command = operation & 127;
    let shared = operation & PRIVATE == 0;
    let bits = match command {
        WAIT_BITSET | WAKE_BITSET => bits as u32,
        _ => u32::MAX,
    };
    match command {
        WAIT | WAIT_BITSET => {
            let near = !shared || is_tid_word(address, value as u32);
            let Some(t) = t.filter(|_| near) else {
                if t.is_none() && near && changes_soon(address, value as u32) {
                    return Next::Done(raw::err(errno::EAGAIN));
                }
                // Linux looks at the value after this.
                bucket(address).linux.store(true, Ordering::SeqCst);
                return Next::Forward;
            };
            if address % 4 != 0 || bits == 0 {
                return Next::Done(raw::err(errno::EINVAL));
            }
            if !user::can_read8(address & !7) {
                return Next::Done(raw::err(errno::EFAULT));
            }
            let absolute =
                (command == WAIT_BITSET).then_some(if operation & REALTIME != 0 { 0 } else { 1 });
            let until = match time {
                0 => Ok(NEVER),
                at => deadline(at, absolute),
            };
            let until = match until {
                Ok(u) => u,
                Err(e) => return Next::Done(e),
            };
            Next::Done(match stop(t, address, value as u32, bits, until) {
                Why::Woken => 0,
                Why::Changed => raw::err(errno::EAGAIN),
                Why::Late => raw::err(errno::ETIMEDOUT),
                Why::Signal => return interrupted(t, time == 0),
            })
        }
        WAKE | WAKE_BITSET => {
            if address % 4 != 0 || bits == 0 {
                return Next::Done(raw::err(errno::EINVAL));
            }
            let most = (value as i32).max(1);
            let woken = wake(address, most, bits);
            if woken < most && (shared || linux_waits(address)) {
                let r = wake_linux(address, operation, most - woken, woken as isize, bits);
                return Next::Done(r);
            }
            Next::Done(woken as isize)
        }
        REQUEUE | CMP_REQUEUE | WAKE_OP => {
            // SAFETY: the program asked for it; it does not wait.
            let r = unsafe { raw::syscall6(nr::FUTEX, *args) };
            if raw::is_err(r) {
                return Next::Done(r);
            }
            // Kernel threads are woken rather than moved, which they must expect.
            let all = |n: usize| (n as i32).max(0);
            let woken = match command {
                WAKE_OP => wake(address, all(value), u32::MAX) + wake(second, all(time), u32::MAX),
                _ => wake(address, all(value).saturating_add(all(time)), u32::MAX),
            };
            Next::Done(r + woken as isize)
        }
        // Priority inheritance: as a Linux without it, which C libraries ask about when such a mutex is made.
        6..=8 | 11..=13 => Next::Done(raw::err(errno::ENOSYS)),
        _ => Next::Forward,
    }
}

/// A Linux thread is about to wait at `address` for `value` to change: true if it does soon. Where a kernel thread executes that will change it, and a processor is free, to wait
/// for that takes a part of what it takes to sleep and be woken by Linux. How long depends on how long it has taken.
fn changes_soon(address: usize, value: u32) -> bool {
    /// Cycles of the time stamp: at least, and at most, which is tried first.
    const LEAST: u64 = 1 << 9;
    const MOST: u64 = 1 << 18;
    /// Cycles; 0: none tried yet.
    #[unsafe(link_section = ".bss.hrt_shared")]
    static PATIENCE: AtomicU64 = AtomicU64::new(0);
    if LIVE.load(Ordering::Relaxed) == 0
        || !groups::spares_processor()
        || !address.is_multiple_of(4)
        || !user::can_read8(address & !7)
    {
        return false;
    }
    let patience = match PATIENCE.load(Ordering::Relaxed) {
        0 => MOST,
        p => p,
    };
    let b = block::current();
    // SAFETY: reads a counter.
    let clock = || unsafe { core::arch::x86_64::_rdtsc() };
    let start = clock();
    loop {
        // SAFETY: just seen to be readable; the program waits there, so it does not unmap it.
        let now = unsafe { (*(address as *const AtomicU32)).load(Ordering::SeqCst) };
        let took = clock().wrapping_sub(start);
        if now != value {
            PATIENCE.store(patience.max(4 * took).min(MOST), Ordering::Relaxed);
            return true;
        }
        if took > patience || waiting(b).is_some() {
            PATIENCE.store((patience - patience / 4).max(LEAST), Ordering::Relaxed);
            return false;
        }
        core::hint::spin_loop();
    }
}

/// True if `address` is where the kernel stores 0 at the end of thread `tid`: C libraries wait there for it as for something that processes share.
fn is_tid_word(address: usize, tid: u32) -> bool {
    // SAFETY: records stay; one word.
    find(tid).is_some_and(|t| unsafe { (*t).posix.clear } == address)
}

/// `si_code` of a signal that the kernel sends on to the thread for which it is: below all that Linux and glibc use.
pub const SENT_ON: i32 = -0x4852;

/// tgkill(2) to one of these threads; `None` if it is for another.
fn kill(b: *mut Block, tid: usize, sig: usize) -> Option<isize> {
    let tid = u32::try_from(tid).ok()?;
    if tid <= FIRST_TID {
        return None;
    }
    let Some(t) = find(tid) else {
        return Some(raw::err(errno::ESRCH));
    };
    if sig > 64 {
        return Some(raw::err(errno::EINVAL));
    }
    if sig == 0 {
        return Some(0);
    }
    // SAFETY: records stay; the block is the calling thread's own.
    unsafe {
        let pid = (*b).pid as usize;
        if me() == Some(t) {
            return Some(raw::syscall4(nr::TGKILL, pid, (*b).tid as usize, sig, 0));
        }
        let bit = 1u64 << (sig - 1);
        let held = (*t).posix.lock.take::<Machine>();
        if !(*t).posix.is || (*t).posix.tid != tid {
            return Some(raw::err(errno::ESRCH));
        }
        if (*t).posix.waits.load(Ordering::SeqCst) & bit != 0 {
            let on = (*t).posix.on.load(Ordering::SeqCst) as usize;
            return Some(raw::syscall4(nr::TGKILL, pid, on, sig, 0));
        }
        (*t).posix.pending.fetch_or(bit, Ordering::SeqCst);
        let on = (*t).posix.on.load(Ordering::SeqCst) as usize;
        if (*t).posix.mask & bit == 0 && interrupt(t) || on == 0 {
            return Some(0);
        }
        drop(held);
        send_on(b, on, sig);
    }
    Some(0)
}

/// A signal with the code [`SENT_ON`] has come: true if the thread that executes has been sent one, which then looks as it was sent. Another thread gets its own
/// when it executes next.
///
/// # Safety
/// `info` must be the siginfo of a signal that the calling thread is handling; `now` says that its handler is entered next.
pub unsafe fn is_for_me(sig: i32, info: *mut i32, now: bool) -> bool {
    let bit = 1u64 << (sig - 1);
    // SAFETY: the caller's promise; the record is the calling thread's own.
    unsafe {
        let Some(t) = me() else {
            return false;
        };
        if !now {
            return (*t).posix.pending.load(Ordering::SeqCst) & bit != 0;
        }
        if (*t).posix.pending.fetch_and(!bit, Ordering::SeqCst) & bit == 0 {
            return false;
        }
        *info.add(2) = -6; // SI_TKILL
    }
    true
}

/// What the kernel does for a call of the program's; `None`: as for any other thread.
#[must_use]
pub fn mediate(b: *mut Block, number: usize, args: &[usize; 6]) -> Option<isize> {
    let [a0, a1, a2, ..] = *args;
    if !started() {
        return None;
    }
    let t = me();
    if let Some(t) = t {
        // SAFETY: the calling thread's own.
        unsafe { (*t).posix.waits.store(0, Ordering::SeqCst) };
    }
    match (number, t) {
        (nr::RT_SIGTIMEDWAIT, Some(t)) => {
            if let Some(set) = user::get::<u64>(a0) {
                wait_for(b, t, set);
            }
        }
        // SAFETY: the calling thread's own.
        (nr::GETTID, Some(t)) => return Some(unsafe { (*t).posix.tid } as isize),
        (nr::TGKILL, _) => {
            // SAFETY: the calling thread's own.
            let here = unsafe { (*b).pid } as usize == a0;
            return kill(b, a1, a2).map(|r| if here { r } else { raw::err(errno::ESRCH) });
        }
        (call::TKILL, _) => return kill(b, a0, a1),
        (call::SET_ROBUST_LIST, Some(t)) => {
            if a1 != 24 {
                return Some(raw::err(errno::EINVAL));
            }
            // SAFETY: the calling thread's own.
            unsafe { (*t).posix.robust = a0 };
            return Some(0);
        }
        (call::SET_TID_ADDRESS, Some(t)) => {
            // SAFETY: the calling thread's own.
            return Some(unsafe {
                (*t).posix.clear = a0;
                (*t).posix.tid as isize
            });
        }
        (call::FUTEX_WAITV, _) => {
            // It waits in Linux, at any address.
            for b in &ALL {
                b.linux.store(true, Ordering::SeqCst);
            }
        }
        (call::RSEQ, Some(_)) => {
            // It is of a Linux thread, which these threads change. glibc ends the process if its threads cannot have what its first one has; so
            // they have it, with the processor's number (`struct rseq`, `cpu_id`) that says that it cannot be told this way.
            const REGISTRATION_FAILED: i32 = -2;
            if !user::can_read8(a0 & !7) {
                return Some(raw::err(errno::EFAULT));
            }
            // SAFETY: readable, and the program's to be written by rseq(2).
            unsafe { (a0 as *mut i32).add(1).write(REGISTRATION_FAILED) };
            return Some(0);
        }
        _ => {}
    }
    let mine = a0 > FIRST_TID as usize && a0 <= i32::MAX as usize;
    match number {
        nr::SCHED_GETAFFINITY | call::SCHED_GETPARAM | call::SCHED_GETSCHEDULER if mine => {
            if find(a0 as u32).is_none() {
                return Some(raw::err(errno::ESRCH));
            }
            let mut own = *args;
            own[0] = 0;
            // SAFETY: the program asked for it, of a thread that is as any carrier.
            Some(unsafe { raw::syscall6(number, own) })
        }
        // What it has already, as all carriers have.
        call::SCHED_SETPARAM | call::SCHED_SETSCHEDULER
            if (mine || a0 == 0 && t.is_some()) && is_scheduled_so(number, args) =>
        {
            Some(0)
        }
        // Not of one thread alone.
        call::SCHED_SETAFFINITY | call::SCHED_SETPARAM | call::SCHED_SETSCHEDULER
            if mine || a0 == 0 && t.is_some() =>
        {
            Some(raw::err(errno::EPERM))
        }
        // Carriers would keep theirs.
        n if call::CREDENTIALS.contains(&n) => Some(raw::err(errno::EAGAIN)),
        _ => None,
    }
}

/// True if the calling carrier has the policy and priority that sched_setscheduler(2) or sched_setparam(2) with these arguments would give.
fn is_scheduled_so(number: usize, args: &[usize; 6]) -> bool {
    let (at, policy) = match number {
        call::SCHED_SETPARAM => (args[1], None),
        _ => (args[2], Some(args[1] as isize)),
    };
    // struct sched_param is one int.
    let Some(wanted) = user::get::<u64>(at & !7) else {
        return false;
    };
    let mut has = [0i32; 2];
    // SAFETY: ask, and write a local.
    unsafe {
        let r = raw::syscall4(call::SCHED_GETSCHEDULER, 0, 0, 0, 0);
        raw::syscall4(call::SCHED_GETPARAM, 0, has.as_mut_ptr() as usize, 0, 0);
        at.is_multiple_of(4)
            && policy.is_none_or(|p| p == r)
            && (wanted >> (at % 8 * 8)) as i32 == has[0]
    }
}

/// The calling thread `t` is about to wait for the signals in `set`: those that have been sent to it are given to Linux.
fn wait_for(b: *mut Block, t: *mut Thread, set: u64) {
    // SAFETY: the calling thread's own.
    unsafe {
        let held = (*t).posix.lock.take::<Machine>();
        (*t).posix.waits.store(set, Ordering::SeqCst);
        let due = (*t).posix.pending.fetch_and(!set, Ordering::SeqCst) & set;
        drop(held);
        for sig in (1..=64).filter(|s| due >> (s - 1) & 1 != 0) {
            raw::syscall4(nr::TGKILL, (*b).pid as usize, (*b).tid as usize, sig, 0);
        }
    }
}

/// Before the calling carrier executes another thread, or none: its signal mask is `mask` from here on, which `changes` it, and signals that the last thread was to get
/// when it goes on are for the process. True if the mask has been set.
pub fn hand_over(mask: u64, changes: bool) -> bool {
    let b = block::current();
    let mut changes = changes;
    if observe::is_guest() {
        changes |= waiting(b).is_some();
        if changes {
            // SAFETY: has the partner do both, between which no signal comes.
            unsafe {
                raw::syscall4(
                    hrt_abi::api::CALL,
                    hrt_abi::api::op::HAND_OVER,
                    mask as usize,
                    0,
                    0,
                )
            };
        }
        return changes;
    }
    loop {
        if waiting(b).is_some() {
            // SAFETY: the calling thread's own.
            unsafe { (*b).deferred = 0 };
            for_the_process(b, None, !(1 << 30));
            changes = true;
        }
        if !changes {
            return false;
        }
        // SAFETY: reads a local. It is not made if a signal comes before it, which the new mask may not let this thread have.
        if unsafe { hrt_mask_call(raw::SIG_SETMASK, (&raw const mask) as usize, 0) } != NOT_MADE {
            return true;
        }
    }
}

/// Gives the process `first`, and those of the signals in `set` that Linux keeps for the calling thread; all are blocked.
pub fn for_the_process(b: *mut Block, first: Option<[i32; 32]>, set: u64) {
    const RT_SIGQUEUEINFO: usize = 129;
    const KILL: usize = 62;
    let give = |info: &[i32; 32]| {
        // A thread's own it has among its pending ones.
        if info[2] != SENT_ON {
            // SAFETY: the calling thread's own block; a signal to this process.
            unsafe {
                let (pid, sig) = ((*b).pid as usize, info[0] as usize);
                if raw::syscall4(RT_SIGQUEUEINFO, pid, sig, info.as_ptr() as usize, 0) != 0 {
                    // Linux lets no thread but the first one say that another process has called kill(2): without who it was, then.
                    raw::syscall4(KILL, pid, sig, 0, 0);
                }
            }
        }
    };
    // Each number once: what is given to the process could be taken again.
    let (none, mut info) = ([0usize; 2], [0i32; 32]);
    let mut rest = set;
    if let Some(first) = &first {
        give(first);
        rest &= !(1 << (first[0] - 1));
    }
    loop {
        // SAFETY: the call reads and writes locals.
        let sig = unsafe {
            raw::syscall4(
                nr::RT_SIGTIMEDWAIT,
                (&raw const rest) as usize,
                info.as_mut_ptr() as usize,
                none.as_ptr() as usize,
                8,
            )
        };
        if sig <= 0 {
            return;
        }
        give(&info);
        rest &= !(1 << (sig - 1));
    }
}

/// The calling thread `t` ends: it executes no more, and its carrier goes on where it left off. Returns the stack pointer for `switch::hrt_resume`; `None` if
/// signals come first.
pub fn end(b: *mut Block, set_fs: impl FnOnce(usize)) -> Option<usize> {
    let t = me()?;
    raw::set_sigmask(if observe::is_guest() {
        raw::ALL_SIGNALS
    } else {
        super::monitor::BLOCKED
    });
    if waiting(b).is_some() {
        return None;
    }
    // SAFETY: the calling thread's own.
    unsafe {
        crate::channel::posts::thread_ends();
        (*local()).inside.store(1, Ordering::Relaxed);
        Some(groups::ended(t, set_fs))
    }
}

/// After a call that may have changed the caller's signal mask.
pub fn mask_changed(b: *mut Block) {
    if groups::mask_now().is_none() {
        // No carrier.
        return;
    }
    let mask = real_mask();
    groups::mask_is(mask);
    if let Some(t) = me() {
        // SAFETY: the calling thread's own.
        unsafe {
            (*t).posix.mask = mask;
            if !may_handle(t) {
                (*t).posix.base = mask;
            }
            (*t).posix.sigsys = (*b).sigsys_blocked;
        }
        deliver(t);
    }
}

/// Gives signals to Linux that have been sent to the calling thread while it did not execute; at the end of a call.
#[inline]
pub fn at_exit() {
    if let Some(t) = me() {
        deliver(t);
    }
}

/// True if the calling thread is one of these.
#[inline]
#[must_use]
pub fn is_mine() -> bool {
    me().is_some()
}

/// True while a function here or of [`super::api`] works, so that signals are to be deferred.
#[inline]
#[must_use]
pub fn works() -> bool {
    // SAFETY: the calling thread's own.
    started() && unsafe { (*local()).inside.load(Ordering::Relaxed) != 0 }
}

/// True if carriers are to have no signals while they execute nothing.
#[inline]
#[must_use]
pub fn quiet() -> bool {
    ON.load(Ordering::Relaxed)
}

/// In the child of a fork: nobody waits, and the caller is all there is.
pub fn after_fork(b: *mut Block) {
    if !started() {
        return;
    }
    // SAFETY: this is the only thread.
    unsafe {
        for b in &ALL {
            b.lock.reset();
            *b.queue.get() = Queue::new();
            b.linux.store(false, Ordering::Relaxed);
            b.waiting.store(0, Ordering::Relaxed);
        }
        RECORDS.lock.reset();
        let t = current();
        let (base, used, free) = &mut *RECORDS.rest.get();
        // The others' records are lost: the child has room for its own.
        *free = core::ptr::null_mut();
        for i in 0..*used {
            let other = (*base + i * size_of::<Thread>()) as *mut Thread;
            (*other).posix.is &= other == t;
        }
        if (*t).posix.is {
            (*t).posix.lock.reset();
            (*t).posix.tid = (*b).tid;
            (*t).posix.clear = 0;
            (*t).posix.on.store((*b).tid, Ordering::Relaxed);
            (*t).posix.pending.store(0, Ordering::Relaxed);
        }
    }
}
