//! Posted calls: a thread posts system calls and collects their results later (`hrt.h`, "Posted calls").
//!
//! The functions here execute in the program's place, on `kvm` in the guest: what they write lies in `.bss.hrt_shared` or is the program's. A thread has a
//! queue from its first post on. The server makes what is posted while it polls; where it does not, or not in time, or must not, the thread makes its calls
//! itself when it collects them: through a call slot, as the program would, or on `kvm` many by one exit ([`serve`]).
//!
//! A handler of the program's may interrupt a thread while it makes its own calls. What that handler posts is made at once.

use super::{Judge, jailed, server};
use crate::kernel::block::{self, Block};
use crate::kernel::{observe, slots};
use crate::raw::{self, errno, nr};
use crate::threads::thread::Thread;
use crate::threads::{INTERRUPTED, Machine, current, enter, groups, leave, local};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use hrt_abi::api::{CALL, op};
use hrt_kernel::calls::{OWNER, Queue, ROOM, Request, SERVER};
use hrt_kernel::threads::wait::Waiter;
use hrt_kernel::threads::{Host, NEVER};

/// A call of the program's (`hrt_call_t`).
#[repr(C)]
pub struct Call {
    number: usize,
    args: [usize; 6],
    result: isize,
    /// [`POSTED`], [`MADE`], or never used.
    state: u32,
    ticket: u32,
    reserved: usize,
}
const _: () = assert!(size_of::<Call>() == 80);

const POSTED: u32 = 0x4852_5450;
const MADE: u32 = 0x4852_544d;

/// What a call gets in the child of a fork that was outstanding in the parent (ECANCELED).
const CANCELED: isize = raw::err(125);
const EPERM: isize = raw::err(errno::EPERM);
const EINVAL: isize = raw::err(errno::EINVAL);

/// Queues there are: threads beyond that make their calls when they post them.
const QUEUES: usize = 64;

#[unsafe(link_section = ".bss.hrt_shared")]
static ALL: [Queue; QUEUES] = [const { Queue::new() }; QUEUES];
/// So many of them have been in use.
#[unsafe(link_section = ".bss.hrt_shared")]
static USED: AtomicUsize = AtomicUsize::new(0);
/// Calls posted, if calls are counted.
#[unsafe(link_section = ".bss.hrt_shared")]
pub static COUNT: AtomicU64 = AtomicU64::new(0);
/// Of which the server has made so many. It writes this alone.
pub static SERVED: AtomicU64 = AtomicU64::new(0);

/// Looks at the turn that a thread takes while it waits for a server that polls to begin: less time than its call takes by an exit, if it would take one; and for
/// one that has begun, before it stops.
const PATIENCE: u32 = 8;
const PATIENCE_OF_GUEST: u32 = 64;
const LONG: u32 = 100;
/// Looks at its call alone between two of those: the turn's cache line is the server's.
const LOOKS: u32 = 16;

/// Cycles between a post and its collection in which a server pays, where making the call itself costs no exit: a call that goes to another core and back
/// takes longer than it does at once.
const WORTH: u64 = 1500;
/// Points off for the server where it does not pay so: for each call that it still had to make when its thread waited for it; and because its thread has had to
/// stop.
const EAGER: u32 = 2;
const STALLED: u32 = 64;

/// Calls that make sense only where they are made: rt_sigreturn, clone, fork, vfork, execve, exit, exit_group, execveat, clone3.
fn must_not_be_posted(number: u32) -> bool {
    use nr::*;
    matches!(
        number as usize,
        RT_SIGRETURN | CLONE | FORK | VFORK | EXECVE | EXIT | EXIT_GROUP | EXECVEAT | CLONE3
    )
}

unsafe extern "C" {
    /// System call `number` as the program would make it: through the kernel.
    fn hrt_program_call(number: usize, args: *const [usize; 6]) -> isize;
    /// Where that call is made.
    fn hrt_program_call_site();
}

/// Entry of the slot of `hrt_program_call_site`.
static SLOT: AtomicUsize = AtomicUsize::new(0);

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_program_call
hrt_program_call:
    movq    %rdi, %rax
    movq    %rsi, %rcx
    movq    0(%rcx), %rdi
    movq    8(%rcx), %rsi
    movq    16(%rcx), %rdx
    movq    24(%rcx), %r10
    movq    32(%rcx), %r8
    movq    40(%rcx), %r9
1:  jmpq    *{slot}(%rip)
    .globl  hrt_program_call_site
hrt_program_call_site:  /* as long as a `syscall`: a signal may take the call back to here */
    jmp     1b
    ret
    "#,
    slot = sym SLOT,
    options(att_syntax)
);

/// Gives the calls that threads make themselves their slot.
pub fn init(lock: &slots::Guard) {
    if let Some(slot) = slots::find_or_make(hrt_program_call_site as *const () as usize, lock) {
        SLOT.store(slot.any_entry(), Ordering::Relaxed);
    }
}

/// Makes a call as the program would, during which handlers of signals may call what they like.
///
/// # Safety
/// The program asked for it; the caller must be `inside`.
unsafe fn make(number: usize, args: &[usize; 6]) -> isize {
    outside(|| {
        // SAFETY: the caller's promise.
        unsafe { hrt_program_call(number, args) }
    })
}

/// Works for a time in which handlers of signals may call what they like.
fn outside<T>(work: impl FnOnce() -> T) -> T {
    leave();
    let r = work();
    // SAFETY: the calling thread's own, which is outside.
    unsafe { (*local()).inside.store(1, Ordering::Relaxed) };
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    r
}

/// The calling thread's queue, taken if it has none; `None` if none can be had.
#[inline]
fn mine() -> Option<&'static Queue> {
    // SAFETY: the calling thread's own.
    let q = unsafe { (*current()).calls };
    if q.is_null() {
        return take();
    }
    // SAFETY: queues are static.
    Some(unsafe { &*q })
}

#[cold]
fn take() -> Option<&'static Queue> {
    let b = block::current();
    if !server::is_for(b) {
        return None;
    }
    let t = current();
    let (i, q) = ALL.iter().enumerate().find(|(_, q)| q.take(t as usize))?;
    USED.fetch_max(i + 1, Ordering::AcqRel);
    // SAFETY: the calling thread's own.
    unsafe { (*t).calls = q };
    Some(q)
}

/// Posts `count` calls, of which `calls` is the first.
///
/// # Safety
/// They must be the program's, and stay what they are until they are collected.
pub unsafe extern "C" fn calls_post(calls: *mut Call, count: usize) -> isize {
    let Some(_inside) = enter() else {
        return INTERRUPTED;
    };
    // SAFETY: the program's own, as below.
    let at = |i: usize| unsafe { &mut *calls.add(i) };
    for i in 0..count {
        let c = at(i);
        if must_not_be_posted(c.number as u32) {
            return EINVAL;
        }
        if c.state == POSTED && is_outstanding(c) {
            return raw::err(errno::EBUSY);
        }
    }
    if observe::counting() {
        COUNT.fetch_add(count as u64, Ordering::Relaxed);
    }
    let mut done = 0;
    while done < count {
        let q = mine().filter(|q| !q.is_at_own());
        let Some(q) = q else {
            let c = at(done);
            // SAFETY: the program asked for it.
            c.result = unsafe { make(c.number, &c.args) };
            c.state = MADE;
            done += 1;
            continue;
        };
        let n = (count - done).min(ROOM as usize) as u32;
        if !make_room(q, n) {
            // A handler has come in between.
            continue;
        }
        let tail = q.tail();
        q.post(n, |i| {
            let c = at(done + i as usize);
            c.state = POSTED;
            c.ticket = tail.wrapping_add(i);
            Request {
                number: c.number as u32,
                args: c.args,
                token: core::ptr::from_mut(c) as usize,
            }
        });
        done += n as usize;
        if !server::polls_now() {
            q.unserved(n, server::stamp(), server::IDLE);
            if observe::is_guest() {
                want_server(q);
            }
        }
    }
    0
}

/// True if the calling thread has posted `c`, and not collected it.
fn is_outstanding(c: &Call) -> bool {
    // SAFETY: the calling thread's own queue, which is static.
    let q = unsafe { (*current()).calls.as_ref() };
    q.is_some_and(|q| q.is(c.ticket, core::ptr::from_ref(c) as usize))
}

/// Sees to it that `n` calls can be posted; false if another look is needed.
#[inline]
fn make_room(q: &Queue, n: u32) -> bool {
    for i in 0..n {
        if let Some((ticket, token)) = q.occupant(q.tail().wrapping_add(i)) {
            // SAFETY: a call that is not collected is where it was.
            let _ = unsafe { complete(q, ticket, token as *mut Call) };
            return false;
        }
    }
    true
}

/// Wakes the server if it would have been of use, several times.
#[cold]
fn want_server(q: &Queue) {
    let now = server::stamp();
    let guest = observe::is_guest();
    let age = if guest { 0 } else { WORTH };
    if server::is_awake() || !server::may_wake(now) || !q.many_unserved(server::MANY, now, age) {
        return;
    }
    if guest {
        // SAFETY: changes nothing of the program's.
        unsafe { raw::syscall4(CALL, op::SERVER, 0, 0, 0) };
    } else {
        server::wake(block::current());
    }
}

/// Collects a call whose thread has the queue `q`: waits for it, or makes it.
///
/// # Errors
/// EBUSY in a handler that has interrupted just that.
///
/// # Safety
/// `c` must have been posted with that ticket, and not been collected.
unsafe fn complete(q: &Queue, ticket: u32, c: *mut Call) -> Result<(), isize> {
    let guest = observe::is_guest();
    let patience = if guest { PATIENCE_OF_GUEST } else { PATIENCE };
    let mut turns = 0;
    loop {
        if let Some(r) = q.collect(ticket) {
            // SAFETY: the caller's promise.
            unsafe {
                (*c).result = r;
                (*c).state = MADE;
            }
            return Ok(());
        }
        turns += 1;
        if turns == 1 {
            if server::polls_now() {
                if !guest {
                    q.complain(EAGER * (ticket.wrapping_sub(q.next()).wrapping_add(1) % ROOM));
                }
                if relax(q, ticket) {
                    continue;
                }
            } else {
                want_server(q);
            }
        }
        match q.turn() {
            OWNER => return Err(INTERRUPTED),
            SERVER if turns < LONG => {
                relax(q, ticket);
            }
            SERVER => {
                q.complain(if guest { server::LATE } else { STALLED });
                stop(q, ticket);
            }
            _ if turns < patience && server::polls_now() && q.has_posted() => {
                relax(q, ticket);
            }
            _ => {
                if turns >= patience {
                    q.complain(server::LATE);
                }
                if q.claim(OWNER) {
                    make_own(q, ticket);
                    q.release();
                }
            }
        }
        // What a handler has collected is collected.
        // SAFETY: the caller's promise.
        if unsafe { (*c).state } == MADE {
            return Ok(());
        }
    }
}

/// A short wait for a call, during which other kernel threads execute; true once it is made.
#[inline]
fn relax(q: &Queue, ticket: u32) -> bool {
    let t = current();
    // SAFETY: the calling thread's own.
    if !unsafe { (*t).linux } && groups::yield_now(t) {
        return q.is_done(ticket);
    }
    (0..LOOKS).any(|_| {
        core::hint::spin_loop();
        q.is_done(ticket)
    })
}

/// Waits until the server gives the turn back.
#[cold]
fn stop(q: &Queue, ticket: u32) {
    if !q.can_wait() {
        // A handler, whose interrupted thread waits already.
        Machine::relax(128);
        return;
    }
    let w = Waiter::new::<Machine>(0);
    if q.wait(&w, ticket) {
        // SAFETY: our own waiter, which the server takes out before it wakes it.
        unsafe { Machine::park(&w, NEVER) };
    } else if !q.stay() {
        w.settle::<Machine>();
    }
}

/// The calling thread, whose turn it is, makes its calls up to `last`.
fn make_own(q: &Queue, last: u32) {
    let open = |q: &Queue| last.wrapping_sub(q.next()) as i32 >= 0;
    q.at_own(true);
    while open(q) {
        if observe::is_guest() {
            let at = core::ptr::from_ref(q) as usize;
            // SAFETY: makes what the program asked for.
            outside(|| unsafe { raw::syscall4(CALL, op::CALLS, at, last as usize, 0) });
        }
        // What is left is for a slot.
        let Some(r) = q.pending().filter(|_| open(q)) else {
            break;
        };
        // SAFETY: the program asked for it.
        let result = unsafe { make(r.number as usize, &r.args) };
        q.finish(result);
    }
    q.at_own(false);
}

/// 1 if a call is made, and `*call` has its result; 0 if not yet; 2 if only the calling thread can make it, which [`calls_wait`] does.
///
/// # Safety
/// It must be the program's.
pub unsafe extern "C" fn call_done(c: *mut Call) -> isize {
    let Some(_inside) = enter() else {
        return INTERRUPTED;
    };
    // SAFETY: the program's own.
    let c = unsafe { &mut *c };
    let q = match outstanding(c) {
        Ok(Some(q)) => q,
        Ok(None) => return 1,
        Err(e) => return e,
    };
    let idle = !q.is_done(c.ticket) && q.has_posted() && !server::is_awake();
    if idle {
        want_server(q);
    }
    if idle && q.claim(OWNER) {
        // Nobody will, so the thread does what a server would.
        if observe::is_guest() {
            let (at, last) = (core::ptr::from_ref(q) as usize, c.ticket as usize);
            // SAFETY: makes what the program asked for.
            unsafe { raw::syscall4(CALL, op::CALLS, at, last, 1) };
        } else {
            answer(q, c.ticket, block::current());
        }
        q.release();
    }
    if let Some(r) = q.collect(c.ticket) {
        c.result = r;
        c.state = MADE;
        return 1;
    }
    if q.has_own() { 2 } else { 0 }
}

/// The queue that `c` is outstanding in; `None` if its result is there.
fn outstanding(c: &Call) -> Result<Option<&'static Queue>, isize> {
    match c.state {
        MADE => Ok(None),
        // SAFETY: the calling thread's own queue, which is static.
        POSTED if is_outstanding(c) => Ok(unsafe { (*current()).calls.as_ref() }),
        POSTED => Err(EPERM),
        _ => Err(EINVAL),
    }
}

/// Waits for `count` calls, of which `calls` is the first, or makes them.
///
/// # Safety
/// They must be the program's.
pub unsafe extern "C" fn calls_wait(calls: *mut Call, count: usize) -> isize {
    let Some(_inside) = enter() else {
        return INTERRUPTED;
    };
    let mut error = 0;
    // The last one first: the others are made before it, and the thread touches what the server uses just once; or makes all of them in one go.
    for i in (0..count).rev() {
        // SAFETY: the program's own.
        let r = unsafe {
            let c = calls.add(i);
            match outstanding(&*c) {
                Ok(Some(q)) => complete(q, (*c).ticket, c),
                Ok(None) => Ok(()),
                Err(e) => Err(e),
            }
        };
        if let Err(e) = r {
            error = e;
        }
    }
    error
}

/// Makes what a server may make, up to `last`; the calling thread has the turn. Not for code that runs in the guest.
fn answer(q: &Queue, last: u32, b: *mut Block) {
    let mut judge = Judge::new();
    let may = !jailed();
    while last.wrapping_sub(q.next()) as i32 >= 0 && q.has_posted() {
        let Some(r) = q.pending() else { return };
        if !(may && one(q, &r, &mut judge, b)) {
            q.refuse();
        }
    }
}

/// Makes one call as the server does; false if that is not for it.
#[inline]
fn one(q: &Queue, r: &Request, judge: &mut Judge, b: *mut Block) -> bool {
    let number = r.number as usize;
    let Some(result) = judge.answer(number, &r.args, Some(q)) else {
        return false;
    };
    if observe::counting() {
        observe::count(b, number);
    }
    if observe::tracing() {
        observe::trace(b, number, &r.args, Some(result));
    }
    q.finish(result);
    true
}

/// Turns for which the server keeps its turn when nothing is posted any more.
const LINGER: u32 = 8;

/// True if more is posted at once, in the queue that is the only one.
fn lingers(q: &Queue) -> bool {
    USED.load(Ordering::Relaxed) == 1
        && q.can_wait()
        && (0..LINGER).any(|_| {
            core::hint::spin_loop();
            q.has_posted()
        })
}

/// Serves what is posted, for the server, whose block is `own`.
#[inline]
pub fn poll(own: *mut Block, judge: &mut Judge, found: &mut server::Found) {
    for q in &ALL[..USED.load(Ordering::Relaxed)] {
        found.complaints += q.complaint();
        if !q.has_posted() || !q.claim(SERVER) {
            continue;
        }
        let before = found.served;
        judge.forget_descriptor();
        while q.has_posted() || lingers(q) {
            let Some(r) = q.pending() else { break };
            q.fetch();
            if one(q, &r, judge, own) {
                found.served += 1;
            } else {
                found.refused += 1;
                q.refuse();
            }
        }
        SERVED.store(
            SERVED.load(Ordering::Relaxed) + u64::from(found.served - before),
            Ordering::Relaxed,
        );
        q.release();
        if let Some(w) = q.waiter() {
            // SAFETY: it is alive until it is woken, and nobody else wakes it.
            unsafe { Waiter::wake::<Machine>(w) };
        }
    }
}

/// The partner's part of [`make_own`] and [`call_done`]: makes calls of the queue at `at` up to `last` by one exit. `call` makes one, unless the guest has
/// to go on first.
pub fn serve(
    b: *mut Block,
    args: &[usize; 6],
    mut call: impl FnMut(usize, &[usize; 6]) -> Option<isize>,
) -> isize {
    let [_, at, last, as_server, ..] = *args;
    let Some(q) = ALL.iter().find(|q| core::ptr::from_ref(*q) as usize == at) else {
        return EINVAL;
    };
    if as_server != 0 {
        answer(q, last as u32, b);
        return 0;
    }
    while let Some(r) = q.pending() {
        if (last as u32).wrapping_sub(q.next()) as i32 >= 0 {
            if let Some(result) = call(r.number as usize, &r.args) {
                q.finish(result);
                continue;
            }
        }
        break;
    }
    0
}

/// The queue of the thread that the calling Linux thread executes, if it has one.
fn executing() -> Option<&'static Queue> {
    // SAFETY: the calling thread's own; queues are static.
    unsafe {
        let t = (*local()).thread;
        if t.is_null() {
            return None;
        }
        (*t).calls.as_ref()
    }
}

/// Takes the turn of the calling thread's queue; false if the caller has interrupted a function that has it.
fn take_turn(q: &Queue) -> bool {
    let mut turns = 0;
    while !q.claim(OWNER) {
        if q.turn() == OWNER {
            return false;
        }
        turns += 1;
        Machine::relax(turns);
    }
    true
}

/// What the calling thread has posted is made as far as a server may make it. Not for code that runs in the guest.
pub fn settle() {
    if let Some(q) = executing() {
        if take_turn(q) {
            answer(q, q.tail().wrapping_sub(1), block::current());
            q.release();
        }
    }
}

/// The same at the end of the calling thread, which has no queue any more.
pub fn thread_ends() {
    let Some(q) = executing() else { return };
    settle();
    give_up(q);
}

/// The same for a kernel thread, in the program's place.
pub fn kernel_thread_ends(t: *mut Thread) {
    // SAFETY: the calling thread's own; queues are static.
    let Some(q) = (unsafe { (*t).calls.as_ref() }) else {
        return;
    };
    if observe::is_guest() {
        if take_turn(q) {
            let (at, last) = (core::ptr::from_ref(q) as usize, q.tail().wrapping_sub(1));
            // SAFETY: makes what the program asked for.
            unsafe { raw::syscall4(CALL, op::CALLS, at, last as usize, 1) };
            q.release();
        }
    } else {
        settle();
    }
    give_up(q);
}

fn give_up(q: &Queue) {
    take_turn(q);
    q.give_back();
    // SAFETY: the calling thread's own.
    unsafe { (*(*local()).thread).calls = core::ptr::null() };
}

/// In the child of a fork.
pub fn after_fork() {
    let mine = executing().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the calling thread's own.
    unsafe {
        let l = local();
        let own = (*l).own;
        if !own.is_null() && own != (*l).thread {
            (*own).calls = core::ptr::null();
        }
    }
    for q in &ALL[..USED.load(Ordering::Relaxed)] {
        q.after_fork(core::ptr::eq(q, mine), CANCELED);
    }
    COUNT.store(0, Ordering::Relaxed);
    SERVED.store(0, Ordering::Relaxed);
}
