//! Merged address space: guest-physical memory is the process's own, in windows that are made on demand, and the guest's page
//! tables map each address of the program to itself.
//!
//! * A window is 128 MiB of the process's address space. The first use of an address gives its window the next free piece of
//!   guest-physical memory (a memory slot), for ever: so an address has one guest-physical address, which never changes.
//! * A table page belongs to one piece of the address space, for ever. Entries are filled when the guest faults, for the whole
//!   mapping around the fault as far as one table page reaches.
//! * Linux stays the authority: it enforces what a mapping allows on every access of the guest through its own page
//!   tables. An entry of the guest that allows too much does no harm; the access then ends KVM_RUN with EFAULT instead of as
//!   a page fault, and is looked at again with empty tables.
//!
//! Entries are written by the partner. KVM may keep what it has made of one; but what Linux changes, KVM forgets. So an entry
//! is changed or removed only after Linux has changed what it maps; where that is not so, the guest itself removes it.

use super::wire::{self, MemoryRegion, request};
use crate::kernel::spin::{Brief, Spin};
use crate::raw::{self, errno, nr};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use hrt_abi::api::ENTRY_OWNED;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// What one table of pages maps.
const PIECE: usize = 512 * PAGE;
const WINDOW_SHIFT: u32 = 27;
/// Bytes of a window.
pub const WINDOW: usize = 1 << WINDOW_SHIFT;
/// End of the program's half.
pub const USER_END: usize = 1 << 47;
const WINDOWS: usize = USER_END >> WINDOW_SHIFT;
/// Distance from an address of the process to the kernel's alias of it.
pub const ALIAS: usize = 0xffff_8000_0000_0000;

/// Entry bits (Intel SDM 3A, 4.5; AMD APM 2, 5.4).
pub mod bit {
    /// Present.
    pub const PRESENT: u64 = 1;
    /// Writable.
    pub const WRITE: u64 = 2;
    /// Of the program.
    pub const USER: u64 = 4;
    /// Accessed and dirty, so that the CPU need not write.
    pub const SEEN: u64 = 0x60;
    /// A large page.
    pub const LARGE: u64 = 0x80;
    /// Not executable.
    pub const NX: u64 = 1 << 63;
    /// Of those that processors leave to software: Linux has here private memory that may be read and written, so it would grant
    /// any less than that, and that again.
    pub const MINE: u64 = 1 << 10;
    /// Likewise: the program may do less here than Linux knows of (module `local`). Goes with [`MINE`].
    pub const LAZY: u64 = 1 << 11;
    /// What lazy protection changes.
    pub const RIGHTS: u64 = PRESENT | WRITE | LAZY;
}
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Window number plus one, by window address.
static NUMBERS: [AtomicU16; WINDOWS] = [const { AtomicU16::new(0) }; WINDOWS];
/// Windows there can be: 512 GiB, what 39 bits of guest-physical address hold.
const MAX_WINDOWS: usize = 4096;
/// Window address, by number.
static ADDRESSES: [AtomicUsize; MAX_WINDOWS] = [const { AtomicUsize::new(0) }; MAX_WINDOWS];
static USED: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(0);
static VM: AtomicUsize = AtomicUsize::new(0);

/// What is mapped ahead of use, at most.
const AHEAD: usize = 16 * 1024 * 1024;

/// Table pages come from chunks, which the guest writes through one large page each, at their alias.
const CHUNK: usize = 512 * PAGE;
const MAX_CHUNKS: usize = 64;
static CHUNKS: [AtomicUsize; MAX_CHUNKS] = [const { AtomicUsize::new(0) }; MAX_CHUNKS];
/// Table pages given so far.
static TABLES: AtomicUsize = AtomicUsize::new(0);
static ROOT: AtomicUsize = AtomicUsize::new(0);

static LOCK: Spin = Spin::new();
/// Changes whenever entries are changed or removed because Linux maps something else.
static VERSION: AtomicU64 = AtomicU64::new(0);

/// What has been learned of mappings since then may be told to [`fill`]: an entry is [`bit::MINE`] only if nothing has changed meanwhile.
#[must_use]
pub fn version() -> u64 {
    VERSION.load(Ordering::Acquire)
}

/// `bits` for entries of what was learned at version `since`. The lock must be held.
fn still(bits: u64, since: u64) -> u64 {
    if VERSION.load(Ordering::Relaxed) == since {
        bits
    } else {
        bits & !bit::MINE
    }
}

/// Holds the tables still for the guest's kernel, if that can be at once.
#[must_use]
pub fn hold() -> Option<Brief<'static>> {
    LOCK.take_soon()
}

/// Holds the tables still around a fork.
pub fn with_lock<T>(f: impl FnOnce() -> T) -> T {
    let _text = TEXT_LOCK.take();
    let _guard = LOCK.take();
    f()
}

/// Holds the tables still for `f`.
pub fn with_tables<T>(f: impl FnOnce() -> T) -> T {
    let _guard = LOCK.take();
    f()
}

/// Prepares the tables for VM descriptor `vm`, which has room for `slots` memory slots and `address_bits` of guest-physical
/// address.
///
/// # Errors
/// What there is too little of.
pub fn init(vm: i32, slots: usize, address_bits: u32) -> Result<(), &'static str> {
    VM.store(vm as usize, Ordering::Relaxed);
    let by_address = 1usize << address_bits.saturating_sub(WINDOW_SHIFT).min(20);
    LIMIT.store(slots.min(by_address).min(MAX_WINDOWS), Ordering::Relaxed);
    TABLES.store(0, Ordering::Relaxed);
    let root = new_table()?;
    ROOT.store(root, Ordering::Relaxed);
    physical(root)?;
    // The first chunk had no root to be mapped by.
    map_chunk(CHUNKS[0].load(Ordering::Relaxed))
}

/// Undoes [`init`].
pub fn discard() {
    for chunk in &CHUNKS {
        let at = chunk.swap(0, Ordering::Relaxed);
        if at != 0 {
            // SAFETY: table pages that nothing uses any more.
            unsafe { raw::syscall4(nr::MUNMAP, at, CHUNK, 0, 0) };
        }
    }
    ROOT.store(0, Ordering::Relaxed);
    for at in ADDRESSES.iter().take(USED.swap(0, Ordering::Relaxed)) {
        NUMBERS[at.load(Ordering::Relaxed) >> WINDOW_SHIFT].store(0, Ordering::Relaxed);
    }
}

/// Gives the windows that are in use to a new VM, in the child of a fork.
///
/// # Errors
/// Why that cannot be.
pub fn adopt(vm: i32) -> Result<(), &'static str> {
    VM.store(vm as usize, Ordering::Relaxed);
    for (n, at) in ADDRESSES
        .iter()
        .enumerate()
        .take(USED.load(Ordering::Relaxed))
    {
        add_slot(n, at.load(Ordering::Relaxed))?;
    }
    Ok(())
}

/// The guest-physical address of the root table.
#[must_use]
pub fn root() -> u64 {
    physical(ROOT.load(Ordering::Relaxed)).unwrap_or(0)
}

/// The memory that holds table pages.
pub fn chunks() -> impl Iterator<Item = core::ops::Range<usize>> {
    CHUNKS
        .iter()
        .map(|c| c.load(Ordering::Relaxed))
        .take_while(|at| *at != 0)
        .map(|at| at..at + CHUNK)
}

/// A zeroed page for a table; the lock must be held, but at start.
fn new_table() -> Result<usize, &'static str> {
    let n = TABLES.fetch_add(1, Ordering::Relaxed);
    let chunk = CHUNKS
        .get(n / 512)
        .ok_or("the program uses too many pieces of its address space for its page tables")?;
    if n.is_multiple_of(512) {
        // SAFETY: a new mapping disturbs nobody.
        let at = unsafe { raw::syscall6(nr::MMAP, [0, 2 * CHUNK, 3, 0x22, usize::MAX, 0]) };
        if raw::is_err(at) {
            return Err("no memory for page tables");
        }
        let (low, high) = (at as usize, at as usize + 2 * CHUNK);
        let first = low.next_multiple_of(CHUNK);
        for (from, to) in [(low, first), (first + CHUNK, high)] {
            if from < to {
                // SAFETY: the ends of the mapping just made.
                unsafe { raw::syscall4(nr::MUNMAP, from, to - from, 0, 0) };
            }
        }
        chunk.store(first, Ordering::Relaxed);
        if ROOT.load(Ordering::Relaxed) != 0 {
            map_chunk(first)?;
        }
    }
    Ok(chunk.load(Ordering::Relaxed) + n % 512 * PAGE)
}

/// Maps a chunk at its alias.
fn map_chunk(at: usize) -> Result<(), &'static str> {
    let entry = leaf(at + ALIAS, 1)?;
    let page = physical(at)?;
    // SAFETY: an entry of a table of ours; the lock is held, or one thread is there.
    unsafe {
        entry.write_volatile(page | bit::PRESENT | bit::WRITE | bit::SEEN | bit::LARGE | bit::NX);
    }
    Ok(())
}

fn add_slot(n: usize, at: usize) -> Result<(), &'static str> {
    let region = MemoryRegion {
        slot: n as u32,
        flags: 0,
        guest_phys_addr: (n as u64) << WINDOW_SHIFT,
        // A slot must not reach the very end of the user's half.
        memory_size: if at + WINDOW == USER_END {
            WINDOW - PAGE
        } else {
            WINDOW
        } as u64,
        userspace_addr: at as u64,
    };
    // SAFETY: a complete region; the guest can reach no more than the process can.
    let r = unsafe {
        wire::ioctl(
            VM.load(Ordering::Relaxed) as i32,
            request::SET_USER_MEMORY_REGION,
            (&raw const region) as usize,
        )
    };
    match r {
        0 => Ok(()),
        r if r == raw::err(errno::ENOMEM) => Err("no memory for a memory slot of the VM"),
        _ => Err("KVM refuses a memory slot"),
    }
}

/// The guest-physical address of an address in the program's half; the lock must be held, but at start.
fn physical(at: usize) -> Result<u64, &'static str> {
    let number = &NUMBERS[at >> WINDOW_SHIFT];
    let mut n = usize::from(number.load(Ordering::Relaxed));
    if n == 0 {
        n = USED.load(Ordering::Relaxed);
        if n >= LIMIT.load(Ordering::Relaxed) {
            return Err("the program's memory is spread too widely for the VM's memory slots");
        }
        let window = at & !(WINDOW - 1);
        add_slot(n, window)?;
        ADDRESSES[n].store(window, Ordering::Relaxed);
        n += 1;
        USED.store(n, Ordering::Relaxed);
        number.store(n as u16, Ordering::Relaxed);
    }
    Ok((((n - 1) as u64) << WINDOW_SHIFT) | (at & (WINDOW - 1)) as u64)
}

/// The process's address of guest-physical address `physical`, if that is in a window.
#[must_use]
pub fn process_address(physical: u64) -> Option<usize> {
    let n = usize::try_from(physical >> WINDOW_SHIFT).ok()?;
    (n < USED.load(Ordering::Acquire)).then(|| at_physical(physical) + physical as usize % PAGE)
}

/// The process's address of the page that an entry leads to.
fn at_physical(entry: u64) -> usize {
    let p = (entry & ADDRESS) as usize;
    ADDRESSES[p >> WINDOW_SHIFT].load(Ordering::Relaxed) + (p & (WINDOW - 1))
}

/// The entry of `at` in the table of `level` (0: of pages, 1: of 2 MiB pieces), with the tables above it.
fn leaf(at: usize, level: u32) -> Result<*mut u64, &'static str> {
    let mut table = ROOT.load(Ordering::Relaxed);
    let mut l = 3;
    loop {
        let entry = (table as *mut u64).wrapping_add((at >> (12 + 9 * l)) & 511);
        if l == level {
            return Ok(entry);
        }
        // SAFETY: an entry of a table of ours; the lock is held.
        unsafe {
            if *entry == 0 {
                let below = physical(new_table()?)?;
                entry.write_volatile(below | bit::PRESENT | bit::WRITE | bit::USER | bit::SEEN);
            }
            table = at_physical(*entry);
        }
        l -= 1;
    }
}

/// The entry of page `at` in its table, or the next address that may have one. `alias` is 0, or [`ALIAS`] in the guest, which has its
/// tables there.
pub fn find(at: usize, alias: usize) -> Result<*mut u64, usize> {
    let mut table = ROOT.load(Ordering::Relaxed) + alias;
    for l in (1..4).rev() {
        // SAFETY: an entry of a table of ours.
        let entry = unsafe { *(table as *mut u64).wrapping_add((at >> (12 + 9 * l)) & 511) };
        if entry & bit::PRESENT == 0 || entry & bit::LARGE != 0 {
            let size = 1usize << (12 + 9 * l);
            return Err((at & !(size - 1)) + size);
        }
        table = at_physical(entry) + alias;
    }
    Ok((table as *mut u64).wrapping_add((at >> 12) & 511))
}

/// Calls `each` for the tables of pages of `from..to` in the program's half, with the first entry in question and
/// how many there are. Ends where that is false, and returns the address that this was about. The lock must be held.
fn for_tables(
    from: usize,
    to: usize,
    mut each: impl FnMut(*mut u64, usize) -> bool,
) -> Option<usize> {
    let mut at = from & !(PAGE - 1);
    let to = to.min(USER_END);
    while at < to {
        at = match find(at, 0) {
            Err(next) => next,
            Ok(first) => {
                let end = ((at & !(PIECE - 1)) + PIECE).min(to);
                if !each(first, (end - at).div_ceil(PAGE)) {
                    return Some(at);
                }
                end
            }
        };
    }
    None
}

/// Maps page `at` of the process at its alias, with entry bits `bits`.
///
/// # Errors
/// Why that cannot be.
pub fn map_alias(at: usize, bits: u64) -> Result<(), &'static str> {
    let _guard = LOCK.take();
    let entry = leaf(at + ALIAS, 0)?;
    let page = physical(at & !(PAGE - 1))?;
    // SAFETY: an entry of a table of ours; the lock is held.
    unsafe { entry.write_volatile(page | bits | bit::PRESENT | bit::SEEN) };
    Ok(())
}

/// Bits of the entries for a mapping with these rights.
#[must_use]
pub fn rights(write: bool, execute: bool) -> u64 {
    let mut bits = bit::USER;
    if write {
        bits |= bit::WRITE;
    }
    if !execute {
        bits |= bit::NX;
    }
    bits
}

/// Maps `from..to`, which Linux has just mapped, unless it is large: so the guest need not fault there. What cannot be done now is
/// done at a fault.
pub fn fill_ahead(from: usize, to: usize, bits: u64, since: u64) {
    let mut at = from;
    // Table pages are never given back: half of them are kept for what is used.
    let room = TABLES.load(Ordering::Relaxed) < MAX_CHUNKS * 256;
    while at < to && to - from <= AHEAD && room {
        // A memory slot is not made for what may never be used.
        let known = NUMBERS[at >> WINDOW_SHIFT].load(Ordering::Relaxed) != 0;
        if !known || fill_piece(from, to, at, None, bits, since).is_err() {
            return;
        }
        at = (at & !(PIECE - 1)) + PIECE;
    }
}

/// Maps the pages of `from..to` that lie in the 2 MiB piece around `around`, with entry bits `bits`, as learned at [`version`] `since`. What
/// is mapped already gets the bits, too.
///
/// # Errors
/// Why that cannot be.
pub fn fill(
    from: usize,
    to: usize,
    around: usize,
    bits: u64,
    since: u64,
) -> Result<(), &'static str> {
    fill_piece(from, to, around, Some(around & !(PAGE - 1)), bits, since)
}

/// As [`fill`], but leaves all entries that are the program's own.
///
/// # Errors
/// Why that cannot be.
pub fn fill_others(
    from: usize,
    to: usize,
    around: usize,
    bits: u64,
    since: u64,
) -> Result<(), &'static str> {
    fill_piece(from, to, around, None, bits, since)
}

/// See [`fill`]; `needed` is the page that gets the bits even if its entry is the program's own.
fn fill_piece(
    from: usize,
    to: usize,
    around: usize,
    needed: Option<usize>,
    bits: u64,
    since: u64,
) -> Result<(), &'static str> {
    let piece = around & !(PIECE - 1);
    let from = from.max(piece);
    let to = to.min(piece + PIECE);
    let _guard = LOCK.take();
    fill_held(from, to, needed, still(bits, since))
}

/// Fills entries of one piece. The lock must be held.
fn fill_held(from: usize, to: usize, needed: Option<usize>, bits: u64) -> Result<(), &'static str> {
    let first = leaf(from, 0)?;
    let page = physical(from)?;
    for i in 0..(to - from) / PAGE {
        // SAFETY: entries of one table of ours; the lock is held. A piece lies in one window.
        unsafe {
            let entry = first.add(i);
            if *entry & ENTRY_OWNED != 0 && needed != Some(from + i * PAGE)
                || *entry & bit::LAZY != 0
            {
                continue;
            }
            entry.write_volatile((page + (i * PAGE) as u64) | bits | bit::PRESENT | bit::SEEN);
        }
    }
    Ok(())
}

/// Makes lazy what Linux holds as read-only of `from..to`, as learned at [`version`] `since`: `then` makes it writable to Linux, while nobody
/// sees that. False, with nothing changed that shows, if that cannot be.
pub fn adopt_pages(from: usize, to: usize, since: u64, then: impl FnOnce() -> bool) -> bool {
    let _guard = LOCK.take();
    if VERSION.load(Ordering::Relaxed) != since {
        return false;
    }
    let bits = rights(false, false) | bit::MINE | bit::LAZY;
    let mut at = from;
    while at < to {
        let end = piece_end(at).min(to);
        if fill_held(at, end, None, bits).is_err() {
            break;
        }
        at = end;
    }
    let done = at == to && then();
    if !done {
        forget_lazy(from, at);
    }
    done
}

/// The entries of `from..to` are no longer the kernel's to change. The lock must be held.
fn forget_lazy(from: usize, to: usize) {
    for_tables(from, to, |first, count| {
        for i in 0..count {
            // SAFETY: entries of one table of ours; the lock is held. The processor does not look at these bits.
            unsafe {
                let entry = first.add(i);
                entry.write_volatile(entry.read_volatile() & !(bit::LAZY | bit::MINE));
            }
        }
        true
    });
}

/// Gives the entries that there are of `from..to` the bits `bits`; 0 removes them.
///
/// To be called after Linux has changed the mapping: whatever KVM had made of these entries went with that, so it reads
/// them anew. Entries of the program's own may lead elsewhere: true if there are such, which are left for the guest to
/// remove.
#[must_use]
pub fn change(from: usize, to: usize, bits: u64, since: u64) -> bool {
    let _guard = LOCK.take();
    let bits = still(bits, since);
    VERSION.fetch_add(1, Ordering::Release);
    let mut owned = false;
    for_tables(from, to, |first, count| {
        for i in 0..count {
            // SAFETY: entries of one table of ours; the lock is held.
            unsafe {
                let entry = first.add(i);
                let old = entry.read_volatile();
                let new = if bits == 0 {
                    0
                } else {
                    old & ADDRESS | bits | bit::PRESENT | bit::SEEN
                };
                if old & ENTRY_OWNED != 0 {
                    owned = true;
                } else if old != 0 && old != new {
                    entry.write_volatile(new);
                }
            }
        }
        true
    });
    owned
}

/// What the guest is to do: runs of entries to clear, by their alias. Ends with (0, 0).
pub type Job = [(usize, usize); JOB_SIZE];
/// Entries of a [`Job`].
pub const JOB_SIZE: usize = 255;

/// Collects in `job` what is mapped of `from..to`; returns where to go on, if that is not all, and the number of runs.
pub fn collect(from: usize, to: usize, job: &mut Job) -> (Option<usize>, usize) {
    let _guard = LOCK.take();
    VERSION.fetch_add(1, Ordering::Release);
    let mut n = 0;
    let more = for_tables(from, to, |first, count| {
        // SAFETY: entries of one table of ours; the lock is held.
        let present = |i: &usize| unsafe { first.add(*i).read_volatile() } != 0;
        if let (Some(low), Some(high)) = ((0..count).find(present), (0..count).rfind(present)) {
            if n + 1 >= JOB_SIZE {
                return false;
            }
            job[n] = (first as usize + low * 8 + ALIAS, high - low + 1);
            n += 1;
        }
        true
    });
    job[n] = (0, 0);
    (more, n)
}

/// A page of the kernel's, zeroed, that the guest may write at its alias; never given back.
///
/// # Errors
/// Why there is none.
pub fn kernel_page() -> Result<usize, &'static str> {
    let _guard = LOCK.take();
    new_table()
}

/// Maps the pages of the object `of` at their alias, with entry bits `bits`.
///
/// # Errors
/// Why that cannot be.
pub fn map_object<T>(of: *const T, bits: u64) -> Result<(), &'static str> {
    let at = of as usize;
    for page in (at & !(PAGE - 1)..at + size_of::<T>()).step_by(PAGE) {
        map_alias(page, bits)?;
    }
    Ok(())
}

/// Maps what is executed and what is only read of the kernel's image at its alias.
///
/// # Errors
/// Why that cannot be.
pub fn map_image() -> Result<(), &'static str> {
    crate::kernel::constant()
        .step_by(PAGE)
        .try_for_each(|page| map_alias(page, bit::USER))
}

/// Where the 2 MiB piece that contains `at` ends.
#[must_use]
pub fn piece_end(at: usize) -> usize {
    (at & !(PIECE - 1)) + PIECE
}

/// Maps what the guest needs to walk its tables.
///
/// # Errors
/// Why that cannot be.
pub fn map_own() -> Result<(), &'static str> {
    map_object(&raw const ROOT, bit::NX)?;
    map_object(&raw const ADDRESSES, bit::NX)?;
    map_object(&raw const LOCK, bit::WRITE | bit::NX)
}

/// True if the entries of all of `from..to` are there, and are the kernel's to change ([`bit::MINE`]) and none the program's own.
#[must_use]
pub fn all_mine(from: usize, to: usize) -> bool {
    let _guard = LOCK.take();
    all_mine_held(from, to)
}

/// See [`all_mine`]; the lock must be held.
fn all_mine_held(from: usize, to: usize) -> bool {
    let mut mine = 0;
    for_tables(from, to, |first, count| {
        // SAFETY: entries of one table of ours; the lock is held.
        let entry = |i: usize| unsafe { first.add(i).read_volatile() };
        mine += (0..count)
            .filter(|i| entry(*i) & (bit::MINE | ENTRY_OWNED) == bit::MINE)
            .count();
        true
    });
    mine == (to - from) / PAGE
}

/// The entry of page `at`; 0: none.
#[must_use]
pub fn entry(at: usize) -> u64 {
    let _guard = LOCK.take();
    // SAFETY: an entry of a table of ours; the lock is held.
    find(at, 0).map_or(0, |entry| unsafe { entry.read_volatile() })
}

/// Calls `tell` for each run of pages of `from..to` of which Linux does not know what the program may do, with an entry of them. Where it
/// answers true, Linux does from then on. False if it has said no. The tables must be held all the time: a guest's kernel that would give
/// the program its rights back has to wait until Linux has been told of them.
pub fn settle(
    from: usize,
    to: usize,
    mut tell: impl FnMut(&core::ops::Range<usize>, u64) -> bool,
) -> bool {
    let mut all = true;
    let mut at = from & !(PAGE - 1);
    while let Some((run, entry)) = lazy(at, to) {
        at = run.end;
        if !tell(&run, entry) {
            all = false;
            continue;
        }
        VERSION.fetch_add(1, Ordering::Release);
        forget_lazy(run.start, run.end);
    }
    all
}

/// The first run of lazy pages in `from..to`, as far as their rights are the same, and an entry of theirs. The lock must be held.
fn lazy(from: usize, to: usize) -> Option<(core::ops::Range<usize>, u64)> {
    let mut at = from;
    let mut found: Option<(core::ops::Range<usize>, u64)> = None;
    while at < to.min(USER_END) {
        let (entry, next) = match find(at, 0) {
            // SAFETY: an entry of a table of ours; the lock is held.
            Ok(entry) => (unsafe { entry.read_volatile() }, at + PAGE),
            Err(next) => (0, next),
        };
        match &mut found {
            None if entry & bit::LAZY != 0 => found = Some((at..next, entry)),
            Some((run, of)) if entry & bit::LAZY != 0 && (entry ^ *of) & bit::PRESENT == 0 => {
                run.end = next;
            }
            Some(_) => break,
            None => {}
        }
        at = next;
    }
    found
}

/// Gives the entries of `from..to` the lazy bits `bits`, and has `then` make the processors forget those runs of them that allowed more.
/// False, with nothing changed, if they are not all [`bit::MINE`]; or if `then` has failed. The tables must be held.
pub fn restrict(
    from: usize,
    to: usize,
    bits: u64,
    mut then: impl FnMut(core::ops::Range<usize>) -> bool,
) -> bool {
    /// Runs that are told one by one.
    const RUNS: usize = 64;
    if !all_mine_held(from, to) {
        return false;
    }
    let lost = (bit::PRESENT | bit::WRITE) & !bits;
    let mut runs: [core::ops::Range<usize>; RUNS] = [const { 0..0 }; RUNS];
    let mut used = 0;
    let mut at = from;
    for_tables(from, to, |first, count| {
        for i in 0..count {
            // SAFETY: as above.
            let old = unsafe {
                let entry = first.add(i);
                let old = entry.read_volatile();
                entry.write_volatile(old & !bit::RIGHTS | bits);
                old
            };
            if old & lost != 0 {
                if used == 0 || runs[used - 1].end != at && used < RUNS {
                    runs[used] = at..at;
                    used += 1;
                }
                // What lies between is told along, where there are too many.
                runs[used - 1].end = at + PAGE;
            }
            at += PAGE;
        }
        true
    });
    let mut all = true;
    for run in &runs[..used] {
        all &= then(run.clone());
    }
    all
}

/// A mapping of the process, as Linux has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// It may be read.
    pub read: bool,
    /// It may be written.
    pub write: bool,
    /// It may be executed.
    pub execute: bool,
    /// What is written there is the process's alone.
    pub private: bool,
    /// When Linux was asked ([`version`]).
    pub since: u64,
}

impl Mapping {
    /// Bits of its entries.
    #[must_use]
    pub fn bits(&self) -> u64 {
        let mine = self.private && self.read && self.write && !self.execute;
        rights(self.write, self.execute) | if mine { bit::MINE } else { 0 }
    }
}

/// `struct procmap_query` (Linux 6.11, `include/uapi/linux/fs.h`).
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}
const _: () = assert!(size_of::<ProcmapQuery>() == 104);
const PROCMAP_QUERY: usize = 0xc068_6611;

/// Descriptor of /proc/self/maps; -1: none.
static MAPS: AtomicI32 = AtomicI32::new(-1);

/// Opens the list of this process's mappings.
///
/// # Errors
/// Why there is none.
pub fn open_maps(protect: impl FnOnce(i32) -> i32) -> Result<(), &'static str> {
    // SAFETY: a NUL-terminated path; O_RDONLY | O_CLOEXEC.
    let fd = unsafe {
        raw::syscall4(
            nr::OPEN,
            c"/proc/self/maps".as_ptr() as usize,
            0o2_000_000,
            0,
            0,
        )
    };
    if raw::is_err(fd) {
        return Err(match -fd as i32 {
            errno::EMFILE | errno::ENFILE => "/proc/self/maps does not open: too many open files",
            errno::EACCES | errno::EPERM => "/proc/self/maps may not be opened",
            _ => "there is no /proc/self/maps (/proc is not mounted)",
        });
    }
    MAPS.store(protect(fd as i32), Ordering::Relaxed);
    Ok(())
}

/// Closes it.
pub fn close_maps(close: impl FnOnce(i32)) {
    close(MAPS.swap(-1, Ordering::Relaxed));
}

/// The descriptor of the list.
#[must_use]
pub fn maps_descriptor() -> i32 {
    MAPS.load(Ordering::Relaxed)
}

/// The mapping that contains `at`.
#[must_use]
pub fn mapping(at: usize) -> Option<Mapping> {
    let since = version();
    let mut q = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_addr: at as u64,
        ..ProcmapQuery::default()
    };
    // SAFETY: a complete query, which Linux answers in place.
    let r = unsafe { wire::ioctl(maps_descriptor(), PROCMAP_QUERY, (&raw mut q) as usize) };
    match r {
        0 => Some(Mapping {
            start: q.vma_start as usize,
            end: q.vma_end as usize,
            read: q.vma_flags & 1 != 0,
            write: q.vma_flags & 2 != 0,
            execute: q.vma_flags & 4 != 0,
            private: q.vma_flags & 8 == 0,
            since,
        }),
        r if r == raw::err(errno::ENOENT) => None,
        // A Linux that does not know the query has the list as text.
        _ => mapping_by_text(at).map(|m| Mapping { since, ..m }),
    }
}

/// Room for the list's text.
struct Text(UnsafeCell<[u8; 65536]>);
// SAFETY: used under its lock only.
unsafe impl Sync for Text {}
static TEXT_LOCK: Spin = Spin::new();
static TEXT: Text = Text(UnsafeCell::new([0; 65536]));

fn mapping_by_text(at: usize) -> Option<Mapping> {
    let _guard = TEXT_LOCK.take();
    // SAFETY: the lock is held.
    let text = unsafe { &mut *TEXT.0.get() };
    let mut offset = 0usize;
    let mut kept = 0usize;
    loop {
        let room = text.len() - kept;
        // SAFETY: reads into our own buffer.
        let n = unsafe {
            raw::syscall4(
                nr::PREAD64,
                maps_descriptor() as usize,
                text.as_mut_ptr() as usize + kept,
                room,
                offset,
            )
        };
        if n <= 0 {
            return None;
        }
        offset += n as usize;
        let have = kept + n as usize;
        let mut from = 0;
        while let Some(len) = text[from..have].iter().position(|c| *c == b'\n') {
            if let Some(m) = parse(&text[from..from + len]) {
                if at < m.start {
                    return None;
                }
                if at < m.end {
                    return Some(m);
                }
            }
            from += len + 1;
        }
        text.copy_within(from..have, 0);
        kept = have - from;
    }
}

/// Parses a line of /proc/PID/maps (proc_pid_maps(5)).
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut i = 0;
    let mut number = |line: &[u8], end: u8| {
        let mut v = 0usize;
        loop {
            let c = *line.get(i)?;
            i += 1;
            if c == end {
                return Some(v);
            }
            v = v.checked_mul(16)? + (c as char).to_digit(16)? as usize;
        }
    };
    let start = number(line, b'-')?;
    let end = number(line, b' ')?;
    let rights = line.get(i..i + 4)?;
    Some(Mapping {
        start,
        end,
        read: rights[0] == b'r',
        write: rights[1] == b'w',
        execute: rights[2] == b'x',
        private: rights[3] == b'p',
        since: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let m = parse(b"7f12a000-7f12b000 r-xp 00000000 08:01 1 /bin/x").unwrap();
        assert_eq!((m.start, m.end), (0x7f12_a000, 0x7f12_b000));
        assert!(m.read && !m.write && m.execute && m.private);
        let m = parse(b"12000-13000 rw-s 00000000 00:00 0").unwrap();
        assert!(m.read && m.write && !m.execute && !m.private);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"12-"), None);
        assert_eq!(parse(b"xx-yy rw-p"), None);
    }
}
