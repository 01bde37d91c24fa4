//! Huge pages: whether they pay here and now.
//!
//! A huge page is made zero at its first touch, which takes about a fifth of what its small pages take. But in a virtual machine whose host
//! takes free memory back (Linux, `mm/page_reporting.c`: only blocks as large as huge pages are reported) it may be the first touch of
//! memory that the host has to find: then it takes 25 times as long, and small pages, which come from blocks in use, are cheaper. So the time is
//! taken when one is touched, an account is kept of what was gained and lost, and for a while none are asked for once that is overdrawn.

use super::CONFINED;
use crate::raw::{self, map, nr, prot};
use core::ops::Range;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use hrt_kernel::arena::{HUGE, PAGE};

/// Advice of madvise(2): the content is not needed any more.
pub const MADV_DONTNEED: usize = 4;
const MADV_FREE: usize = 8;
const MADV_HUGEPAGE: usize = 14;
const MADV_NOHUGEPAGE: usize = 15;
const MADV_POPULATE_WRITE: usize = 23;
/// Nanoseconds of the thread's time that the small pages in a huge one's place would take; a huge one took 170,000 or 4,500,000.
const SMALL: i64 = 850_000;
/// Nanoseconds that may be lost, and that can be saved up against a loss.
const ACCOUNT: core::ops::RangeInclusive<i64> = -3_000_000..=40_000_000;
/// Nanoseconds for which a verdict holds.
const HOLDS: u64 = 1_000_000_000;

/// When it was dear last, by the monotonic clock; 0: never.
static WAS_DEAR: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds gained by huge pages since then.
static GAINED: AtomicI64 = AtomicI64::new(0);
/// When one was touched last; 0: never.
static TRIED: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    const CLOCK_MONOTONIC_COARSE: usize = 6;
    raw::clock(CLOCK_MONOTONIC_COARSE).max(1)
}

fn recent(at: &AtomicU64) -> bool {
    let at = at.load(Ordering::Relaxed);
    at != 0 && now().wrapping_sub(at) < HOLDS
}

fn madvise(range: &Range<usize>, advice: usize) -> isize {
    // SAFETY: none of the advice used here changes content that anybody has.
    unsafe { raw::syscall4(nr::MADVISE, range.start, range.len(), advice, 0) }
}

/// Asks for huge pages; it is no harm if Linux has none.
pub fn advise(range: Range<usize>) {
    if !range.is_empty() {
        madvise(&range, MADV_HUGEPAGE);
    }
}

/// Asks for small pages.
pub fn refuse(range: Range<usize>) {
    if !range.is_empty() {
        madvise(&range, MADV_NOHUGEPAGE);
    }
}

/// Touches the huge page at `at`, which is mapped and new. False if huge pages have become dear.
pub fn populate(at: usize) -> bool {
    TRIED.store(now(), Ordering::Relaxed);
    settle(SMALL - touch(at))
}

/// Adds to the account what one has gained. False if it is overdrawn: then huge pages are dear.
fn settle(gained: i64) -> bool {
    let gained = GAINED.load(Ordering::Relaxed) + gained;
    let cheap = gained >= *ACCOUNT.start();
    // Next time, with nothing owed.
    let kept = if cheap { gained.min(*ACCOUNT.end()) } else { 0 };
    GAINED.store(kept, Ordering::Relaxed);
    WAS_DEAR.store(if cheap { 0 } else { now() }, Ordering::Relaxed);
    cheap
}

/// Touches all of a new range, so that the program need not fault page by page.
pub fn populate_small(range: &Range<usize>) {
    madvise(range, MADV_POPULATE_WRITE);
}

/// True if the page at `at` is in memory.
pub fn resident(at: usize) -> bool {
    let mut pages = [0u8; 1];
    in_memory(&(at..at + PAGE), &mut pages) && pages[0] & 1 != 0
}

/// Tells for each page of `range` if it is in memory (mincore(2)); false if that cannot be told.
fn in_memory(range: &Range<usize>, pages: &mut [u8]) -> bool {
    let to = pages.as_mut_ptr() as usize;
    // SAFETY: writes a byte for each page, of which there are as many as that.
    let r = unsafe { raw::syscall4(nr::MINCORE, range.start, range.len(), to, 0) };
    r == 0
}

/// Makes `range`, private anonymous memory that the program can write, zero as MADV_DONTNEED does, but its pages stay where they are until
/// Linux needs them. False if nothing was done, since it is not that or little of it is in memory.
pub fn zero(range: &Range<usize>) -> bool {
    let mut resident = [0u8; 1024];
    let step = resident.len() * PAGE;
    let parts = || {
        (range.start..range.end)
            .step_by(step)
            .map(|at| at..range.end.min(at + step))
    };
    let mut used = 0;
    for part in parts() {
        let pages = &mut resident[..part.len() / PAGE];
        if !in_memory(&part, pages) {
            return false;
        }
        used += pages.iter().filter(|b| **b & 1 != 0).count();
    }
    // Linux refuses the advice for memory that is anything else, or locked.
    if used < range.len() / PAGE / 8 * 7 || madvise(range, MADV_FREE) != 0 {
        return false;
    }
    for part in parts() {
        let pages = &mut resident[..part.len() / PAGE];
        in_memory(&part, pages);
        wipe(&part, pages);
    }
    madvise(range, MADV_FREE);
    true
}

/// Makes `range`, which is mapped to be written and whose content nobody needs, zero; `pages` says what of it is in memory.
fn wipe(range: &Range<usize>, pages: &[u8]) {
    let mut at = range.start;
    for same in pages.chunk_by(|a, b| (a ^ b) & 1 == 0) {
        let len = same.len() * PAGE;
        if same[0] & 1 != 0 {
            // SAFETY: the caller's word.
            unsafe { core::ptr::write_bytes(at as *mut u8, 0, len) };
        } else {
            // It may be elsewhere (swap).
            madvise(&(at..at + len), MADV_DONTNEED);
        }
        at += len;
    }
}

/// Makes a stack that is mapped to be written and that nobody needs zero, and leaves it the pages at its top. False if it has used so many
/// that it had better be unmapped; then nothing is done.
pub fn wipe_stack(range: &Range<usize>) -> bool {
    const MOST: usize = 64;
    let mut resident = [0u8; 256];
    let top = range
        .start
        .max(range.end.saturating_sub(resident.len() * PAGE))..range.end;
    let pages = &mut resident[..top.len() / PAGE];
    if !in_memory(&top, pages) || pages.iter().filter(|b| **b & 1 != 0).count() > MOST {
        return false;
    }
    wipe(&top, pages);
    if range.start < top.start {
        madvise(&(range.start..top.start), MADV_DONTNEED);
    }
    true
}

/// True if samples of what [`zero`] has made zero still are.
pub fn looks_unused(range: &Range<usize>) -> bool {
    const SAMPLES: usize = 16;
    let step = (range.len() / SAMPLES).next_multiple_of(PAGE);
    // SAFETY: the caller says that it is mapped; whatever another thread writes there meanwhile, eight bytes are read.
    let sample = |at: usize| unsafe { (at as *const u64).read_volatile() };
    range.clone().step_by(step).all(|at| sample(at) == 0)
}

/// Has Linux take what of `range` nobody has written since [`zero`].
pub fn reclaim(range: &Range<usize>) {
    const MADV_PAGEOUT: usize = 21;
    madvise(range, MADV_PAGEOUT);
}

/// True if a program that has got `range` has used nearly all of it: then it will do so with the next one.
pub fn filled(range: &Range<usize>) -> bool {
    const LEAST: usize = 64 << 10;
    let mut resident = [0u8; 1024];
    let pages = range.len() / PAGE;
    if range.len() < LEAST || pages > resident.len() {
        return false;
    }
    let known = in_memory(range, &mut resident[..pages]);
    let used = resident[..pages].iter().filter(|b| **b & 1 != 0).count();
    known && used >= pages - pages / 8
}

/// True if huge pages were dear a short while ago.
pub fn dear() -> bool {
    recent(&WAS_DEAR)
}

/// True if some `bytes` of huge pages, which the program is going to touch, will be dear: that is tried with a part of them, if it was
/// not tried a short while ago.
pub fn will_be_dear(bytes: usize) -> bool {
    const MOST: usize = 4;
    let pages = (bytes / HUGE / 4).clamp(1, MOST);
    if !recent(&TRIED) {
        let now = now();
        TRIED.store(now, Ordering::Relaxed);
        if try_some(pages) < pages {
            WAS_DEAR.store(now, Ordering::Relaxed);
        }
    }
    dear()
}

/// How many of the next `bytes` bytes would be cheap in huge pages: those are the ones that Linux gives out next, since they were in use
/// a moment ago. If there are few, none are looked for in a while.
pub fn warm(bytes: usize) -> usize {
    const LEAST: usize = 4;
    let pages = bytes / HUGE;
    if pages < LEAST || dear() {
        return 0;
    }
    let found = try_some(pages.min(MOST_TRIED));
    if found < LEAST {
        WAS_DEAR.store(now(), Ordering::Relaxed);
        return 0;
    }
    found * HUGE
}

/// Huge pages that are tried at most.
const MOST_TRIED: usize = 64;

/// Touches so many huge pages, up to one that is dear, which is a loss, and gives them back; how many were cheap.
fn try_some(pages: usize) -> usize {
    if CONFINED.load(Ordering::Relaxed) {
        return 0;
    }
    let size = (pages + 1) * HUGE;
    let kind = map::PRIVATE | map::ANONYMOUS;
    let rights = prot::READ | prot::WRITE;
    // SAFETY: a new mapping disturbs nobody, and nobody else knows it.
    unsafe {
        let r = raw::syscall6(nr::MMAP, [0, size, rights, kind, usize::MAX, 0]);
        if raw::is_err(r) {
            return 0;
        }
        let at = r as usize;
        advise(at..at + size);
        let first = at.next_multiple_of(HUGE);
        // Those in use a moment ago come first.
        let mut cheap = 0;
        while cheap < pages {
            let took = touch(first + cheap * HUGE);
            if took >= SMALL {
                settle(SMALL - took);
                break;
            }
            cheap += 1;
        }
        raw::syscall4(nr::MUNMAP, at, size, 0, 0);
        cheap
    }
}

/// Touches the huge page at `at`, which is mapped and new; the nanoseconds of the thread's that this took.
fn touch(at: usize) -> i64 {
    const CLOCK_THREAD_CPUTIME_ID: usize = 3;
    let start = raw::clock(CLOCK_THREAD_CPUTIME_ID);
    madvise(&(at..at + PAGE), MADV_POPULATE_WRITE);
    raw::clock(CLOCK_THREAD_CPUTIME_ID).wrapping_sub(start) as i64
}
