//! The part of module [`local`](super) that executes in the guest, at the kernel's alias, called by the gate. It writes the page tables, the
//! frame that the gate goes back by, the program's stack (by the gate's functions that may fail), and [`GUEST`] and [`Desk`], which are
//! mapped for it. Each function does all or nothing: what it does not serve goes to the partner as if it had not been asked.

use super::{Desk, Frame, GUEST, MOST_CALLS, RANGES, READ_WRITE};
use crate::kernel::actions::{SIG_IGN, flag};
use crate::kernel::block::{self, AltStack, Block};
use crate::kernel::{Action, observe, patch};
use crate::kvm::paging::{self, ALIAS, PAGE, USER_END, bit};
use crate::kvm::signals::{self, SIGSEGV, Trap};
use crate::kvm::{faults, gate};
use crate::raw::{nr, prot};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use hrt_abi::api::ENTRY_OWNED;

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The calling virtual CPU's block, by its alias; `None` if nothing is to be served here now.
fn serving() -> Option<*mut Block> {
    if GUEST.on.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let b = (block::current() as usize + ALIAS) as *mut Block;
    // SAFETY: the block of this virtual CPU, whose first page is mapped for the guest's kernel. A channel's server makes calls without
    // an exit, before which Linux could be told; a vfork child's parent has a virtual CPU of its own.
    unsafe { ((*b).borrowed == 0 && (*b).channel == 0).then_some(b) }
}

/// Calls `each` with the entries of `from..to`; false where there is no table or it says so.
fn entries(from: usize, to: usize, mut each: impl FnMut(*mut u64, usize) -> bool) -> bool {
    let mut at = from;
    while at < to {
        let Ok(first) = paging::find(at, ALIAS) else {
            return false;
        };
        let end = paging::piece_end(at).min(to);
        for i in 0..(end - at) / PAGE {
            if !each(first.wrapping_add(i), at + i * PAGE) {
                return false;
            }
        }
        at = end;
    }
    true
}

fn invalidate(at: usize) {
    // SAFETY: this is ring 0, and forgetting what was kept of an entry has no other effect.
    unsafe {
        core::arch::asm!("invlpg ({})", in(reg) at, options(att_syntax, nostack, preserves_flags));
    }
}

fn invalidate_all() {
    // SAFETY: as above; no entry is global.
    unsafe {
        core::arch::asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
}

/// Notes that entries of `range` may be lazy. The tables must be held.
pub fn note(range: Range<usize>) {
    // SAFETY: the tables are held.
    let ranges = unsafe { &mut *GUEST.ranges.get() };
    let used = GUEST.used.load(Ordering::Relaxed).min(RANGES);
    let apart = |r: &(usize, usize)| {
        if range.end < r.0 {
            r.0 - range.end
        } else {
            range.start.saturating_sub(r.1)
        }
    };
    let mut nearest: Option<&mut (usize, usize)> = None;
    for r in &mut ranges[..used] {
        if nearest.as_ref().is_none_or(|n| apart(r) < apart(n)) {
            nearest = Some(r);
        }
    }
    match nearest {
        Some(r) if apart(r) == 0 || used == RANGES => {
            *r = (r.0.min(range.start), r.1.max(range.end));
        }
        _ => {
            ranges[used] = (range.start, range.end);
            GUEST.used.store(used + 1, Ordering::Relaxed);
        }
    }
}

/// mprotect(2); false if it is not served here.
fn protect(from: usize, len: usize, rights: usize) -> bool {
    /// Pages from which on all that was kept of entries is forgotten.
    const MANY: usize = 32;
    let Some(Range {
        start: from,
        end: to,
    }) = super::pages(from, len)
    else {
        return false;
    };
    if !matches!(rights, 0 | prot::READ | READ_WRITE)
        || GUEST.calls.load(Ordering::Relaxed) >= MOST_CALLS
        // Other processors would have to forget the entries.
        || rights != READ_WRITE && patch::THREADS.load(Ordering::Relaxed) != 1
    {
        return false;
    }
    let Some(_held) = paging::hold() else {
        return false;
    };
    if rights != READ_WRITE && super::paused() {
        return false;
    }
    // SAFETY: entries of the guest's tables, at their alias, held still.
    let ours = entries(
        from,
        to,
        |e, _| unsafe { *e } & (bit::MINE | ENTRY_OWNED) == bit::MINE,
    );
    if !ours {
        return false;
    }
    let bits = super::lazy_bits(rights);
    if bits & bit::LAZY != 0 {
        note(from..to);
        add(&GUEST.calls);
    }
    if rights == 0 {
        GUEST.unreadable.store(1, Ordering::Relaxed);
    }
    let many = (to - from) / PAGE > MANY;
    entries(from, to, |e, at| {
        // SAFETY: as above.
        unsafe { *e = *e & !bit::RIGHTS | bits };
        if !many {
            invalidate(at);
        }
        true
    });
    if many {
        invalidate_all();
    }
    add(&GUEST.protections);
    true
}

fn desk(frame: &Frame) -> *mut Desk {
    (core::ptr::from_ref(frame) as usize & !(PAGE - 1)) as *mut Desk
}

/// Copies `value` to the program's memory.
fn put<T: Copy>(to: usize, value: &T) -> bool {
    let end = to.saturating_add(size_of::<T>());
    // SAFETY: the program's half of the address space; a fault is an answer.
    end <= USER_END
        && unsafe { gate::hrt_gate_copy(to, core::ptr::from_ref(value) as usize, size_of::<T>()) }
            == 0
}

/// Copies from the program's memory.
fn get<const N: usize>(from: usize) -> Option<[u64; N]> {
    let mut value = [0u64; N];
    let end = from.checked_add(8 * N)?;
    // SAFETY: as in `put`.
    (end <= USER_END && unsafe { gate::hrt_gate_copy((&raw mut value) as usize, from, 8 * N) } == 0)
        .then_some(value)
}

/// A page fault. 1 if it has been served.
pub extern "C" fn fault(frame: &mut Frame, sse: usize) -> u32 {
    u32::from(serving().is_some_and(|b| faulted(b, frame, sse)))
}

fn faulted(b: *mut Block, frame: &mut Frame, sse: usize) -> bool {
    const WRITE: u64 = 2;
    const RESERVED_OR_FETCH: u64 = 8 | 16;
    let at = frame.address as usize;
    if at >= USER_END || frame.error & RESERVED_OR_FETCH != 0 {
        return false;
    }
    let Ok(entry) = paging::find(at, ALIAS) else {
        return false;
    };
    // SAFETY: an entry of the guest's tables, at its alias.
    let entry = unsafe { *entry };
    if entry & (bit::MINE | ENTRY_OWNED) != bit::MINE {
        return false;
    }
    let needed = if frame.error & WRITE != 0 {
        bit::PRESENT | bit::WRITE
    } else {
        bit::PRESENT
    };
    if entry & needed == needed {
        // The processor has kept what the entry was.
        invalidate(at);
        return frame.error & 1 != 0;
    }
    // SAFETY: this virtual CPU's own page.
    let d = unsafe { &mut *desk(frame) };
    let version = GUEST.version.load(Ordering::Acquire);
    // SAFETY: words of ours; whether they belong together is seen afterwards.
    let action = unsafe { GUEST.action.get().read_volatile() };
    core::sync::atomic::fence(Ordering::Acquire);
    let blocked = d.shown >> (SIGSEGV - 1) & 1 != 0;
    if entry & bit::LAZY == 0
        || d.mask_known == 0
        || blocked
        || GUEST.learned.load(Ordering::Relaxed) != version
        || GUEST.version.load(Ordering::Relaxed) != version
        || action.handler <= SIG_IGN
        || action.flags & (flag::RESTORER | flag::RESETHAND) != flag::RESTORER
    {
        return false;
    }
    // SAFETY: the block's first page, at its alias, says where `Local` is: memory of the process, which the partner maps here if it is not yet.
    let alt = unsafe { *block::alt(b) };
    let trap = faults::trap(at, frame.error);
    let Some((to, mask)) = enter(frame, sse, &action, &alt, d.shown, &trap) else {
        return false;
    };
    frame.rdi = SIGSEGV as u64;
    frame.rsi = to.info() as u64;
    frame.rdx = to.context() as u64;
    frame.rax = 0;
    frame.rsp = to.frame as u64;
    frame.rip = action.handler as u64;
    frame.rflags &= !signals::CLEARED;
    d.shown = mask;
    d.last = trap;
    d.trapped = 1;
    // SAFETY: as above.
    add(unsafe { &(*b).signals });
    add(&GUEST.faults);
    true
}

/// Builds the signal's frame on the program's stack and gives a handler's vector state; where the frame is, and the handler's mask.
fn enter(
    frame: &Frame,
    sse: usize,
    action: &Action,
    alt: &AltStack,
    mask: u64,
    trap: &Trap,
) -> Option<(signals::Spot, u64)> {
    let size = GUEST.state_size.load(Ordering::Relaxed);
    let place = signals::place(frame.rsp as usize, action, alt, size);
    if place.state + size + 4 > USER_END {
        return None;
    }
    let registers = [
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
        frame.rdi,
        frame.rsi,
        frame.rbp,
        frame.rbx,
        frame.rdx,
        frame.rax,
        frame.rcx,
        frame.rsp,
        frame.rip,
        frame.rflags,
    ];
    let info = signals::info(SIGSEGV, faults::SEGV_ACCERR, frame.address);
    let words = signals::words(&registers, action, alt, &info, mask, trap, place.state);
    let (described, end) = signals::description(size, GUEST.xcr0.load(Ordering::Relaxed));
    // The header must be zero where the processor does not write it.
    let done = put(place.state + 512, &[0u64; 8])
        // SAFETY: within the program's half of the address space, aligned; a fault is an answer.
        && unsafe { gate::hrt_gate_save(place.state, sse) } == 0
        && put(place.state + 464, &described)
        && put(place.state + size, &end)
        && put(place.frame, &words)
        // SAFETY: complete vector state of the kernel's.
        && unsafe { gate::hrt_gate_load(GUEST.initial.get() as usize, sse) } == 0;
    done.then(|| (place, signals::handler_mask(SIGSEGV, action, mask)))
}

/// A system call that may be served here. 1 if it has been.
pub extern "C" fn call(frame: &mut Frame, sse: usize) -> u32 {
    let Some(b) = serving() else {
        return 0;
    };
    let number = frame.rax as u32 as usize;
    let served = match number {
        nr::MPROTECT => {
            let done = protect(frame.rdi as usize, frame.rsi as usize, frame.rdx as usize);
            if done {
                frame.rax = 0;
            }
            done
        }
        nr::RT_SIGRETURN => came_back(b, frame, sse),
        _ => false,
    };
    if served && GUEST.counting.load(Ordering::Relaxed) != 0 {
        observe::count(b, number);
    }
    u32::from(served)
}

/// rt_sigreturn(2); false if it is not served here.
fn came_back(b: *mut Block, frame: &mut Frame, sse: usize) -> bool {
    // SAFETY: this virtual CPU's own page.
    let d = unsafe { &mut *desk(frame) };
    let size = GUEST.state_size.load(Ordering::Relaxed);
    let Some(context) = get::<{ signals::CONTEXT / 8 }>(frame.rsp as usize) else {
        return false;
    };
    let g = |i: usize| context[5 + i];
    let mask = context[signals::UC_MASK] & !signals::NEVER_BLOCKED;
    // SAFETY: the block's first page, at its alias, says where `Local` is: memory of the process, which the partner maps here if it is not yet.
    let alt = unsafe { *block::alt(b) };
    let same = context[2] == alt.sp as u64
        && context[3] as i32 == alt.flags
        && context[4] == alt.size as u64;
    let state = g(23) as usize;
    let (described, end) = signals::description(size, GUEST.xcr0.load(Ordering::Relaxed));
    if d.mask_known == 0
        || d.real & !mask != 0
        || !same
        || g(16) >= USER_END as u64
        || state == 0
        || !state.is_multiple_of(64)
        || state.saturating_add(size + 8) > USER_END
        || get::<6>(state + 464) != Some(described)
        || get::<1>(state + size).map(|w| w[0] as u32) != Some(end)
    {
        return false;
    }
    // SAFETY: within the program's half of the address space, aligned; a fault is an answer.
    if unsafe { gate::hrt_gate_load(state, sse) } != 0 {
        return false;
    }
    frame.rflags = signals::flags(g(17), frame.rflags);
    [
        frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15,
        frame.rdi, frame.rsi, frame.rbp, frame.rbx, frame.rdx, frame.rax, frame.rcx, frame.rsp,
        frame.rip,
    ] = core::array::from_fn(g);
    d.shown = mask;
    add(&GUEST.returns);
    true
}
