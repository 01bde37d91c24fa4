//! The kernel's per-thread block: identity, kernel stack and counters of one HRT thread, found through the GS base.
//!
//! Blocks are not unmapped once the program runs: a thread that ends marks its block free as the last thing before its `exit`, and the
//! next thread takes it. In the child of a fork all blocks but the caller's are free.

use crate::functions::heap;
use crate::raw::{self, nr};
use crate::threads::Local;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::classes::TABLE_SIZE;

/// Bytes of a block, and its alignment: the block of a kernel stack is found by masking.
pub const BLOCK_SIZE: usize = 64 * 1024;
/// Where the signal stack starts in a block: SIGSYS, and handlers that ask for a signal stack, are entered there, so that
/// the kernel needs nothing of the program's stack.
pub const SIGNAL_STACK: usize = 8 * 1024;
/// Where a page for the thread's polled channel is in a block, on `kvm` (`hosted` has its signal stack there): the one
/// page that the program may write.
pub const CHANNEL: usize = 28 * 1024;
/// Where the kernel stack starts in a block; it reaches to the block's end.
pub const KERNEL_STACK: usize = 32 * 1024;
/// Blocks that are mapped at once.
const CHUNK: usize = 4;
/// Bytes of that mapping: one block more, for the alignment.
const MAPPED: usize = (CHUNK + 1) * BLOCK_SIZE;
const _: () = assert!(CHUNK * size_of::<Local>() <= 4096);

/// `state` of a block that any thread may take.
pub const FREE: u32 = 0;
/// `state` of a block that a thread uses.
pub const USED: u32 = 1;

/// See the module. The fields up to `save` are used by assembly at the offsets asserted below.
#[repr(C)]
pub struct Block {
    /// Address of the block itself.
    pub this: usize,
    /// What getpid(2) answers in this thread.
    pub pid: u32,
    /// What gettid(2) answers in this thread.
    pub tid: u32,
    /// Where the kernel stack starts (it grows down).
    pub stack_top: usize,
    /// The program's stack pointer at the last entry to the kernel.
    pub user_rsp: usize,
    /// Where the program goes on at the next exit from the kernel.
    pub target: usize,
    /// [`FREE`] or [`USED`].
    pub state: AtomicU32,
    /// 1 if signals wait, blocked, for the next exit from the kernel.
    pub deferred: u32,
    /// The program's signal mask while `deferred`.
    pub deferred_mask: u64,
    /// Registers across the system call that ends a deferral.
    pub save: [u64; 5],
    /// 1 if the program believes that it has SIGSYS blocked.
    pub sigsys_blocked: u32,
    /// 1 for a child that shares its parent's memory until it execs.
    pub borrowed: u32,
    /// Signals that reached a handler of the program.
    pub signals: AtomicU64,
    /// 1 if a SIGSYS waits that the program has blocked.
    pub sigsys_pending: u32,
    reserved2: u32,
    /// Its siginfo.
    pub sigsys_info: [u64; 16],
    /// Address of what kernel threads keep of this Linux thread (`threads::Local`), in memory that the program may write.
    pub local: usize,
    /// 1 while a signal frame is moved to the program's stack.
    pub moving: u32,
    reserved: u32,
    /// The thread's page-fault handler on `kvm`, by its alias; 0: none.
    pub fault_area: u64,
    /// Address of the thread's channel on `kvm`; 0: nobody polls. Read by the guest and written by the server at any time.
    pub channel: u64,
    /// Time stamp of the last call that came by an exit and might have gone through the channel.
    pub channel_last: u64,
    /// How many such came one soon after the other.
    pub channel_count: u32,
    /// 1 if the thread would have its channel opened.
    pub channel_wanted: AtomicU32,
    /// End of the stack of the guest's kernel on `kvm` in ring 0, by its alias; 0: it serves nothing itself.
    pub guest_stack: u64,
    /// The program's stack pointer when it called that kernel.
    pub guest_caller: u64,
    /// 1 if that kernel is to leave the guest before it goes back to the program.
    pub guest_stop: AtomicU32,
    reserved3: u32,
    /// The thread's heap cache, in memory of the program's; 0: none. It stays with the block.
    pub cache: usize,
    /// Next block in the list of all.
    next: AtomicPtr<Block>,
    /// Calls served, by number (counted only if a report was asked for).
    pub counts: [AtomicU64; TABLE_SIZE],
}

/// `stack_t` (sigaltstack(2)).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AltStack {
    /// Its lowest byte.
    pub sp: usize,
    /// `SS_*`.
    pub flags: i32,
    /// Zero.
    pub reserved: u32,
    /// Bytes.
    pub size: usize,
}

/// `SS_DISABLE`: there is no alternate signal stack.
pub const SS_DISABLE: i32 = 2;

impl AltStack {
    /// None.
    pub const NONE: AltStack = AltStack {
        sp: 0,
        flags: SS_DISABLE,
        reserved: 0,
        size: 0,
    };

    /// True if `sp` is on this stack.
    #[must_use]
    pub fn holds(&self, sp: usize) -> bool {
        // As Linux has it (`__on_sig_stack`): the lowest address is not on it, the one past the end is.
        self.flags & SS_DISABLE == 0 && sp > self.sp && sp - self.sp <= self.size
    }
}

const _: () = assert!(size_of::<AltStack>() == 24);

/// Offsets for assembly.
#[allow(missing_docs)]
pub mod offset {
    pub const PID: usize = 8;
    pub const TID: usize = 12;
    pub const STACK_TOP: usize = 16;
    pub const USER_RSP: usize = 24;
    pub const TARGET: usize = 32;
    pub const STATE: usize = 40;
    pub const DEFERRED: usize = 44;
    pub const DEFERRED_MASK: usize = 48;
    pub const SAVE: usize = 56;
    pub const SIGNALS: usize = 104;
    pub const LOCAL: usize = 248;
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Block, this) == 0);
    assert!(offset_of!(Block, pid) == offset::PID);
    assert!(offset_of!(Block, tid) == offset::TID);
    assert!(offset_of!(Block, stack_top) == offset::STACK_TOP);
    assert!(offset_of!(Block, user_rsp) == offset::USER_RSP);
    assert!(offset_of!(Block, target) == offset::TARGET);
    assert!(offset_of!(Block, state) == offset::STATE);
    assert!(offset_of!(Block, deferred) == offset::DEFERRED);
    assert!(offset_of!(Block, deferred_mask) == offset::DEFERRED_MASK);
    assert!(offset_of!(Block, save) == offset::SAVE);
    assert!(offset_of!(Block, signals) == offset::SIGNALS);
    assert!(offset_of!(Block, local) == offset::LOCAL);
    assert!(size_of::<Block>() <= SIGNAL_STACK);
};

static ALL: AtomicPtr<Block> = AtomicPtr::new(null_mut());
/// The first mapping of blocks.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// All blocks there are, in no order.
pub fn all() -> impl Iterator<Item = *mut Block> {
    let mut at = ALL.load(Ordering::Acquire);
    core::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        let this = at;
        // SAFETY: blocks in the list are mapped for ever.
        at = unsafe { (*this).next.load(Ordering::Acquire) };
        Some(this)
    })
}

/// Takes a free block, or maps new ones.
///
/// # Errors
/// The error number of mmap(2), negative.
pub fn take() -> Result<*mut Block, isize> {
    for b in all() {
        // SAFETY: blocks in the list are mapped for ever.
        let state = unsafe { &(*b).state };
        if state.load(Ordering::Relaxed) == FREE
            && state
                .compare_exchange(FREE, USED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            // SAFETY: the block is ours now.
            unsafe { reset(b) };
            heap::give_cache(b);
            return Ok(b);
        }
    }
    // SAFETY: a new anonymous mapping disturbs nobody.
    let at = unsafe { raw::syscall6(nr::MMAP, [0, MAPPED, 3, 0x22, usize::MAX, 0]) };
    if raw::is_err(at) {
        return Err(at);
    }
    if ALL.load(Ordering::Acquire).is_null() {
        FIRST.store(at as usize, Ordering::Relaxed);
    }
    let first = (at as usize).next_multiple_of(BLOCK_SIZE);
    // What the alignment leaves, which is not the kernel's alone: at least a page on one side.
    let rest = if first > at as usize {
        at as usize
    } else {
        first + CHUNK * BLOCK_SIZE
    };
    let mut mine = null_mut();
    for i in 0..CHUNK {
        let b = (first + i * BLOCK_SIZE) as *mut Block;
        // SAFETY: within the new mapping, which is zeroed: a valid Block, and not shared until it is in the list.
        unsafe {
            (*b).this = b as usize;
            (*b).stack_top = b as usize + BLOCK_SIZE;
            (*b).local = rest + i * size_of::<Local>();
            *alt(b) = AltStack::NONE;
            if i == 0 {
                (*b).state.store(USED, Ordering::Relaxed);
                mine = b;
            }
            let mut head = ALL.load(Ordering::Acquire);
            loop {
                (*b).next.store(head, Ordering::Release);
                match ALL.compare_exchange(head, b, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(h) => head = h,
                }
            }
        }
    }
    heap::give_cache(mine);
    Ok(mine)
}

/// Makes a taken block as new; its counters go on, since they are summed over all blocks.
///
/// # Safety
/// The caller must own the block.
unsafe fn reset(b: *mut Block) {
    // SAFETY: the caller's promise.
    unsafe {
        (*b).deferred = 0;
        (*b).sigsys_blocked = 0;
        (*b).sigsys_pending = 0;
        (*b).borrowed = 0;
        (*b).moving = 0;
        (*b).fault_area = 0;
        (*b).channel = 0;
        (*b).channel_count = 0;
        (*b).guest_stop.store(0, Ordering::Relaxed);
        (*b).channel_wanted.store(0, Ordering::Relaxed);
        (*((*b).local as *mut Local)).reset();
    }
}

/// Gives a block back that no thread runs on.
///
/// # Safety
/// The caller must own the block, and not use it any more.
pub unsafe fn give_back(b: *mut Block) {
    // SAFETY: the caller's promise.
    unsafe { (*b).state.store(FREE, Ordering::Release) }
}

/// Takes block `b` in the child of a fork, which has freed all but its own.
///
/// # Safety
/// No thread may run on it.
pub unsafe fn keep(b: *mut Block) {
    // SAFETY: blocks in the list are mapped for ever.
    unsafe { (*b).state.store(USED, Ordering::Relaxed) }
}

/// Unmaps the blocks of a process that was not hybridized after all.
///
/// # Safety
/// Nothing may use a block any more, and not more than one thread may have been there.
pub unsafe fn discard() {
    ALL.store(null_mut(), Ordering::Relaxed);
    let at = FIRST.swap(0, Ordering::Relaxed);
    if at != 0 {
        // SAFETY: the caller's promise; one thread has needed no second mapping.
        unsafe { raw::syscall4(nr::MUNMAP, at, MAPPED, 0, 0) };
    }
}

/// In the child of a fork: no other thread exists, and nothing has been counted yet.
pub fn after_fork(mine: *mut Block) {
    super::observe::after_fork();
    super::overrides::after_fork();
    for b in all() {
        // SAFETY: blocks in the list are mapped for ever, and this is the only thread.
        unsafe {
            if b != mine {
                (*b).state.store(FREE, Ordering::Relaxed);
            }
            (*b).signals.store(0, Ordering::Relaxed);
            for c in &(*b).counts {
                // Reading first spares the copy of a page that is shared with the parent.
                if c.load(Ordering::Relaxed) != 0 {
                    c.store(0, Ordering::Relaxed);
                }
            }
        }
    }
}

/// The program's own alternate signal stack (sigaltstack(2)), in the thread of block `b`. Sound as long as that is the caller's.
#[inline(always)]
#[must_use]
pub fn alt(b: *mut Block) -> *mut AltStack {
    // SAFETY: a block's `Local` stays where it is.
    unsafe { &raw mut (*((*b).local as *mut Local)).alt }
}

/// The signal stack in block `b`, on `hosted`.
#[must_use]
pub fn own_signal_stack(b: *mut Block) -> AltStack {
    AltStack {
        sp: b as usize + SIGNAL_STACK,
        flags: 0,
        reserved: 0,
        size: KERNEL_STACK - SIGNAL_STACK,
    }
}

/// The alternate signal stack that Linux holds.
#[must_use]
pub fn real_signal_stack() -> AltStack {
    let mut held = AltStack::NONE;
    // SAFETY: writes a local.
    unsafe { raw::syscall4(nr::SIGALTSTACK, 0, (&raw mut held) as usize, 0, 0) };
    held.reserved = 0;
    held
}

/// sigaltstack(2) for the program, whose stack pointer is `rsp`. `taken` is called once Linux holds the program's stack.
pub fn sigaltstack(
    b: *mut Block,
    new: usize,
    old: usize,
    rsp: usize,
    taken: impl FnOnce(),
) -> isize {
    // SAFETY: the calling thread's own block.
    let mut shown = unsafe { *alt(b) };
    let on = shown.holds(rsp);
    if on {
        shown.flags |= 1; // SS_ONSTACK
    }
    if new != 0 {
        if !super::user::can_read(new, size_of::<AltStack>()) {
            return raw::err(raw::errno::EFAULT);
        }
        if on {
            return raw::err(raw::errno::EPERM);
        }
        // Linux knows best what it accepts.
        // SAFETY: the program gives that memory for signals; one that comes there before the kernel's own stack is set again
        // interrupts the kernel, and so is only sent again.
        let r = unsafe { raw::syscall4(nr::SIGALTSTACK, new, 0, 0, 0) };
        let now = real_signal_stack();
        taken();
        if r != 0 {
            return r;
        }
        // SAFETY: the calling thread's own block.
        unsafe { *alt(b) = now };
    }
    if old != 0 && !super::user::put(old, &shown) {
        return raw::err(raw::errno::EFAULT);
    }
    0
}

/// The calling thread's block.
///
/// Sound to call only on a thread that the `hosted` platform has set up; everything in this module's callers runs on
/// such threads.
#[must_use]
pub fn current() -> *mut Block {
    let b: *mut Block;
    // SAFETY: the GS base of a hybridized thread is its block, whose first word is its address.
    unsafe {
        core::arch::asm!("movq %gs:0, {}", out(reg) b, options(att_syntax, nostack, readonly, preserves_flags));
    }
    b
}
