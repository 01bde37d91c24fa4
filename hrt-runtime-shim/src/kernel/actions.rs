//! The program's signal handlers, as tuples (handler, flags, restorer, mask). What Linux holds as a handler is the address
//! of an entry of ours that stands for one immutable tuple: so fork, vfork, exec, and `clone` with or without shared
//! handlers need no care.

use super::{Action, block, slots};
use crate::raw::{self, nr};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Distinct tuples of handler, flags, restorer and mask that can be entered through the kernel.
pub const HANDLERS: usize = 512;
/// Bytes of an entry's code.
const ENTRY_SIZE: usize = 16;

/// `SIG_DFL`.
pub const SIG_DFL: usize = 0;
/// `SIG_IGN`.
pub const SIG_IGN: usize = 1;
/// The default action.
pub const NO_ACTION: Action = Action {
    handler: SIG_DFL,
    flags: 0,
    restorer: 0,
    mask: 0,
};

/// `sa_flags` (sigaction(2)).
#[allow(missing_docs)]
pub mod flag {
    pub const RESTORER: u64 = 0x0400_0000;
    pub const RESETHAND: u64 = 0x8000_0000;
    pub const NODEFER: u64 = 0x4000_0000;
    pub const SIGINFO: u64 = 4;
    pub const ONSTACK: u64 = 0x0800_0000;
    pub const RESTART: u64 = 0x1000_0000;
    /// `UAPI_SA_FLAGS` of x86-64 (Linux, `include/linux/signal_types.h`).
    pub const KNOWN: u64 = RESTORER
        | RESETHAND
        | NODEFER
        | ONSTACK
        | RESTART
        | SIGINFO
        | 0x1 // SA_NOCLDSTOP
        | 0x2 // SA_NOCLDWAIT
        | 0x800; // SA_EXPOSE_TAGBITS
}

struct Table(UnsafeCell<[Action; HANDLERS]>);
// SAFETY: entries are written under the slots' lock, below USED never again, and read only below USED.
unsafe impl Sync for Table {}
static TABLE: Table = Table(UnsafeCell::new([NO_ACTION; HANDLERS]));
static USED: AtomicUsize = AtomicUsize::new(0);
/// The handlers alone, for assembly.
pub static HANDLER_ADDRESSES: [AtomicUsize; HANDLERS] = [const { AtomicUsize::new(0) }; HANDLERS];
/// Address of the first entry.
static ENTRIES: AtomicUsize = AtomicUsize::new(0);

/// Says where the platform's entries are.
pub fn init(entries: usize) {
    ENTRIES.store(entries, Ordering::Relaxed);
}

/// The address of entry `i`.
#[must_use]
pub fn entry(i: usize) -> usize {
    ENTRIES.load(Ordering::Relaxed) + ENTRY_SIZE * i
}

/// The tuple that `handler` stands for, if it is one of our entries.
#[must_use]
pub fn entry_at(handler: usize) -> Option<Action> {
    let i = handler.checked_sub(entry(0))? / ENTRY_SIZE;
    if i >= USED.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: below USED, hence immutable.
    Some(unsafe { (*TABLE.0.get())[i] })
}

/// The number of `action`, which gets one if it has none; `None` if all are given.
#[must_use]
pub fn number(action: &Action) -> Option<usize> {
    let _lock = slots::lock();
    let n = USED.load(Ordering::Relaxed);
    // SAFETY: the lock is held.
    let table = unsafe { &mut *TABLE.0.get() };
    if let Some(i) = table[..n].iter().position(|a| a == action) {
        return Some(i);
    }
    if n == HANDLERS {
        return None;
    }
    table[n] = *action;
    HANDLER_ADDRESSES[n].store(action.handler, Ordering::Relaxed);
    USED.store(n + 1, Ordering::Release);
    Some(n)
}

/// What the program is told for what Linux holds.
#[must_use]
pub fn unwrap(held: &Action) -> Action {
    entry_at(held.handler).unwrap_or(*held)
}

/// rt_sigaction(2): what Linux is told, and what it held.
pub fn raw_sigaction(sig: usize, new: *const Action, old: *mut Action) -> isize {
    // SAFETY: both are null or point to an Action of ours; our own entries and handlers are always valid.
    unsafe { raw::syscall4(nr::RT_SIGACTION, sig, new as usize, old as usize, 8) }
}

/// Tells Linux what `new` makes of each handler that it holds, but for those of which that is nothing.
pub fn replace_handlers(new: impl Fn(usize, &Action) -> Option<Action>) {
    for sig in 1..=64 {
        let mut held = NO_ACTION;
        if raw_sigaction(sig, core::ptr::null(), &raw mut held) != 0 || held.handler <= SIG_IGN {
            continue;
        }
        if let Some(told) = new(sig, &held) {
            raw_sigaction(sig, &raw const told, core::ptr::null_mut());
        }
    }
}

/// Ends the process by signal `sig`, as its default action does.
pub fn die_by(sig: usize) -> ! {
    let default = NO_ACTION;
    raw_sigaction(sig, &raw const default, core::ptr::null_mut());
    raw::sigmask(raw::SIG_UNBLOCK, 1 << (sig - 1));
    let b = block::current();
    // SAFETY: the calling thread's own block.
    let (pid, tid) = unsafe { ((*b).pid as usize, (*b).tid as usize) };
    // SAFETY: a signal to ourselves.
    unsafe { raw::syscall4(nr::TGKILL, pid, tid, sig, 0) };
    // The default action of `sig` was not to end the process.
    raw::exit_group(128 + sig as i32)
}

/// Sends signal `sig` to the calling thread.
///
/// # Safety
/// `b` must be the calling thread's block, `info` a siginfo of `sig`.
pub unsafe fn send_again(b: *mut block::Block, sig: usize, info: *const i32) {
    // SAFETY: the caller's promise; a signal to ourselves.
    unsafe {
        let (pid, tid) = ((*b).pid as usize, (*b).tid as usize);
        if raw::syscall4(nr::RT_TGSIGQUEUEINFO, pid, tid, sig, info as usize) != 0 {
            // The queue is full, or a jail forbids it: without the details rather than not at all.
            raw::syscall4(nr::TGKILL, pid, tid, sig, 0);
        }
    }
}

/// As Linux does with a new action: flags that it does not know are dropped (since 5.11), and SIGKILL and SIGSTOP cannot be
/// blocked.
pub fn normalize(action: &mut Action) {
    action.mask &= !(1 << 8 | 1 << 18);
    action.flags &= flag::KNOWN;
}
