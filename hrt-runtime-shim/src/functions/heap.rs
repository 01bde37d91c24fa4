//! The heap as kernel functions, with the meaning that malloc(3), posix_memalign(3) and malloc_usable_size(3) of the GNU C library have.
//!
//! The heap's state and the threads' caches lie in memory that the program may write, since on `kvm` these functions run in the guest;
//! a thread finds its cache through its block. What is not of this heap, because the legacy functions gave it before the overrides were
//! in place, is never freed, and is copied when it is to change its size.

use super::set_errno;
use crate::kernel::CONFINED;
use crate::kernel::block::{self, Block};
use crate::kernel::spin::Spin;
use crate::raw::{self, errno, map, nr, prot};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::heap::segment::SEGMENT;
use hrt_kernel::heap::{Cache, Heap, Machine, OWNED_WORDS};

/// The kernel functions that need [`prepare`].
pub const NAMES: &[&str] = &[
    "hrt_malloc",
    "hrt_free",
    "hrt_calloc",
    "hrt_realloc",
    "hrt_reallocarray",
    "hrt_memalign",
    "hrt_posix_memalign",
    "hrt_valloc",
    "hrt_pvalloc",
    "hrt_malloc_usable_size",
];

const PAGE: usize = 4096;
/// Bytes for caches that are mapped at once.
const CACHES: usize = 64 * 1024;
/// Bytes of the bit map.
const OWNED: usize = OWNED_WORDS * 8;

/// All that is written while the program runs; all zero is a new one.
#[repr(C)]
struct State {
    heap: Heap,
    /// Where the last mapping was made: the next one is tried below.
    hint: AtomicUsize,
}

/// The heap's [`State`]; 0: it is not in use.
static STATE: AtomicUsize = AtomicUsize::new(0);
/// Guards the caches that no block has yet: where the next one is, and where they end.
static LOCK: Spin = Spin::new();
static NEXT: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

fn state() -> Option<&'static State> {
    // SAFETY: mapped for ever, and shared as the heap says.
    unsafe { (STATE.load(Ordering::Acquire) as *const State).as_ref() }
}

fn mmap(at: usize, size: usize, rights: usize, more: usize) -> Option<usize> {
    let kind = map::PRIVATE | map::ANONYMOUS | more;
    // SAFETY: a new mapping that replaces nothing disturbs nobody.
    let r = unsafe { raw::syscall6(nr::MMAP, [at, size, rights, kind, usize::MAX, 0]) };
    (!raw::is_err(r)).then_some(r as usize)
}

/// Makes the heap ready, once; false if there is no memory for it.
pub fn prepare() -> bool {
    const NORESERVE: usize = 0x4000;
    let lock = LOCK.take();
    if STATE.load(Ordering::Relaxed) == 0 {
        let size = size_of::<State>().next_multiple_of(PAGE);
        let whole = size + OWNED;
        let Some(at) = mmap(0, whole, prot::READ | prot::WRITE, NORESERVE) else {
            return false;
        };
        let state = at as *const State;
        // SAFETY: the new mapping, zeroed; the bit map follows the state.
        unsafe { (*state).heap.set_owned((at + size) as *mut AtomicU64) };
        STATE.store(at, Ordering::Release);
    }
    drop(lock);
    for b in block::all() {
        give_cache(b);
    }
    true
}

/// Gives a block its cache, if the heap is in use and it has none.
pub fn give_cache(b: *mut Block) {
    if STATE.load(Ordering::Relaxed) == 0 {
        return;
    }
    let _lock = LOCK.take();
    // SAFETY: blocks are mapped for ever; the field is written under the lock only.
    unsafe {
        if (*b).cache != 0 {
            return;
        }
        let mut next = NEXT.load(Ordering::Relaxed);
        if next == END.load(Ordering::Relaxed) {
            // Without a cache a thread uses the shared lists.
            let Some(at) = mmap(0, CACHES, prot::READ | prot::WRITE, 0) else {
                return;
            };
            next = at;
            END.store(
                at + CACHES / size_of::<Cache>() * size_of::<Cache>(),
                Ordering::Relaxed,
            );
        }
        NEXT.store(next + size_of::<Cache>(), Ordering::Relaxed);
        (*b).cache = next;
    }
}

/// The thread of block `b` ends: what its cache holds is for the others.
pub fn thread_ends(b: *mut Block) {
    // SAFETY: the calling thread's own block; it executes nothing of the program any more.
    unsafe {
        if let (Some(state), cache @ 1..) = (state(), (*b).cache) {
            state.heap.empty(&Here, cache as *mut Cache);
        }
    }
}

/// Takes the heap's locks for a fork, so that the child's copy is whole.
#[must_use]
pub fn before_fork() -> u64 {
    state().map_or(0, |s| s.heap.lock_all(&Here))
}

/// Gives them back, in parent and child. In the child `mine` is the only block in use: the caches of others may be half changed, and
/// what they hold is lost.
pub fn after_fork(taken: u64, mine: Option<*mut Block>) {
    let Some(state) = state() else { return };
    state.heap.unlock_all(taken);
    if let Some(mine) = mine {
        for b in block::all() {
            // SAFETY: blocks are mapped for ever, caches too; no other thread exists.
            unsafe {
                if b != mine && (*b).cache != 0 {
                    ((*b).cache as *mut Cache).write_bytes(0, 1);
                }
            }
        }
    }
}

/// The machine that the heap runs on: this process.
struct Here;

impl Machine for Here {
    fn map(&self, size: usize, align: usize, offset: usize) -> Option<usize> {
        const RIGHTS: usize = prot::READ | prot::WRITE;
        let hint = &state()?.hint;
        let good = |at: usize| at.wrapping_add(offset).is_multiple_of(align);
        let below = hint.load(Ordering::Relaxed).checked_sub(size + align);
        if let Some(below) = below.filter(|b| *b > align) {
            let at = mmap(
                (below + align + offset) / align * align - offset,
                size,
                RIGHTS,
                0,
            )?;
            if good(at) {
                hint.store(at, Ordering::Relaxed);
                return Some(at);
            }
            // SAFETY: the new mapping.
            unsafe { unmap(at, size) };
        }
        let whole = size.checked_add(align)?;
        let at = mmap(0, whole, RIGHTS, 0)?;
        let start = (at + offset).next_multiple_of(align) - offset;
        // SAFETY: what is left over of the new mapping.
        unsafe {
            unmap(at, start - at);
            unmap(start + size, at + whole - start - size);
        }
        hint.store(start, Ordering::Relaxed);
        Some(start)
    }

    unsafe fn unmap(&self, at: usize, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { unmap(at, size) }
    }

    unsafe fn purge(&self, at: usize, size: usize) -> bool {
        const MADVISE: usize = 28;
        const DONTNEED: usize = 4;
        // SAFETY: the caller's promise.
        unsafe { raw::syscall4(MADVISE, at, size, DONTNEED, 0) == 0 }
    }

    unsafe fn resize(&self, at: usize, old: usize, new: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { !raw::is_err(raw::syscall4(nr::MREMAP, at, old, new, 0)) }
    }

    unsafe fn relocate(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        const MAYMOVE_FIXED: usize = 3;
        let to = self.map(new, SEGMENT, 0)?;
        // SAFETY: the caller's promise, and a mapping of ours that nobody uses yet.
        unsafe {
            let args = [at, old, new, MAYMOVE_FIXED, to, 0];
            if raw::is_err(raw::syscall6(nr::MREMAP, args)) {
                unmap(to, new);
                return None;
            }
        }
        Some(to)
    }

    fn me(&self) -> usize {
        block::current() as usize
    }

    fn wait(&self) {
        if !CONFINED.load(Ordering::Relaxed) {
            // SAFETY: changes nothing.
            unsafe { raw::syscall4(nr::SCHED_YIELD, 0, 0, 0, 0) };
        }
    }
}

/// # Safety
/// Nothing may use that memory any more.
unsafe fn unmap(at: usize, size: usize) {
    if size != 0 {
        // SAFETY: the caller's promise.
        unsafe { raw::syscall4(nr::MUNMAP, at, size, 0, 0) };
    }
}

/// The heap and the calling thread's cache.
#[inline(always)]
fn here() -> (&'static Heap, *mut Cache) {
    // SAFETY: an address of one of these functions is given out only once the heap is ready; the calling thread's own block.
    unsafe {
        let state = STATE.load(Ordering::Relaxed) as *const State;
        (&(*state).heap, (*block::current()).cache as *mut Cache)
    }
}

/// The answer of the C library's functions: null comes with ENOMEM.
#[inline(always)]
fn had(p: *mut u8) -> *mut u8 {
    if p.is_null() {
        set_errno(errno::ENOMEM);
    }
    p
}

/// As malloc(3): `size` bytes, aligned to 16; NULL with ENOMEM.
pub extern "C" fn hrt_malloc(size: usize) -> *mut u8 {
    let (heap, cache) = here();
    had(heap.allocate(&Here, cache, size))
}

/// As free(3). What this heap did not give stays.
pub extern "C" fn hrt_free(p: *mut u8) {
    let (heap, cache) = here();
    // SAFETY: the program's promise.
    unsafe { heap.free(&Here, cache, p) };
}

/// As calloc(3): `count` times `size` bytes, all 0; NULL with ENOMEM.
pub extern "C" fn hrt_calloc(count: usize, size: usize) -> *mut u8 {
    let (heap, cache) = here();
    had(match count.checked_mul(size) {
        Some(all) => heap.allocate_zeroed(&Here, cache, all),
        None => null_mut(),
    })
}

/// As realloc(3), GNU: `size` 0 frees, unless `p` is NULL.
pub extern "C" fn hrt_realloc(p: *mut u8, size: usize) -> *mut u8 {
    if p.is_null() {
        return hrt_malloc(size);
    }
    let (heap, cache) = here();
    // SAFETY: the program's promise.
    unsafe {
        let Some(_) = heap.usable(p) else {
            if size == 0 {
                return null_mut();
            }
            let new = had(heap.allocate(&Here, cache, size));
            if !new.is_null() {
                new.copy_from_nonoverlapping(p, foreign_size(p).min(size));
            }
            return new;
        };
        if size == 0 {
            heap.free(&Here, cache, p);
            return null_mut();
        }
        had(heap.reallocate(&Here, cache, p, size))
    }
}

/// As reallocarray(3): realloc of `count` times `size`; ENOMEM if that overflows.
pub extern "C" fn hrt_reallocarray(p: *mut u8, count: usize, size: usize) -> *mut u8 {
    match count.checked_mul(size) {
        Some(all) => hrt_realloc(p, all),
        None => had(null_mut()),
    }
}

/// As memalign(3), GNU: an `align` that is no power of two counts as the next one. NULL with ENOMEM or EINVAL.
pub extern "C" fn hrt_memalign(align: usize, size: usize) -> *mut u8 {
    let Some(align) = align.checked_next_power_of_two() else {
        set_errno(errno::EINVAL);
        return null_mut();
    };
    let (heap, cache) = here();
    had(heap.allocate_aligned(&Here, cache, align, size))
}

/// As posix_memalign(3): stores the address at `to`. 0, EINVAL (`align` is no power of two, or no multiple of a pointer's size) or ENOMEM.
pub extern "C" fn hrt_posix_memalign(to: *mut *mut u8, align: usize, size: usize) -> i32 {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return errno::EINVAL;
    }
    let (heap, cache) = here();
    let p = heap.allocate_aligned(&Here, cache, align, size);
    if p.is_null() {
        return errno::ENOMEM;
    }
    // SAFETY: the program's promise.
    unsafe { *to = p };
    0
}

/// As valloc(3): aligned to a page.
pub extern "C" fn hrt_valloc(size: usize) -> *mut u8 {
    hrt_memalign(PAGE, size)
}

/// As pvalloc(3): whole pages, aligned to a page.
pub extern "C" fn hrt_pvalloc(size: usize) -> *mut u8 {
    match size.checked_next_multiple_of(PAGE) {
        Some(whole) => hrt_memalign(PAGE, whole),
        None => had(null_mut()),
    }
}

/// As malloc_usable_size(3): bytes that may be used at `p`; 0 for NULL.
pub extern "C" fn hrt_malloc_usable_size(p: *mut u8) -> usize {
    if p.is_null() {
        return 0;
    }
    let (heap, _) = here();
    // SAFETY: the program's promise: what is not ours is the legacy function's.
    heap.usable(p).unwrap_or_else(|| unsafe { foreign_size(p) })
}

/// Bytes that an object of the legacy malloc has, given before the overrides were in place. Only in a dynamic program there are such
/// objects, and only with glibc, whose libraries' constructors run before the program's entry point; so its chunk header tells
/// (glibc, `malloc/malloc.c`, "malloc_chunk").
///
/// # Safety
/// `p` must be such an object.
unsafe fn foreign_size(p: *mut u8) -> usize {
    // SAFETY: the caller's promise; the size field is the word before the object.
    let field = unsafe { p.cast::<usize>().sub(1).read() };
    let header = if field & 2 != 0 { 16 } else { 8 };
    (field & !7).saturating_sub(header)
}
