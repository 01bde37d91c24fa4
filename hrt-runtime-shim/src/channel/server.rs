//! The server: a thread of the kernel's that polls for calls and makes them.
//!
//! It sleeps unless calls come often, and is there only while the process may use more cores than it has threads that work.
//! Where its answers come late, because others need the cores, it rests, each time for longer.

use super::posts;
use super::{Judge, jailed};
use crate::kernel::block::{self, BLOCK_SIZE, Block};
use crate::kernel::{observe, patch, set_gs};
use crate::raw::{self, nr};
use crate::threads;
use core::arch::global_asm;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A word that is read often, away from those that are written often.
#[repr(align(128))]
struct Apart(AtomicU32);

/// The server's state.
static APART: Apart = Apart(AtomicU32::new(NONE));
static STATE: &AtomicU32 = &APART.0;
/// There is none.
const NONE: u32 = 0;
/// It is being made.
const STARTS: u32 = 1;
/// It polls.
const POLLS: u32 = 2;
/// It sleeps on this word.
const SLEEPS: u32 = 3;
/// It is to end.
const ENDS: u32 = 4;
/// It has been woken, but does not execute yet.
const WAKES: u32 = 5;
/// There must be none any more.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);
/// The server's thread id, which Linux clears and wakes when it has ended.
static TID: AtomicU32 = AtomicU32::new(0);
/// The process that it serves: others may share its memory.
static PID: AtomicU32 = AtomicU32::new(0);
/// The block whose stack it has, once there is one.
static OWN: AtomicPtr<Block> = AtomicPtr::new(null_mut());
/// Time stamp before which the server is not woken.
static NOT_BEFORE: AtomicU64 = AtomicU64::new(0);
/// Cores that the process may use; 0: to be asked for.
static CORES: AtomicUsize = AtomicUsize::new(0);

/// The time stamp.
#[inline]
pub fn stamp() -> u64 {
    // SAFETY: reads the time-stamp counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Cycles without a request after which the server sleeps.
pub const IDLE: u64 = 300_000;
/// Calls that come while nobody polls, each within [`IDLE`] cycles of the one before, until the server is worth its core.
pub const MANY: u32 = 16;
/// Cycles that the server rests the first time that its answers were late, and at most: tenths of a second, then seconds.
const REST: u64 = 300_000_000;
const LONGEST_REST: u64 = 32 * REST;
/// Cycles that it rests when nobody asked.
const PAUSE: u64 = 10_000_000;
/// Cycles between two turns of the server's that tell that it did not have its core.
const GAP: u64 = 150_000;
/// Points off for an answer that came so late that its thread has made the call itself.
pub const LATE: u32 = 8;
/// Turns between two looks at the time.
const TURNS: u32 = 16;

/// What one look at all that is polled has found.
#[derive(Default)]
pub struct Found {
    /// Calls that were made.
    pub served: u32,
    /// Calls that are not for the server.
    pub refused: u32,
    /// Points off, for threads that did not wait for it any more, or waited in vain.
    pub complaints: u32,
}

/// What a platform polls beside posted calls.
pub struct Polled {
    /// Serves what there is.
    pub poll: fn(&mut Judge, &mut Found),
    /// Nobody polls any more.
    pub close: fn(),
}

static POLLED: AtomicPtr<Polled> = AtomicPtr::new(null_mut());

/// The server polls `more`, too. At start.
pub fn polls(more: &'static Polled) {
    POLLED.store(core::ptr::from_ref(more).cast_mut(), Ordering::Release);
}

fn polled() -> Option<&'static Polled> {
    let p = POLLED.load(Ordering::Acquire);
    // SAFETY: a static, or null.
    unsafe { p.as_ref() }
}

/// See [`super::init`].
pub fn init(b: *mut Block, wanted: bool, ahead: bool) {
    // SAFETY: the calling thread's own block.
    PID.store(unsafe { (*b).pid }, Ordering::Relaxed);
    if !wanted || ahead && (jailed() || own_block().is_none()) {
        FORBIDDEN.store(true, Ordering::Relaxed);
    }
}

/// The server's block, taken if there is none.
fn own_block() -> Option<*mut Block> {
    if OWN.load(Ordering::Relaxed).is_null() {
        OWN.store(block::take().ok()?, Ordering::Relaxed);
    }
    Some(OWN.load(Ordering::Relaxed))
}

/// True if the server is for the thread of block `b`.
#[inline]
#[must_use]
pub fn is_for(b: *mut Block) -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*b).pid == PID.load(Ordering::Relaxed) }
}

/// True if there must be no server any more.
#[inline]
#[must_use]
pub fn is_forbidden() -> bool {
    FORBIDDEN.load(Ordering::Relaxed)
}

/// True if the server polls.
#[inline]
#[must_use]
pub fn polls_now() -> bool {
    STATE.load(Ordering::Relaxed) == POLLS
}

/// True if the server polls, or will in a moment.
#[must_use]
pub fn is_awake() -> bool {
    matches!(STATE.load(Ordering::Relaxed), STARTS | POLLS | WAKES)
}

/// True if there is none, and a posted call is not made before its thread collects it.
#[must_use]
pub fn is_gone() -> bool {
    STATE.load(Ordering::Acquire) == NONE
}

/// True if it may be woken at time `now`.
#[must_use]
pub fn may_wake(now: u64) -> bool {
    !is_forbidden() && now >= NOT_BEFORE.load(Ordering::Relaxed)
}

/// Wakes the server for the thread of block `b`, or starts it, if it is worth a core. Not for code that runs in the guest.
pub fn wake(b: *mut Block) {
    let now = stamp();
    if !may_wake(now) || !is_for(b) {
        return;
    }
    if !free_core() {
        NOT_BEFORE.store(now + REST, Ordering::Relaxed);
        return;
    }
    match STATE.compare_exchange(SLEEPS, WAKES, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => futex(STATE, 1 | 128, 1), // FUTEX_WAKE | FUTEX_PRIVATE_FLAG
        Err(NONE) => start(b),
        Err(_) => {}
    }
}

/// True if the process may use more cores than it has threads that are not known to wait.
fn free_core() -> bool {
    let mut cores = CORES.load(Ordering::Relaxed);
    if cores == 0 {
        cores = raw::processors();
        CORES.store(cores, Ordering::Relaxed);
    }
    let all = patch::THREADS.load(Ordering::Relaxed);
    cores > all.saturating_sub(threads::IDLE.load(Ordering::Relaxed))
}

fn futex(word: &AtomicU32, operation: usize, value: u32) {
    // SAFETY: waits for or wakes on a word of ours.
    unsafe {
        raw::syscall4(
            nr::FUTEX,
            core::ptr::from_ref(word) as usize,
            operation,
            value as usize,
            0,
        )
    };
}

unsafe extern "C" {
    /// clone(2) of a thread that calls [`serve`] on the given stack.
    fn hrt_server(flags: usize, stack: usize, ptid: usize, ctid: usize) -> isize;
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_server
hrt_server:
    movq    %rcx, %r10
    xorl    %r8d, %r8d
    movl    $56, %eax
    syscall
    testq   %rax, %rax
    jz      1f
    ret
1:  movq    %rsp, %rdi
    andq    $-16, %rsp
    xorl    %ebp, %ebp
    call    {serve}
    ud2
    "#,
    serve = sym serve,
    options(att_syntax)
);

/// Starts the server.
fn start(b: *mut Block) {
    if STATE
        .compare_exchange(NONE, STARTS, Ordering::SeqCst, Ordering::Relaxed)
        .is_err()
    {
        return;
    }
    // Who forbids it looks at the state after that.
    let own = if FORBIDDEN.load(Ordering::SeqCst) || jailed() {
        None
    } else {
        own_block()
    };
    let Some(own) = own else {
        FORBIDDEN.store(true, Ordering::Relaxed);
        STATE.store(NONE, Ordering::SeqCst);
        return;
    };
    patch::before_threads();
    // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID
    const FLAGS: usize =
        0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;
    let mask = raw::set_sigmask(raw::ALL_SIGNALS);
    // SAFETY: the block is the server's, and there is none; the words are ours.
    let r = unsafe {
        (*own).pid = (*b).pid;
        let tid = (&raw const TID) as usize;
        hrt_server(FLAGS, (*own).stack_top - 64, tid, tid)
    };
    raw::set_sigmask(mask);
    if raw::is_err(r) {
        FORBIDDEN.store(true, Ordering::Relaxed);
        STATE.store(NONE, Ordering::SeqCst);
    }
}

/// How the server judges its work: it rests below zero.
struct Score(i32);

impl Score {
    const FIRST: i32 = 32;
    const BEST: i32 = 64;

    fn add(&mut self, points: i32) {
        self.0 = (self.0 + points).min(Self::BEST);
    }
}

/// The server's work, with all signals blocked.
///
/// # Safety
/// Only `hrt_server` may call this, on the stack of the server's block.
unsafe extern "C" fn serve(sp: usize) -> ! {
    let own = (sp & !(BLOCK_SIZE - 1)) as *mut Block;
    set_gs(own);
    let mut judge = Judge::new();
    let mut score = Score(Score::FIRST);
    let mut rest = REST;
    let mut served = 0u32;
    let (mut last, mut before) = (stamp(), stamp());
    STATE.store(POLLS, Ordering::SeqCst);
    loop {
        let mut found = Found::default();
        for _ in 0..TURNS {
            posts::poll(own, &mut judge, &mut found);
            if let Some(p) = polled() {
                (p.poll)(&mut judge, &mut found);
            }
            core::hint::spin_loop();
        }
        let busy = found.served + found.refused > 0;
        served = served.saturating_add(found.served);
        score.add(found.served.min(64) as i32 - 2 * found.refused as i32 - found.complaints as i32);
        let now = stamp();
        if !busy && now.wrapping_sub(before) > GAP {
            score.add(-8);
        }
        before = now;
        if busy {
            last = now;
        }
        if served > 1000 {
            // It does well again.
            rest = REST;
        }
        let late = score.0 < 0;
        let idle = now.wrapping_sub(last) > IDLE;
        let ends = STATE.load(Ordering::Acquire) == ENDS;
        if !(late || idle || ends || !free_core()) {
            continue;
        }
        if let Some(p) = polled() {
            (p.close)();
        }
        if ends {
            break;
        }
        if late {
            NOT_BEFORE.store(now + rest, Ordering::Relaxed);
            rest = (2 * rest).min(LONGEST_REST);
        } else if served == 0 {
            // Awake for nothing: it may have had the thread's own core.
            NOT_BEFORE.store(now + PAUSE, Ordering::Relaxed);
        }
        served = 0;
        if STATE
            .compare_exchange(POLLS, SLEEPS, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            while STATE.load(Ordering::Acquire) == SLEEPS {
                futex(STATE, 128, SLEEPS); // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
            }
        }
        let _ = STATE.compare_exchange(WAKES, POLLS, Ordering::AcqRel, Ordering::Relaxed);
        judge = Judge::new();
        score = Score(Score::FIRST);
        (last, before) = (stamp(), stamp());
    }
    loop {
        // SAFETY: exit(2) does not return; nobody uses the stack until Linux has cleared TID.
        unsafe { raw::syscall4(nr::EXIT, 0, 0, 0, 0) };
    }
}

/// The server ends, for good.
pub fn forbid() {
    FORBIDDEN.store(true, Ordering::SeqCst);
    end();
}

/// The process may use other cores from now on.
pub fn cores_changed() {
    end();
    CORES.store(0, Ordering::Relaxed);
}

/// Ends the server, if there is one; it is gone from the process then.
pub fn end() {
    let pause = || {
        // SAFETY: sched_yield(2) changes nothing.
        unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
    };
    loop {
        let state = STATE.load(Ordering::SeqCst);
        match state {
            NONE => return,
            // Another thread starts or ends it.
            STARTS | ENDS => pause(),
            _ if STATE
                .compare_exchange(state, ENDS, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok() =>
            {
                break;
            }
            _ => {}
        }
    }
    let tid = TID.load(Ordering::Acquire);
    futex(STATE, 1 | 128, 1);
    while TID.load(Ordering::Acquire) != 0 {
        futex(&TID, 0, tid); // as Linux wakes it: not private
    }
    // Linux has it in the process for a moment more, which unshare(2) would see.
    let pid = PID.load(Ordering::Relaxed) as usize;
    // SAFETY: signal 0 only asks.
    while unsafe { raw::syscall4(nr::TGKILL, pid, tid as usize, 0, 0) } == 0 {
        pause();
    }
    STATE.store(NONE, Ordering::SeqCst);
}

/// In the child of a fork, whose thread's block is `b`: there is no server.
pub fn after_fork(b: *mut Block) {
    STATE.store(NONE, Ordering::Relaxed);
    TID.store(0, Ordering::Relaxed);
    NOT_BEFORE.store(0, Ordering::Relaxed);
    observe::CHANNEL.store(0, Ordering::Relaxed);
    // SAFETY: the calling thread's own block, and that which was the parent's server's: no thread runs on it.
    unsafe {
        PID.store((*b).pid, Ordering::Relaxed);
        let own = OWN.load(Ordering::Relaxed);
        if !own.is_null() {
            block::keep(own);
        }
    }
    if let Some(p) = polled() {
        (p.close)();
    }
}
