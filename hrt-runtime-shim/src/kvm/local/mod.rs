//! What the guest's kernel serves itself in ring 0, without leaving the guest: mprotect(2) of the program's private memory, the SIGSEGV of
//! an access that such an mprotect forbids, and the return from its handler. So a write barrier costs no exit.
//!
//! Here is what both sides share and what the partner does; module [`guest`] executes in the guest.
//!
//! * *Protection is lazy.* Linux goes on holding memory as readable and writable that the guest's tables allow less for; those entries are
//!   marked ([`bit::LAZY`]). Before a call of the program's on which that could show, Linux is told ([`settle`]).
//! * *So is the signal mask.* In a handler that the guest's kernel has entered, Linux blocks fewer signals than the program has blocked.
//!   Whenever the guest is left, that is put right first ([`settle_mask`]).
//! * Where there are other virtual CPUs, they must forget what they know of an entry that allows less now: the partner makes Linux see to that
//!   ([`restrict`]). One that allows more again is the guest's kernel's.

mod guest;

pub use guest::{call, fault};

use super::faults;
use super::gate;
use super::paging::{self, ALIAS, PAGE, USER_END, bit};
use super::signals::{self, SIGSEGV, Trap};
use super::vcpu::{self, Vcpu};
use crate::channel::server;
use crate::kernel::actions::{NO_ACTION, SIG_IGN};
use crate::kernel::block::Block;
use crate::kernel::spin::Spin;
use crate::kernel::{Action, children, memory, observe, patch, policy};
use crate::raw::{self, nr, prot};
use crate::threads::preempt;
use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::classes::Class;

/// The program's registers as the gate stores them.
#[repr(C)]
pub struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    /// The address of a page fault.
    address: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}
const _: () = assert!(size_of::<Frame>() == 176);

/// A virtual CPU's own part, at the start of the page whose rest is the stack.
#[repr(C)]
struct Desk {
    /// [`MARK`], which a stack that is too deep would overwrite.
    mark: u64,
    /// 1 if `real` and `shown` are known.
    mask_known: u32,
    /// 1 if `last` is new.
    trapped: u32,
    /// The signal mask that Linux has. It blocks nothing that `shown` does not.
    real: u64,
    /// The one that the program takes for its own.
    shown: u64,
    /// What the last exception was.
    last: Trap,
}
const MARK: u64 = 0x6b73_6564_2074_7268;
/// Bytes that the stack has at least.
const _: () = assert!(PAGE - size_of::<Desk>() > 3584);

/// Ranges in which entries may be lazy.
const RANGES: usize = 16;
/// Bytes of the longest range that is protected here.
const LONGEST: usize = 1 << 28;
/// Lazy calls after which Linux is told: it can hold 65,530 mappings only.
const MOST_CALLS: u64 = 16384;

/// What the guest's kernel and the partner share.
#[repr(C, align(4096))]
struct Guest {
    /// 1 if anything is served in the guest.
    on: AtomicU32,
    /// While it is not 0, no entry becomes lazy.
    paused: AtomicU32,
    /// 1 if calls are counted.
    counting: AtomicU32,
    /// The components of the vector state.
    xcr0: AtomicU64,
    /// Bytes of the vector state in a signal frame.
    state_size: AtomicUsize,
    /// Changes whenever the program's action for SIGSEGV may have.
    version: AtomicU64,
    /// What it was when `action` was learned.
    learned: AtomicU64,
    action: UnsafeCell<Action>,
    ranges: UnsafeCell<[(usize, usize); RANGES]>,
    used: AtomicUsize,
    /// Calls served since Linux was told last.
    calls: AtomicU64,
    /// One of them has taken reading away.
    unreadable: AtomicU32,
    protections: AtomicU64,
    faults: AtomicU64,
    returns: AtomicU64,
    /// Vector state as a program starts with it.
    initial: UnsafeCell<Initial>,
}

/// The old part and the header, which says that the rest is as it is in a new program.
#[repr(C, align(64))]
struct Initial([u8; 576]);

// SAFETY: `ranges` is used while the tables are held; `action` is read by who looks at `learned` and `version` before and afterwards;
// `initial` is written before the program begins.
unsafe impl Sync for Guest {}
const _: () = assert!(size_of::<Guest>() == PAGE);

static GUEST: Guest = Guest {
    on: AtomicU32::new(0),
    paused: AtomicU32::new(0),
    counting: AtomicU32::new(0),
    xcr0: AtomicU64::new(0),
    state_size: AtomicUsize::new(0),
    version: AtomicU64::new(0),
    learned: AtomicU64::new(0),
    action: UnsafeCell::new(NO_ACTION),
    ranges: UnsafeCell::new([(0, 0); RANGES]),
    used: AtomicUsize::new(0),
    calls: AtomicU64::new(0),
    unreadable: AtomicU32::new(0),
    protections: AtomicU64::new(0),
    faults: AtomicU64::new(0),
    returns: AtomicU64::new(0),
    initial: UnsafeCell::new(Initial([0; 576])),
};

const READ_WRITE: usize = prot::READ | prot::WRITE;

/// True if the guest's kernel may serve anything.
#[must_use]
pub fn on() -> bool {
    GUEST.on.load(Ordering::Relaxed) != 0
}

/// Turns it on, before the program begins, if it can be had: otherwise all goes to the partner.
pub fn init(b: *mut Block, v: &mut Vcpu, wanted: bool) {
    // A trace shows each call as the partner makes it.
    let usual =
        policy::class(nr::MPROTECT) == Class::Mediated && policy::denied(nr::MPROTECT).is_none();
    if !wanted || !usual || vcpu::ring() != 0 || observe::tracing() {
        return;
    }
    let mapped = paging::map_image()
        .and_then(|()| paging::map_object(&raw const GUEST, bit::WRITE | bit::NX))
        .and_then(|()| paging::map_object(&raw const patch::THREADS, bit::NX))
        .and_then(|()| paging::map_own());
    if mapped.is_err() {
        return;
    }
    // SAFETY: the program has not begun.
    signals::initial_state(unsafe { &mut (*GUEST.initial.get()).0 });
    GUEST.version.store(1, Ordering::Relaxed);
    GUEST
        .counting
        .store(u32::from(observe::counting()), Ordering::Relaxed);
    GUEST.xcr0.store(vcpu::xcr0(), Ordering::Relaxed);
    GUEST
        .state_size
        .store(vcpu::state_size(), Ordering::Relaxed);
    GUEST.on.store(1, Ordering::Relaxed);
    vcpu::serve_faults();
    equip(b, v);
}

/// Gives virtual CPU `v`, which is new or as new, in block `b` what the guest's kernel needs.
pub fn equip(b: *mut Block, v: &mut Vcpu) {
    if !on() || paging::map_alias(b as usize, bit::WRITE | bit::NX).is_err() || !v.serve_calls() {
        return;
    }
    // SAFETY: the block is the caller's, and its virtual CPU does not run.
    let stack = unsafe { &mut (*b).guest_stack };
    if *stack == 0 {
        if let Ok(page) = paging::kernel_page() {
            let d = page as *mut Desk;
            // SAFETY: a page of ours, zeroed.
            unsafe { (*d).mark = MARK };
            *stack = (page + ALIAS + PAGE) as u64;
        }
    }
}

/// Nothing is served in the guest any more.
pub fn retire() {
    GUEST.on.store(0, Ordering::Relaxed);
    settle(0, USER_END);
}

fn own(b: *mut Block) -> Option<&'static mut Desk> {
    // SAFETY: the calling thread's own block.
    let stack = unsafe { (*b).guest_stack } as usize;
    if stack == 0 {
        return None;
    }
    // SAFETY: a page of ours that is never given back; its virtual CPU does not run.
    let d = unsafe { &mut *((stack - ALIAS - PAGE) as *mut Desk) };
    if d.mark != MARK {
        crate::report::fatal("the stack of the guest's kernel is too small");
    }
    Some(d)
}

/// The guest has been left: Linux gets the program's signal mask, if it has another.
pub fn settle_mask(b: *mut Block, v: &mut Vcpu) {
    let Some(d) = own(b) else { return };
    if core::mem::take(&mut d.trapped) != 0 {
        v.signals.last = d.last;
    }
    if d.mask_known == 0 || d.shown == d.real {
        return;
    }
    raw::set_sigmask(raw::ALL_SIGNALS);
    d.real = d.shown;
    if let Some(mask) = signals::remask(b, v, d.shown) {
        raw::set_sigmask(mask & !preempt::keeps());
    }
}

/// The program's mask is `mask`, which Linux has, too; or nobody knows.
pub fn mask_is(b: *mut Block, mask: Option<u64>) {
    if let Some(d) = own(b) {
        d.mask_known = u32::from(mask.is_some());
        (d.real, d.shown) = (mask.unwrap_or(0), mask.unwrap_or(0));
    }
}

/// rt_sigprocmask(2) has been made.
pub fn mask_changed(b: *mut Block, how: usize, set: Option<u64>) {
    let Some(d) = own(b) else { return };
    if d.mask_known == 0 {
        return;
    }
    let mask = match (how, set) {
        (_, None) => return mask_is(b, None),
        (raw::SIG_BLOCK, Some(set)) => d.real | set,
        (raw::SIG_UNBLOCK, Some(set)) => d.real & !set,
        (_, Some(set)) => set,
    };
    mask_is(b, Some(mask & !signals::NEVER_BLOCKED));
}

/// The program's action for signal `sig` may be another now.
pub fn action_changes(sig: usize) {
    if sig == SIGSEGV {
        GUEST.version.fetch_add(1, Ordering::Relaxed);
    }
}

/// Which action that is; to be asked for before Linux is asked for it.
#[must_use]
pub fn action_version() -> u64 {
    GUEST.version.load(Ordering::Relaxed)
}

/// The program's action for SIGSEGV was `action` at `version`.
pub fn learn(b: *mut Block, action: &Action, version: u64) {
    if children::borrows(b) {
        // Another process's, with which this one shares the memory.
        return;
    }
    let _one = LEARNING.take();
    GUEST.learned.store(u64::MAX, Ordering::Relaxed);
    core::sync::atomic::fence(Ordering::Release);
    // SAFETY: one thread at a time; who reads it meanwhile sees that it is not to be used.
    unsafe { GUEST.action.get().write_volatile(*action) };
    GUEST.learned.store(version, Ordering::Release);
}

static LEARNING: Spin = Spin::new();

/// Tells Linux what the program may do with the pages of `from..to`.
pub fn settle(from: usize, to: usize) {
    if GUEST.used.load(Ordering::Acquire) != 0 {
        paging::with_tables(|| settle_held(from, to));
    }
}

/// Does `f`, which removes entries of `from..to`, while none of them is lazy.
pub fn without_lazy(from: usize, to: usize, f: impl FnOnce()) {
    paging::with_tables(|| {
        GUEST.paused.fetch_add(1, Ordering::Relaxed);
        settle_held(from, to);
    });
    f();
    paging::with_tables(|| GUEST.paused.fetch_sub(1, Ordering::Relaxed));
}

/// True while no entry may become lazy. The tables must be held.
fn paused() -> bool {
    GUEST.paused.load(Ordering::Relaxed) != 0
}

/// Faults served in the guest by which being lazy pays, each time that Linux has to be told in the end.
const WORTH: u64 = 64;
/// mprotect(2) calls that go to Linux after it has not paid, at most.
const MOST_SPARED: u32 = 64;
/// How many go there now, and how many went the last time.
static SPARED: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
/// Faults served when Linux was told last.
static SETTLED: AtomicU64 = AtomicU64::new(0);

/// Linux had to be told of what was lazy: keeps an account of whether that pays.
fn account() {
    let faults = GUEST.faults.load(Ordering::Relaxed);
    let paid = faults.wrapping_sub(SETTLED.swap(faults, Ordering::Relaxed)) >= WORTH;
    let [now, last] = &SPARED;
    let spared = if paid {
        0
    } else {
        (2 * last.load(Ordering::Relaxed) + 1).min(MOST_SPARED)
    };
    last.store(spared, Ordering::Relaxed);
    now.store(spared, Ordering::Relaxed);
}

fn settle_held(from: usize, to: usize) {
    let mut told = false;
    let used = GUEST.used.load(Ordering::Relaxed).min(RANGES);
    // SAFETY: the tables are held.
    let ranges = unsafe { &(&*GUEST.ranges.get())[..used] };
    let mut whole = true;
    for range in ranges {
        let (start, end) = (range.0.max(from), range.1.min(to));
        let all = paging::settle(start, end, |run, entry| {
            let rights = if entry & bit::PRESENT != 0 {
                prot::READ
            } else {
                0
            };
            let len = run.end - run.start;
            memory::protects(run.start, len, rights);
            told = true;
            // One mapping more than Linux can have: the guest goes on seeing to it.
            // SAFETY: the program has asked for it.
            unsafe { raw::syscall4(nr::MPROTECT, run.start, len, rights, 0) == 0 }
        });
        whole &= all && (start, end) == *range;
    }
    if told {
        account();
    }
    if whole {
        GUEST.used.store(0, Ordering::Release);
        GUEST.calls.store(0, Ordering::Relaxed);
        GUEST.unreadable.store(0, Ordering::Relaxed);
    }
}

/// Bits of an entry for memory whose lazy rights are `rights`.
fn lazy_bits(rights: usize) -> u64 {
    match rights {
        READ_WRITE => bit::PRESENT | bit::WRITE,
        0 => bit::LAZY,
        _ => bit::PRESENT | bit::LAZY,
    }
}

/// mprotect(2) that takes rights away while there are other virtual CPUs: true if it has been served. Linux takes them away, which makes
/// all processors forget the entries, and gives them back, which changes nothing: so the guests' kernels can give back the program's.
#[must_use]
pub fn restrict(from: usize, len: usize, rights: usize) -> bool {
    if patch::THREADS.load(Ordering::Relaxed) == 1 || rights == READ_WRITE {
        return false;
    }
    let Some(Range {
        start: from,
        end: to,
    }) = ready(from, len, rights)
    else {
        return false;
    };
    if !paging::all_mine(from, to) && !fill(from, to) {
        return false;
    }
    forbid_server();
    let done = paging::with_tables(|| {
        if paused() {
            return false;
        }
        guest::note(from..to);
        GUEST.calls.fetch_add(1, Ordering::Relaxed);
        if rights == 0 {
            GUEST.unreadable.store(1, Ordering::Relaxed);
        }
        paging::restrict(from, to, lazy_bits(rights), |run| {
            let len = run.end - run.start;
            // SAFETY: the program has asked for the first, and has had the second.
            let call = |rights| unsafe { raw::syscall4(nr::MPROTECT, run.start, len, rights, 0) };
            // If only the second fails, Linux holds what the program has asked for; a fault there is the partner's.
            let taken = call(rights);
            call(READ_WRITE);
            taken == 0
        })
    });
    if done {
        GUEST.protections.fetch_add(1, Ordering::Relaxed);
    }
    done
}

/// Before a call of the program's: Linux is told what could show in it.
pub fn before(number: usize, args: &[usize; 6]) {
    if GUEST.used.load(Ordering::Acquire) == 0 {
        return;
    }
    let unreadable = GUEST.unreadable.load(Ordering::Relaxed) != 0;
    for reach in reach(number, args) {
        match reach {
            Reach::Reads(at, len) if unreadable => reached(at, len),
            Reach::Nothing | Reach::Reads(..) => {}
            Reach::Writes(at, len) => reached(at, len),
            Reach::Anything => settle(0, USER_END),
        }
    }
}

/// Linux is to know what the program may do with `len` bytes at `at`.
fn reached(at: usize, len: usize) {
    settle(at & !(PAGE - 1), at.saturating_add(len));
}

/// The entry of page `at`, if that is lazy.
#[must_use]
pub fn entry(at: usize) -> Option<u64> {
    let any = GUEST.used.load(Ordering::Acquire) != 0;
    any.then(|| paging::entry(at))
        .filter(|e| e & bit::LAZY != 0)
}

/// What of the program's memory a call can depend on.
#[derive(Clone, Copy)]
enum Reach {
    Nothing,
    /// So many bytes from there, which it only reads.
    Reads(usize, usize),
    /// So many bytes from there, which it may write, or whose mapping it changes.
    Writes(usize, usize),
    Anything,
}

/// What a call can depend on. A path is no longer than a page; opening one may lead to a list of mappings.
fn reach(number: usize, args: &[usize; 6]) -> [Reach; 2] {
    use Reach::{Anything, Nothing, Reads, Writes};
    let [a0, a1, a2, a3, a4, _] = *args;
    let one = |reach| [reach, Nothing];
    // Linux, `arch/x86/entry/syscalls/syscall_64.tbl`.
    match number {
        nr::CLOSE
        | 8 // lseek
        | nr::SCHED_YIELD
        | nr::DUP
        | nr::DUP2
        | nr::DUP3
        | 37 // alarm
        | nr::GETPID
        | 41 // socket
        | nr::EXIT
        | 62 // kill
        | 102 | 104 | 107 | 108 | 110 // getuid and its like
        | nr::GETTID
        | nr::EXIT_GROUP
        | nr::TGKILL
        | 284 | 290 | 291 // eventfd, eventfd2, epoll_create1
        | nr::MEMBARRIER => one(Nothing),
        nr::WRITE | 18 | 44 => one(Reads(a1, a2)), // pwrite64, sendto
        20 => one(Reads(0, USER_END)),             // writev
        21 => one(Reads(a0, PAGE)),                // access
        233 => one(Reads(a3, 16)),                 // epoll_ctl
        nr::READ | nr::PREAD64 | 217 => one(Writes(a1, a2)), // getdents64
        318 => one(Writes(a0, a1)),                // getrandom
        7 => one(Writes(a0, a1.saturating_mul(8))), // poll
        232 => one(Writes(a1, a2.saturating_mul(12))), // epoll_wait
        nr::EPOLL_PWAIT => [Writes(a1, a2.saturating_mul(12)), Reads(a4, 8)],
        nr::STAT | 6 => [Reads(a0, PAGE), Writes(a1, 144)], // lstat
        nr::FSTAT => one(Writes(a1, 144)),
        262 => [Reads(a1, PAGE), Writes(a2, 144)], // newfstatat
        293 => one(Writes(a0, 8)),                 // pipe2
        35 => [Reads(a0, 16), Writes(a1, 16)],     // nanosleep
        230 => [Reads(a2, 16), Writes(a3, 16)],    // clock_nanosleep
        96 => one(Writes(a0, 16)),                 // gettimeofday
        98 => one(Writes(a1, 144)),                // getrusage
        100 => one(Writes(a0, 32)),                // times
        nr::CLOCK_GETTIME => one(Writes(a1, 16)),
        // FUTEX_WAIT and FUTEX_WAKE, and those with a set of bits
        nr::FUTEX if matches!(a1 & 0x7f, 0 | 1 | 9 | 10) => [Reads(a0, 4), Reads(a3, 16)],
        nr::RT_SIGACTION => [Reads(a1, 32), Writes(a2, 32)],
        nr::RT_SIGPROCMASK => [Reads(a1, 8), Writes(a2, 8)],
        nr::SIGALTSTACK => [Reads(a0, 24), Writes(a1, 24)],
        nr::MUNMAP | nr::MPROTECT | nr::MADVISE => one(Writes(a0, a1.saturating_add(PAGE))),
        nr::MMAP if a3 & raw::map::FIXED == 0 => one(Nothing),
        nr::MMAP => one(Writes(a0, a1.saturating_add(PAGE))),
        _ => one(Anything),
    }
}

/// The channel's server makes calls before which Linux could not be told.
fn forbid_server() {
    if !server::is_forbidden() {
        server::forbid();
    }
}

/// The pages of an mprotect(2) that may be lazy, as far as its range tells.
fn pages(from: usize, len: usize) -> Option<Range<usize>> {
    memory::pages(from, len).filter(|r| r.end <= USER_END && r.end - r.start <= LONGEST)
}

/// The pages of an mprotect(2), if it may be lazy.
fn ready(from: usize, len: usize, rights: usize) -> Option<Range<usize>> {
    let again = rights == READ_WRITE && GUEST.used.load(Ordering::Relaxed) != 0;
    let spare = |n: u32| n.checked_sub(1);
    let order = Ordering::Relaxed;
    if rights != READ_WRITE && SPARED[0].fetch_update(order, order, spare).is_ok() {
        return None;
    }
    pages(from, len).filter(|r| {
        on()
            && (matches!(rights, 0 | prot::READ) || again)
            && GUEST.calls.load(Ordering::Relaxed) < MOST_CALLS
            && !faults::kernels(r.start, r.end)
            // Who handles no SIGSEGV has no barrier.
            && signals::action(SIGSEGV).handler > SIG_IGN
    })
}

/// Makes entries for all of `from..to`, if that is memory that may be protected lazily. What Linux holds as read-only becomes lazy.
fn fill(from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let Some(m) = paging::mapping(at) else {
            return false;
        };
        let end = m.end.min(to);
        if m.private && m.read && !m.write && !m.execute {
            let adopted = paging::adopt_pages(at, end, m.since, || {
                guest::note(at..end);
                // SAFETY: private memory; the guest's tables go on forbidding what Linux allows now.
                !paused()
                    && unsafe { raw::syscall4(nr::MPROTECT, at, end - at, READ_WRITE, 0) == 0 }
            });
            if !adopted {
                return false;
            }
            at = end;
        } else if m.bits() & bit::MINE == 0 {
            return false;
        }
        while at < end {
            if paging::fill_others(at, end, at, m.bits(), m.since).is_err() {
                return false;
            }
            at = paging::piece_end(at).min(end);
        }
    }
    paging::all_mine(from, to)
}

/// Before mprotect(2) goes to Linux: true if the guest's kernel can serve it now, since entries are ready for that which were not.
#[must_use]
pub fn prepare(from: usize, len: usize, rights: usize) -> bool {
    if patch::THREADS.load(Ordering::Relaxed) != 1 && rights != READ_WRITE {
        return false;
    }
    let Some(Range { start, end }) = ready(from, len, rights) else {
        return false;
    };
    if paging::all_mine(start, end) || !fill(start, end) {
        return false;
    }
    forbid_server();
    true
}

/// If the guest's kernel was at an instruction that may fault: where it goes on then.
#[must_use]
pub fn guarded(rip: u64) -> Option<u64> {
    // The functions may have been called at the alias or not.
    let base = rip as usize & ALIAS;
    let at = |f: unsafe extern "C" fn()| (f as *const () as usize | base) as u64;
    [
        gate::hrt_gate_copy_at,
        gate::hrt_gate_copy_rest_at,
        gate::hrt_gate_save_at,
        gate::hrt_gate_load_at,
    ]
    .into_iter()
    .any(|f| at(f) == rip)
    .then(|| at(gate::hrt_gate_failed))
}

/// Tells the report how often the guest's kernel protected memory, delivered a fault, and ended a handler.
pub fn tell() {
    for (to, from) in
        observe::IN_GUEST
            .iter()
            .zip([&GUEST.protections, &GUEST.faults, &GUEST.returns])
    {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// In the child of a fork nothing has been counted.
pub fn after_fork() {
    for c in [&GUEST.protections, &GUEST.faults, &GUEST.returns] {
        c.store(0, Ordering::Relaxed);
    }
}
