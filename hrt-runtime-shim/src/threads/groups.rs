//! Execution groups and their carriers: who executes what next.
//!
//! A group has a run queue and at most one carrier that works for it. A carrier without work looks at the other groups' queues for a while, then
//! sleeps. One that has lost its group to another carrier (the monitor's doing) executes its thread until that stops, and then is a spare.

use super::monitor;
use super::posix;
use super::preempt;
use super::switch::{self, hrt_clone_carrier, hrt_switch};
use super::thread::{self, Thread};
use super::{Machine, futex_wait, futex_wake, local};
use crate::kernel::{block, observe};
use crate::raw::{self, errno, nr};
use crate::report;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::threads::NEVER;
use hrt_kernel::threads::run::RunQueue;
use hrt_kernel::threads::wait::{Lock, PARKED, WAITING, Waiter};

/// Groups there can be: one for each processor that the process may use.
const GROUPS: usize = 64;
/// Carriers there can be.
const CARRIERS: usize = 512 + GROUPS;
/// Turns for which a carrier looks for work before it sleeps.
const LOOKS: u32 = 400;

/// An execution group.
#[repr(C, align(128))]
pub struct Group {
    /// Its threads that could execute.
    pub queue: RunQueue,
    /// The carrier that works for it; null: none yet.
    pub carrier: AtomicPtr<Carrier>,
}

/// `asleep` of a carrier that works.
const AWAKE: u32 = 0;
/// Of one that waits for work.
const ASLEEP: u32 = 1;
/// Of one that has no group.
const SPARE: u32 = 2;

/// A Linux thread that executes kernel threads.
#[repr(C, align(128))]
pub struct Carrier {
    /// Threads switched to.
    pub switches: AtomicU64,
    /// Its Linux thread's id.
    id: AtomicU32,
    /// What it does when it executes no thread: a futex.
    asleep: AtomicU32,
    /// The group it works for, by number from 1 on; 0: none.
    group_number: AtomicUsize,
    /// The last one, from 0 on.
    home: usize,
    /// The stack pointer of its own stack while it executes a thread.
    rsp: usize,
    /// What to do for the thread that has just stopped.
    after: After,
    stopped: *mut Thread,
    /// The group whose queue is to be unlocked then.
    locked: *const Group,
    /// Its own FS base, and what FS is.
    fs: usize,
    fs_now: usize,
    /// The signal mask of what it executes, but for handlers.
    mask_now: u64,
    /// The handlers that it had entered when that was known.
    handlers: u64,
    /// The timer of its processor time (timer_create(2)), plus one; 0: none yet.
    timer: AtomicUsize,
    /// One more than `switches` when the thread that it executes was found not to be one to preempt.
    refused: AtomicU64,
    /// Stacks that it keeps.
    pub stacks: *mut Thread,
    /// How many.
    pub stack_count: u32,
}

/// No group.
const NONE: usize = usize::MAX;

impl Carrier {
    /// The number of the group that it works for, or [`NONE`].
    #[inline(always)]
    fn group(&self) -> usize {
        self.group_number.load(Ordering::Acquire).wrapping_sub(1)
    }

    /// Sets that.
    fn set_group(&self, group: usize) {
        self.group_number
            .store(group.wrapping_add(1), Ordering::Release);
    }
}

/// What is to be done once a thread has stopped and its registers are kept.
#[repr(C, u64)]
#[derive(Clone, Copy)]
pub enum After {
    /// Nothing.
    Nothing,
    /// It can execute again, and is in its group's queue, which is to be unlocked.
    Rotated,
    /// It is the next to execute again.
    Front,
    /// It waits.
    Park(*const Waiter),
    /// It has ended.
    Exit,
}

struct Groups([Group; GROUPS]);
// SAFETY: all of it is atomic or has a lock.
unsafe impl Sync for Groups {}
#[unsafe(link_section = ".bss.hrt_shared")]
static ALL: Groups = Groups(
    [const {
        Group {
            queue: RunQueue::new(),
            carrier: AtomicPtr::new(null_mut()),
        }
    }; GROUPS],
);

struct Carriers(UnsafeCell<[Carrier; CARRIERS]>);
// SAFETY: a carrier's fields that are not atomic are used by its own Linux thread only, or before that exists.
unsafe impl Sync for Carriers {}
#[unsafe(link_section = ".bss.hrt_shared")]
static CARRIERS_MEMORY: Carriers = Carriers(UnsafeCell::new(
    [const {
        Carrier {
            switches: AtomicU64::new(0),
            id: AtomicU32::new(0),
            asleep: AtomicU32::new(AWAKE),
            group_number: AtomicUsize::new(0),
            home: 0,
            rsp: 0,
            after: After::Nothing,
            stopped: null_mut(),
            locked: core::ptr::null(),
            fs: 0,
            fs_now: 0,
            mask_now: 0,
            handlers: 0,
            timer: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            stacks: null_mut(),
            stack_count: 0,
        }
    }; CARRIERS],
));

/// Groups in use; 0: nothing has been started.
#[unsafe(link_section = ".bss.hrt_shared")]
static COUNT: AtomicUsize = AtomicUsize::new(0);
#[unsafe(link_section = ".bss.hrt_shared")]
static MADE: AtomicUsize = AtomicUsize::new(0);
#[unsafe(link_section = ".bss.hrt_shared")]
static STARTED: AtomicBool = AtomicBool::new(false);
#[unsafe(link_section = ".bss.hrt_shared")]
static STARTING: Lock = Lock::new();
/// Carriers that sleep.
#[unsafe(link_section = ".bss.hrt_shared")]
static SLEEPERS: AtomicUsize = AtomicUsize::new(0);
/// Carriers that look for work.
#[unsafe(link_section = ".bss.hrt_shared")]
static LOOKING: AtomicUsize = AtomicUsize::new(0);
/// Where the next thread goes that a Linux thread makes ready.
#[unsafe(link_section = ".bss.hrt_shared")]
static TURN: AtomicUsize = AtomicUsize::new(0);
/// The signal mask of carriers.
#[unsafe(link_section = ".bss.hrt_shared")]
static MASK: AtomicU64 = AtomicU64::new(0);
/// A function like pthread_create(3) that makes carriers, so that libc knows of them; 0: clone(2).
#[unsafe(link_section = ".bss.hrt_shared")]
pub static MAKER: AtomicUsize = AtomicUsize::new(0);
/// What MAKER was when the first Linux thread was made: all are made alike, since only one that libc has made may call libc.
#[unsafe(link_section = ".bss.hrt_shared")]
static MADE_BY: AtomicUsize = AtomicUsize::new(0);
/// As pthread_join(3), or 0.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static JOIN: AtomicUsize = AtomicUsize::new(0);
/// As pthread_detach(3), or 0.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static DETACH: AtomicUsize = AtomicUsize::new(0);
/// Threads that were taken from another group.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static STOLEN: AtomicU64 = AtomicU64::new(0);
/// Times that a group was given another carrier.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static RESCUES: AtomicU64 = AtomicU64::new(0);

/// The groups in use.
pub fn all() -> &'static [Group] {
    &ALL.0[..COUNT.load(Ordering::Acquire)]
}

/// Carriers ever made.
pub fn carriers() -> usize {
    MADE.load(Ordering::Relaxed)
}

/// Threads switched to by all carriers.
pub fn switches() -> u64 {
    let made = carriers().min(CARRIERS);
    let first = CARRIERS_MEMORY.0.get().cast::<Carrier>();
    // SAFETY: within the array; the field is atomic.
    (0..made)
        .map(|i| unsafe { (*first.add(i)).switches.load(Ordering::Relaxed) })
        .sum()
}

/// True if more than one carrier may execute at a time.
pub fn several() -> bool {
    COUNT.load(Ordering::Relaxed) > 1
}

/// Says how libc makes, joins and detaches threads.
///
/// # Errors
/// EBUSY: Linux threads have been made in another way.
pub fn set_libc(create: usize, join: usize, detach: usize) -> Result<(), isize> {
    let _held = STARTING.take::<Machine>();
    if STARTED.load(Ordering::Acquire) && MADE_BY.load(Ordering::Acquire) != create {
        return Err(raw::err(errno::EBUSY));
    }
    JOIN.store(join, Ordering::Release);
    DETACH.store(detach, Ordering::Release);
    MAKER.store(create, Ordering::Release);
    Ok(())
}

/// Starts the carriers, if that has not been done.
///
/// # Errors
/// What Linux says to a new thread.
#[inline]
pub fn start() -> Result<(), isize> {
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    start_slow()
}

#[cold]
fn start_slow() -> Result<(), isize> {
    let _held = STARTING.take::<Machine>();
    if STARTED.load(Ordering::Acquire) {
        return Ok(());
    }
    MASK.store(raw::sigmask(raw::SIG_BLOCK, 0), Ordering::Relaxed);
    MADE_BY.store(MAKER.load(Ordering::Acquire), Ordering::Release);
    let n = raw::processors().clamp(1, GROUPS);
    COUNT.store(n, Ordering::Release);
    for (i, g) in ALL.0[..n].iter().enumerate() {
        if g.carrier.load(Ordering::Acquire).is_null() {
            let made = make_carrier(i);
            // One is enough to go on with.
            if i == 0 || made.is_ok() {
                g.carrier.store(made?, Ordering::Release);
            }
        }
    }
    monitor::start()?;
    STARTED.store(true, Ordering::Release);
    Ok(())
}

/// A new carrier for group `group`.
fn make_carrier(group: usize) -> Result<*mut Carrier, isize> {
    let n = MADE.fetch_add(1, Ordering::Relaxed);
    if n >= CARRIERS {
        MADE.fetch_sub(1, Ordering::Relaxed);
        return Err(raw::err(errno::EAGAIN));
    }
    // SAFETY: within the array; nobody else uses this one yet.
    unsafe {
        let c = CARRIERS_MEMORY.0.get().cast::<Carrier>().add(n);
        (*c).home = group;
        (*c).asleep.store(AWAKE, Ordering::Relaxed);
        (*c).set_group(group);
        let r = linux_thread(work, c as usize);
        if r != 0 {
            // Its place is lost, which matters only near the limit.
            (*c).set_group(NONE);
            return Err(r);
        }
        Ok(c)
    }
}

/// Bytes of the stack of a Linux thread that no libc has made, with its thread area.
const OWN_STACK: usize = 256 * 1024;
/// Bytes of the thread area below and from the FS base on.
const AREA: usize = 8192;

/// Makes a Linux thread of the kernel's, which never ends.
pub fn linux_thread(function: unsafe extern "C" fn(usize) -> usize, argument: usize) -> isize {
    let maker = MADE_BY.load(Ordering::Acquire);
    if maker != 0 {
        let mut id = 0usize;
        // SAFETY: the program has given a function like pthread_create(3).
        let r = unsafe {
            let create: unsafe extern "C" fn(
                *mut usize,
                usize,
                unsafe extern "C" fn(usize) -> usize,
                usize,
            ) -> i32 = core::mem::transmute(maker);
            create(&raw mut id, 0, function, argument)
        };
        return raw::err(r);
    }
    // SAFETY: a new mapping disturbs nobody.
    let at = unsafe { raw::syscall6(nr::MMAP, [0, OWN_STACK, 3, 0x22, usize::MAX, 0]) };
    if raw::is_err(at) {
        return at;
    }
    let top = at as usize + OWN_STACK;
    let area = top - AREA / 2;
    let mine = switch::fs();
    // CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x8_0000;
    // SAFETY: the mapping is ours and new. Code that was compiled with stack protection compares a word of its thread area, which must be the
    // same wherever a thread executes; so it and the word beside it (System V psABI and glibc's tcbhead_t) are the caller's.
    unsafe {
        let words = area as *mut usize;
        words.write(area);
        words.add(2).write(area);
        if mine != 0 {
            words.add(5).write(*(mine as *const usize).add(5));
            words.add(6).write(*(mine as *const usize).add(6));
        }
        let stack = (top - AREA - 64) as *mut usize;
        stack.write(function as usize);
        stack.add(1).write(argument);
        let r = hrt_clone_carrier(FLAGS, stack as usize, area);
        if raw::is_err(r) {
            raw::syscall4(nr::MUNMAP, at as usize, OWN_STACK, 0, 0);
            return r;
        }
    }
    0
}

/// The calling carrier; null in other Linux threads.
#[inline(always)]
fn carrier() -> *mut Carrier {
    // SAFETY: the calling thread's own.
    unsafe { (*local()).carrier }
}

/// A carrier's work.
unsafe extern "C" fn work(c: usize) -> usize {
    let c = c as *mut Carrier;
    let l = local();
    super::helps();
    // SAFETY: the calling thread's own.
    unsafe {
        (*l).carrier = c;
        (*l).thread = null_mut();
        (*c).id.store((*block::current()).tid, Ordering::Relaxed);
        (*c).fs = switch::fs();
        (*c).fs_now = (*c).fs;
    }
    if posix::quiet() {
        raw::set_sigmask(monitor::BLOCKED);
        // SAFETY: the calling carrier's own.
        unsafe { (*c).mask_now = monitor::BLOCKED };
    } else {
        let mask = MASK.load(Ordering::Relaxed);
        raw::set_sigmask(mask & !preempt::keeps());
        // SAFETY: as above.
        unsafe { (*c).mask_now = mask };
    }
    loop {
        // SAFETY: the calling thread's own.
        unsafe {
            if (*c).group() == NONE {
                be_spare(c);
                continue;
            }
        }
        match find(c) {
            Some(t) => execute(c, t),
            None => {
                if posix::quiet() {
                    // SAFETY: the calling carrier's own.
                    unsafe { set_mask(c, monitor::BLOCKED) };
                }
                sleep(c);
            }
        }
    }
}

/// Executes `t` until a thread stops and there is none to go on with.
fn execute(c: *mut Carrier, t: *mut Thread) {
    let l = local();
    // SAFETY: the calling thread's own; the thread was taken from a run queue, so it is ours.
    unsafe {
        (*l).inside.store(1, Ordering::Relaxed);
        (*c).after = After::Nothing;
        go(c, t);
        hrt_switch(&raw mut (*c).rsp, (*t).rsp);
        done(c);
        (*l).thread = null_mut();
        super::leave();
    }
}

/// The carrier's part of a switch to `t`.
///
/// # Safety
/// `c` must be the calling carrier, and `t` its to execute.
#[inline(always)]
unsafe fn go(c: *mut Carrier, t: *mut Thread) {
    // SAFETY: the caller's promise.
    unsafe {
        (*local()).thread = t;
        let n = &(*c).switches;
        n.store(n.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let fs = if (*t).fs == 0 { (*c).fs } else { (*t).fs };
        if fs != (*c).fs_now {
            (*c).fs_now = fs;
            switch::set_fs(fs);
        }
        if posix::quiet() {
            let mask = if (*t).posix.is {
                (*t).posix
                    .on
                    .store((*c).id.load(Ordering::Relaxed), Ordering::SeqCst);
                *block::alt(block::current()) = (*t).posix.alt;
                if !observe::is_guest() {
                    (*block::current()).sigsys_blocked = (*t).posix.sigsys;
                }
                (*t).posix.mask
            } else {
                MASK.load(Ordering::Relaxed)
            };
            handlers_are(posix::handlers());
            set_mask(c, mask);
        }
    }
}

/// Gives the calling carrier `c` the mask of what it executes next.
///
/// # Safety
/// `c` must be the calling carrier.
unsafe fn set_mask(c: *mut Carrier, mask: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        // SIGSYS, too, where that is the kernel's.
        let sigsys = u64::from(!observe::is_guest()) << 30;
        let real = mask & !sigsys & !preempt::keeps();
        if posix::hand_over(real, mask != (*c).mask_now) {
            (*c).mask_now = mask;
        }
    }
}

/// The thread that executes has this signal mask.
pub fn mask_is(mask: u64) {
    let c = carrier();
    if !c.is_null() {
        // SAFETY: the calling carrier's own.
        unsafe { (*c).mask_now = mask };
    }
}

/// The handlers that the calling carrier had entered when its thread's mask was last known.
pub fn handlers_seen() -> u64 {
    // SAFETY: the calling carrier's own.
    unsafe { (*carrier()).handlers }
}

/// The calling carrier's thread has the mask that is known with so many handlers entered.
pub fn handlers_are(n: u64) {
    // SAFETY: the calling carrier's own.
    unsafe { (*carrier()).handlers = n };
}

/// The calling kernel thread `t` ends, with signals blocked, on a stack that is neither its own nor its carrier's; returns the stack pointer with which the
/// carrier goes on (`hrt_resume`). `set_fs` sets the FS base of what goes on there.
///
/// # Safety
/// Nothing of the thread may be used after that.
pub unsafe fn ended(t: *mut Thread, set_fs: impl FnOnce(usize)) -> usize {
    let c = carrier();
    // SAFETY: the calling carrier's own.
    unsafe {
        (*c).after = After::Exit;
        (*c).stopped = t;
        (*c).mask_now = monitor::BLOCKED;
        let fs = (*c).fs;
        if fs != (*c).fs_now {
            (*c).fs_now = fs;
            set_fs(fs);
        }
        (*c).rsp
    }
}

/// What is left to do for the thread that has stopped, on another stack than its.
///
/// # Safety
/// `c` must be the calling carrier, right after a switch.
#[inline(always)]
unsafe fn done(c: *mut Carrier) {
    // SAFETY: the caller's promise: the fields were set right before the switch.
    unsafe {
        let t = (*c).stopped;
        match (*c).after {
            After::Nothing => {}
            After::Rotated => (*(*c).locked).queue.unlock(),
            After::Front => enqueue(c, t, true),
            After::Park(w) => {
                let state = &(*w).state;
                if state
                    .compare_exchange(WAITING, PARKED, Ordering::AcqRel, Ordering::Acquire)
                    .is_err()
                {
                    enqueue(c, t, false);
                }
            }
            After::Exit => thread::retire(t, c),
        }
    }
}

/// After a switch to the calling thread.
#[inline]
pub fn arrived() {
    // SAFETY: a kernel thread is executed by a carrier.
    unsafe { done(carrier()) }
}

/// Stops the calling kernel thread `t`.
#[inline]
pub fn switch_away(t: *mut Thread, after: After) {
    let c = carrier();
    // SAFETY: the calling carrier's own.
    let group = unsafe { (*c).group() };
    let next = match ALL.0.get(group) {
        Some(g) => g.queue.pop::<Machine>(),
        None => None,
    };
    // SAFETY: as above; who took a thread from a queue may execute it.
    unsafe {
        check(t);
        posix::stops(t);
        (*t).posix.on.store(0, Ordering::SeqCst);
        (*c).after = after;
        (*c).stopped = t;
        let to = match next {
            Some(n) => {
                let n = n.cast::<Thread>();
                go(c, n);
                (*n).rsp
            }
            None => {
                let fs = (*c).fs;
                if fs != (*c).fs_now {
                    (*c).fs_now = fs;
                    switch::set_fs(fs);
                }
                if posix::quiet() {
                    // Its own thread area is not for handlers of the program's.
                    set_mask(c, monitor::BLOCKED);
                }
                (*c).rsp
            }
        };
        hrt_switch(&raw mut (*t).rsp, to);
    }
    arrived();
}

/// Stops the calling kernel thread `t` and executes `next`, which is in no queue.
pub fn switch_to(t: *mut Thread, next: *mut Thread, after: After) {
    let c = carrier();
    // SAFETY: as in `switch_away`.
    unsafe {
        check(t);
        posix::stops(t);
        (*t).posix.on.store(0, Ordering::SeqCst);
        (*c).after = after;
        (*c).stopped = t;
        go(c, next);
        hrt_switch(&raw mut (*t).rsp, (*next).rsp);
    }
    arrived();
}

/// Ends the process if the calling thread has used more stack than it has.
///
/// # Safety
/// `t` must be the calling kernel thread.
#[inline(always)]
unsafe fn check(t: *mut Thread) {
    let here: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("movq %rsp, {}", out(reg) here, options(att_syntax, nomem, nostack, preserves_flags));
    }
    // SAFETY: the caller's promise.
    unsafe {
        if here < (*t).low + 512 && (*t).fiber.is_null() {
            report::fatal("a kernel thread has used more stack than it has");
        }
    }
}

/// Lets others execute before the calling kernel thread `t`; false if there are none.
#[inline]
pub fn yield_now(t: *mut Thread) -> bool {
    // SAFETY: the calling carrier's own; the thread is in no queue while it executes.
    unsafe {
        let c = carrier();
        let Some(g) = ALL.0.get((*c).group()) else {
            // Its group has another carrier: this one goes.
            switch_away(t, After::Front);
            return true;
        };
        match g.queue.rotate::<Machine>(t.cast()) {
            Some(next) => {
                // The group's queue is this carrier's to unlock, whatever the monitor does meanwhile.
                (*c).locked = g;
                switch_to(t, next.cast(), After::Rotated);
                true
            }
            None => false,
        }
    }
}

/// For how many turns the calling thread may wait for a lock before it stops: only where its holder is likely to execute on another processor.
pub fn patience() -> u32 {
    if !several() {
        return 0;
    }
    let c = carrier();
    if c.is_null() {
        return 40;
    }
    // SAFETY: the calling carrier's own.
    match ALL.0.get(unsafe { (*c).group() }) {
        Some(g) if g.queue.is_empty() => 20,
        _ => 0,
    }
}

/// Puts a thread that stopped here into the queue of the carrier's group, or of the last that it had.
#[inline]
fn enqueue(c: *mut Carrier, t: *mut Thread, front: bool) {
    // SAFETY: the calling carrier's own.
    let (group, home) = unsafe { ((*c).group(), (*c).home) };
    match group {
        // This carrier will not come to it: it goes, and the group's own may sleep.
        NONE => put(t, home, front, 1),
        // Alone in the queue it is come to soon; the monitor sees to it if not.
        _ => put(t, group, front, 2),
    }
}

#[inline]
fn put(t: *mut Thread, group: usize, front: bool, enough: usize) {
    let queue = &ALL.0[group % GROUPS].queue;
    // SAFETY: the thread is in no queue: who may make it ready is the one who took it.
    let wake = unsafe {
        queue.push::<Machine, _>(t.cast(), front, |n| {
            n >= enough
                && SLEEPERS.load(Ordering::Relaxed) != 0
                && LOOKING.load(Ordering::Relaxed) == 0
        })
    };
    if wake {
        wake_one();
    }
}

/// A kernel thread can execute.
#[inline]
pub fn ready(t: *mut Thread) {
    let c = carrier();
    if c.is_null() {
        let n = COUNT.load(Ordering::Relaxed).max(1);
        put(t, TURN.fetch_add(1, Ordering::Relaxed) % n, false, 1);
    } else {
        enqueue(c, t, false);
    }
}

/// Wakes a carrier that sleeps, if there is one.
#[cold]
pub fn wake_one() {
    for g in all() {
        let c = g.carrier.load(Ordering::Acquire);
        if c.is_null() {
            continue;
        }
        // SAFETY: it is a carrier.
        if unsafe { awaken(c) } {
            // SAFETY: as above.
            futex_wake(unsafe { &raw const (*c).asleep });
            monitor::busy();
            return;
        }
    }
}

/// A thread for this carrier, from its own group or from another one; looks for a while.
fn find(c: *mut Carrier) -> Option<*mut Thread> {
    // SAFETY: the calling carrier's own.
    let own = unsafe { (*c).group() };
    let groups = all();
    if let Some(n) = groups.get(own)?.queue.pop::<Machine>() {
        return Some(n.cast());
    }
    let looks = if groups.len() > 1 { LOOKS } else { 1 };
    LOOKING.fetch_add(1, Ordering::Relaxed);
    let mut found = None;
    'look: for _ in 0..looks {
        for i in 0..groups.len() {
            let g = &groups[(own + i) % groups.len()];
            let taken = match i {
                0 => g.queue.pop::<Machine>(),
                _ => g.queue.steal::<Machine>(),
            };
            if let Some(n) = taken {
                if i > 0 {
                    STOLEN.fetch_add(1, Ordering::Relaxed);
                }
                found = Some(n.cast());
                break 'look;
            }
        }
        core::hint::spin_loop();
    }
    LOOKING.fetch_sub(1, Ordering::Relaxed);
    // Who made the others ready counted on us.
    if found.is_some()
        && SLEEPERS.load(Ordering::Relaxed) != 0
        && groups.iter().any(|g| !g.queue.is_empty())
    {
        wake_one();
    }
    found
}

/// Waits for work.
fn sleep(c: *mut Carrier) {
    // SAFETY: the calling carrier's own; the field is atomic.
    let asleep = unsafe { &(*c).asleep };
    asleep.store(ASLEEP, Ordering::Release);
    SLEEPERS.fetch_add(1, Ordering::SeqCst);
    let work = all().iter().any(|g| !g.queue.is_really_empty::<Machine>());
    // SAFETY: as above.
    let lost = unsafe { (*c).group() } == NONE;
    if work || lost {
        // SAFETY: as above.
        unsafe { awaken(c) };
        return;
    }
    super::idly(|| {
        while asleep.load(Ordering::Acquire) == ASLEEP {
            futex_wait(asleep, ASLEEP, NEVER);
        }
    });
}

/// Waits to be given a group.
fn be_spare(c: *mut Carrier) {
    // SAFETY: the calling carrier's own; the fields are atomic.
    let (asleep, me) = unsafe { (&(*c).asleep, &*c) };
    asleep.store(SPARE, Ordering::Release);
    super::idly(|| {
        while asleep.load(Ordering::Acquire) == SPARE {
            futex_wait(asleep, SPARE, NEVER);
        }
    });
    let given = me.group();
    if given != NONE {
        // SAFETY: the calling carrier's own.
        unsafe { (*c).home = given };
    }
}

/// True if a carrier works for the group, and is not asleep.
pub fn is_busy(g: &Group) -> bool {
    let c = g.carrier.load(Ordering::Acquire);
    // SAFETY: carriers are never unmapped; the field is atomic.
    !c.is_null() && unsafe { (*c).asleep.load(Ordering::Relaxed) } == AWAKE
}

/// True if fewer carriers execute something than there are processors for them.
pub fn spares_processor() -> bool {
    let busy = all().iter().filter(|g| is_busy(g)).count();
    busy < all().len() + LOOKING.load(Ordering::Relaxed)
}

/// How often the group's carrier has switched.
pub fn switches_of(g: &Group) -> u64 {
    let c = g.carrier.load(Ordering::Acquire);
    match c.is_null() {
        true => 0,
        // SAFETY: as above.
        false => unsafe { (*c).switches.load(Ordering::Relaxed) },
    }
}

/// Processor time that the group's carrier has used, in ns: by its clock (clock_getcpuclockid(3)).
pub fn time_of(g: &Group) -> u64 {
    let c = g.carrier.load(Ordering::Acquire);
    if c.is_null() {
        return 0;
    }
    // SAFETY: as above.
    raw::clock(clock_of(unsafe { (*c).id.load(Ordering::Relaxed) }))
}

/// The clock of the processor time of Linux thread `tid` (clock_getcpuclockid(3)).
pub fn clock_of(tid: u32) -> usize {
    const SCHED: i32 = 2 | 4; // CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK (Linux, `include/linux/posix-timers_types.h`)
    (!(tid as i32) << 3 | SCHED) as usize
}

/// The slice of the thread that the group's carrier executes, in looks of the monitor's; `None`: it is not to be preempted.
pub fn slice_of(g: &Group) -> Option<u32> {
    let looks = preempt::looks()?;
    let c = g.carrier.load(Ordering::Acquire);
    if c.is_null() {
        return None;
    }
    // SAFETY: carriers are never unmapped; the fields are atomic.
    let refused = unsafe { (*c).refused.load(Ordering::Relaxed) };
    (refused != switches_of(g) + 1).then_some(looks)
}

/// Lets the carrier of group `g` look at its next tick whether to preempt its thread. Only the monitor does so.
pub fn ask(g: &Group) {
    let c = g.carrier.load(Ordering::Acquire);
    if c.is_null() {
        return;
    }
    // SAFETY: carriers are never unmapped; the fields are atomic.
    unsafe {
        let timer = &(*c).timer;
        if timer.load(Ordering::Relaxed) == 0 {
            match preempt::timer((*c).id.load(Ordering::Relaxed)) {
                Ok(id) => timer.store(id + 1, Ordering::Relaxed),
                Err(_) => return refuse(c),
            }
        }
        if !preempt::arm(timer.load(Ordering::Relaxed) - 1) {
            refuse(c);
        }
    }
}

/// The thread that carrier `c` executes is not to be preempted.
fn refuse(c: *mut Carrier) {
    // SAFETY: as for `ask`.
    unsafe {
        let n = (*c).switches.load(Ordering::Relaxed);
        (*c).refused.store(n + 1, Ordering::Relaxed);
    }
}

/// As [`refuse`], for the calling carrier.
pub fn refuse_mine() {
    refuse(carrier());
}

/// The signal mask of what the calling carrier executes, but for handlers; `None` in other threads.
pub fn mask_now() -> Option<u64> {
    let c = carrier();
    // SAFETY: the calling carrier's own.
    (!c.is_null()).then(|| unsafe { (*c).mask_now })
}

/// True if the calling carrier has something else to execute, or is to be a spare.
pub fn others_wait() -> bool {
    // SAFETY: the calling carrier's own.
    match ALL.0.get(unsafe { (*carrier()).group() }) {
        Some(g) => !g.queue.is_empty(),
        None => true,
    }
}

/// Gives group `number`, whose carrier does not come back, another one: a spare, or a new one. Only the monitor does so.
pub fn rescue(number: usize) {
    let g = &ALL.0[number];
    let old = g.carrier.load(Ordering::Acquire);
    let first = CARRIERS_MEMORY.0.get().cast::<Carrier>();
    // SAFETY: within the array; the field is atomic.
    let is_spare = |c: *mut Carrier| unsafe { (*c).asleep.load(Ordering::Acquire) } == SPARE;
    let spare = (0..carriers().min(CARRIERS))
        // SAFETY: within the array.
        .map(|i| unsafe { first.add(i) })
        .find(|c| is_spare(*c));
    let new = match spare {
        Some(c) => c,
        None => match make_carrier(number) {
            Ok(c) => c,
            // No more can be had: the group waits for its own.
            Err(_) => return,
        },
    };
    RESCUES.fetch_add(1, Ordering::Relaxed);
    // SAFETY: carriers are never unmapped; the fields are atomic.
    unsafe {
        if !old.is_null() {
            (*old).set_group(NONE);
            // It may have gone to sleep this very moment.
            if awaken(old) {
                futex_wake(&raw const (*old).asleep);
            }
        }
        g.carrier.store(new, Ordering::Release);
        if spare.is_some() {
            (*new).set_group(number);
            (*new).asleep.store(AWAKE, Ordering::Release);
            futex_wake(&raw const (*new).asleep);
        }
    }
}

/// Ends the sleep of a carrier, which is then to be woken; false if it does not sleep.
///
/// # Safety
/// It must be one.
unsafe fn awaken(c: *mut Carrier) -> bool {
    // SAFETY: carriers are never unmapped; the field is atomic.
    let asleep = unsafe { &(*c).asleep };
    let slept = asleep.load(Ordering::Relaxed) == ASLEEP
        && asleep
            .compare_exchange(ASLEEP, AWAKE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
    if slept {
        SLEEPERS.fetch_sub(1, Ordering::Relaxed);
    }
    slept
}

/// In the child of a fork.
pub fn after_fork() {
    let l = local();
    // SAFETY: this is the only thread.
    unsafe {
        for g in &ALL.0 {
            g.queue.reset();
            g.carrier.store(null_mut(), Ordering::Relaxed);
        }
        STARTING.reset();
        let first = CARRIERS_MEMORY.0.get().cast::<Carrier>();
        let mine = (*l).carrier;
        let mut made = 0;
        if !mine.is_null() {
            // The caller's carrier goes on, as the first one.
            (*mine).set_group(0);
            (*mine).home = 0;
            (*mine).stacks = null_mut();
            (*mine).stack_count = 0;
            ALL.0[0].carrier.store(mine, Ordering::Relaxed);
            made = mine.offset_from(first) as usize + 1;
        }
        for i in 0..made {
            // Those below it are gone, and so are all timers.
            let c = first.add(i);
            (*c).timer.store(0, Ordering::Relaxed);
            if c != mine {
                (*c).asleep.store(AWAKE, Ordering::Relaxed);
                (*c).set_group(NONE);
            }
        }
        MADE.store(made, Ordering::Relaxed);
    }
    SLEEPERS.store(0, Ordering::Relaxed);
    LOOKING.store(0, Ordering::Relaxed);
    STOLEN.store(0, Ordering::Relaxed);
    RESCUES.store(0, Ordering::Relaxed);
    preempt::PREEMPTED.store(0, Ordering::Relaxed);
    // The others are made anew when a thread is.
    STARTED.store(false, Ordering::Relaxed);
}
