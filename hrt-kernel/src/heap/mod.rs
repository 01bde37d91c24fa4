//! The kernel's heap: small objects by size class through caches of the threads, larger ones by slices of segments, huge ones by
//! mappings of their own.
//!
//! The machine gives memory and the caller's identity ([`Machine`]); everything else is here. A thread's [`Cache`] is touched by that
//! thread alone and without a lock. No lock is taken while another is held: so a fork can take them all, in any order.

pub mod classes;
pub mod lock;
pub mod segment;

use classes::CLASSES;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use lock::Lock;
use segment::{FREE, LARGE, LARGE_MAX, Object, PAGE, SEGMENT, SLICE, SLICES, Segment, Slice};

/// Bits of an address (x86-64, four levels).
const ADDRESS_BITS: u32 = 47;
/// Words of [`Heap::owned`]: a bit for each segment that there may be.
pub const OWNED_WORDS: usize = (1 << (ADDRESS_BITS - SEGMENT.trailing_zeros())) / 64;
/// Dirty slices that are always kept (16 MiB); beyond, a quarter of those in use.
const KEPT: usize = 256;
/// Batches of each class that wait as they are for the next thread that wants one.
const UNITS: usize = 8;
/// Huge objects' mappings that are kept for the next one, and the bytes that they may have together.
const SPARE: usize = 8;
const SPARE_BYTES: usize = 64 << 20;
/// Segments that are looked through for slices before a new one is mapped.
const LOOKED_AT: usize = 64;
/// The largest object: as malloc(3) has it, a difference of pointers must be able to hold it.
pub const SIZE_MAX: usize = isize::MAX as usize;

/// What the heap asks of the machine.
pub trait Machine {
    /// Maps `size` bytes, zeroed, so that the byte at `offset` is aligned to `align`.
    fn map(&self, size: usize, align: usize, offset: usize) -> Option<usize>;
    /// Unmaps them.
    ///
    /// # Safety
    /// Nothing may use that memory any more.
    unsafe fn unmap(&self, at: usize, size: usize);
    /// Gives the memory back for a time: it reads as zero from then on. False if it does not.
    ///
    /// # Safety
    /// Its contents must not be needed.
    unsafe fn purge(&self, at: usize, size: usize) -> bool;
    /// Makes a mapping of `old` bytes one of `new`, in place.
    ///
    /// # Safety
    /// The mapping must be one of [`Machine::map`]'s, and what goes must not be used.
    unsafe fn resize(&self, at: usize, old: usize, new: usize) -> bool;
    /// Moves a mapping of `old` bytes to another place where it has `new`, aligned to a segment.
    ///
    /// # Safety
    /// As for [`Machine::unmap`], where that succeeds.
    unsafe fn relocate(&self, at: usize, old: usize, new: usize) -> Option<usize>;
    /// A number other than 0 that no other thread has.
    fn me(&self) -> usize;
    /// Lets another thread go on that holds a lock.
    fn wait(&self);
}

/// Free objects of one class.
#[repr(C)]
struct List {
    head: *mut Object,
    count: u32,
    reserved: u32,
}

/// A thread's free objects. All zero is an empty one.
#[repr(C, align(64))]
pub struct Cache {
    lists: [List; CLASSES],
}

/// The free objects of one class.
#[repr(C, align(64))]
struct Central {
    lock: Lock,
    /// The spans that have some.
    spans: *mut Slice,
    /// Batches that a thread has given back; the last ones are null.
    units: [*mut Object; UNITS],
}

impl Central {
    fn put_unit(&mut self, unit: *mut Object) -> bool {
        let place = self.units.iter_mut().find(|u| u.is_null());
        place.map(|p| *p = unit).is_some()
    }

    fn take_unit(&mut self) -> *mut Object {
        let last = self.units.iter_mut().rev().find(|u| !u.is_null());
        last.map_or(null_mut(), |u| core::mem::replace(u, null_mut()))
    }
}

/// The mapping of a huge object that was freed; 0 bytes: none.
#[repr(C)]
#[derive(Clone, Copy)]
struct Spare {
    start: usize,
    size: usize,
}

/// The segments with slices.
#[repr(C, align(64))]
struct Pages {
    lock: Lock,
    segments: *mut Segment,
    /// Slices in use.
    used: usize,
    /// Slices that are free and dirty.
    dirty: usize,
    /// Segments with no slice in use.
    empty: usize,
    /// The latest is the first.
    spare: [Spare; SPARE],
}

/// See the module. All zero is a new one, but for [`Heap::set_owned`].
#[repr(C)]
pub struct Heap {
    owned: AtomicUsize,
    pages: Pages,
    centrals: [Central; CLASSES],
}

// SAFETY: what the pointers lead to belongs to the holder of the lock beside them.
unsafe impl Sync for Heap {}

/// Memory that was had, and whether it is known to be zero.
struct Had {
    at: usize,
    zero: bool,
}

impl Heap {
    /// Gives the heap its bit map: [`OWNED_WORDS`] words, zeroed.
    ///
    /// # Safety
    /// They must be the heap's alone, for ever. To be called once, before anything else.
    pub unsafe fn set_owned(&self, words: *mut AtomicU64) {
        self.owned.store(words as usize, Ordering::Relaxed);
    }

    fn owned_word(&self, segment: usize) -> (&AtomicU64, u64) {
        let n = segment / SEGMENT;
        let words = self.owned.load(Ordering::Relaxed) as *const AtomicU64;
        // SAFETY: `set_owned`'s promise; the callers have looked at the number of address bits.
        (unsafe { &*words.add(n / 64) }, 1 << (n % 64))
    }

    /// The segment of `p`, if that is an object of this heap.
    fn segment_of(&self, p: *mut u8) -> Option<*mut Segment> {
        let at = (p as usize).wrapping_sub(1);
        if at >> ADDRESS_BITS != 0 {
            return None;
        }
        let (word, bit) = self.owned_word(at);
        (word.load(Ordering::Relaxed) & bit != 0).then(|| segment::of(p as usize))
    }

    fn own(&self, segment: usize, yes: bool) {
        let (word, bit) = self.owned_word(segment);
        if yes {
            word.fetch_or(bit, Ordering::Relaxed);
        } else {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// An object of at least `size` bytes, aligned to 16; null if there is no memory.
    #[inline]
    pub fn allocate(&self, m: &impl Machine, cache: *mut Cache, size: usize) -> *mut u8 {
        if size > classes::SMALL_MAX {
            return self.larger(m, size, 16).at as *mut u8;
        }
        self.small(m, cache, classes::of(size))
    }

    #[inline]
    fn small(&self, m: &impl Machine, cache: *mut Cache, class: usize) -> *mut u8 {
        if !cache.is_null() {
            // SAFETY: the cache is the calling thread's; what is in its lists are free objects.
            unsafe {
                let list = &mut (*cache).lists[class];
                let object = list.head;
                if !object.is_null() {
                    list.head = (*object).next;
                    list.count -= 1;
                    return object.cast();
                }
            }
        }
        self.refill(m, cache, class)
    }

    /// As [`Heap::allocate`], and all bytes are 0.
    pub fn allocate_zeroed(&self, m: &impl Machine, cache: *mut Cache, size: usize) -> *mut u8 {
        let (p, zero) = if size > classes::SMALL_MAX {
            let had = self.larger(m, size, 16);
            (had.at as *mut u8, had.zero)
        } else {
            (self.small(m, cache, classes::of(size)), false)
        };
        if !p.is_null() && !zero {
            // SAFETY: an object of at least `size` bytes, just had.
            unsafe { p.write_bytes(0, size) };
        }
        p
    }

    /// As [`Heap::allocate`], aligned to `align`, a power of two.
    pub fn allocate_aligned(
        &self,
        m: &impl Machine,
        cache: *mut Cache,
        align: usize,
        size: usize,
    ) -> *mut u8 {
        if align <= 16 {
            return self.allocate(m, cache, size);
        }
        let whole = size.max(1).checked_next_multiple_of(align);
        match whole.filter(|w| *w <= classes::SMALL_MAX) {
            Some(_) => self.small(m, cache, classes::aligned(size, align)),
            None => self.larger(m, size, align).at as *mut u8,
        }
    }

    /// Bytes that may be used at `p`; `None` if that is no object of this heap.
    #[must_use]
    pub fn usable(&self, p: *mut u8) -> Option<usize> {
        let segment = self.segment_of(p)?;
        // SAFETY: a segment of ours, whose object the caller has.
        unsafe {
            if (*segment).huge_start != 0 {
                return Some((*segment).huge_start + (*segment).huge_size - p as usize);
            }
            let slice = segment::slice(segment, p as usize);
            Some(match (*slice).kind {
                LARGE => usize::from((*slice).count) * SLICE,
                class => classes::size(usize::from(class)),
            })
        }
    }

    /// Frees `p`; false, with nothing done, if that is no object of this heap.
    ///
    /// # Safety
    /// An object of this heap must be in use, and not be used any more.
    #[inline]
    pub unsafe fn free(&self, m: &impl Machine, cache: *mut Cache, p: *mut u8) -> bool {
        let Some(segment) = self.segment_of(p) else {
            return false;
        };
        // SAFETY: a segment of ours, whose object the caller gives back; the cache is the calling thread's.
        unsafe {
            if (*segment).huge_start != 0 {
                self.free_huge(m, segment);
                return true;
            }
            let slice = segment::slice(segment, p as usize);
            let kind = (*slice).kind;
            if kind == LARGE {
                self.give_slices(m, slice);
                return true;
            }
            let class = usize::from(kind);
            let object = p.cast::<Object>();
            if cache.is_null() {
                (*object).next = null_mut();
                self.give_back(m, class, object);
                return true;
            }
            let list = &mut (*cache).lists[class];
            (*object).next = list.head;
            list.head = object;
            list.count += 1;
            if list.count > 2 * classes::batch(class) {
                self.drain(m, list, class, classes::batch(class));
            }
        }
        true
    }

    /// Makes an object of another size of one of this heap, with the same contents as far as they fit; null if there is no memory, and
    /// then nothing has changed.
    ///
    /// # Safety
    /// `p` must be an object of this heap; if the result is not null it is used no more.
    pub unsafe fn reallocate(
        &self,
        m: &impl Machine,
        cache: *mut Cache,
        p: *mut u8,
        size: usize,
    ) -> *mut u8 {
        let (Some(segment), Some(usable)) = (self.segment_of(p), self.usable(p)) else {
            return null_mut();
        };
        if size <= usable && size >= usable / 2 {
            return p;
        }
        // SAFETY: the caller's promise.
        unsafe {
            if (*segment).huge_start != 0 && size > LARGE_MAX {
                let moved = self.resize_huge(m, segment, p, size);
                if !moved.is_null() {
                    return moved;
                }
            }
            let new = self.allocate(m, cache, size);
            if !new.is_null() {
                new.copy_from_nonoverlapping(p, size.min(usable));
                self.free(m, cache, p);
            }
            new
        }
    }

    /// Gives all objects of a cache back, as its thread ends.
    ///
    /// # Safety
    /// No thread may use the cache meanwhile.
    pub unsafe fn empty(&self, m: &impl Machine, cache: *mut Cache) {
        for class in 0..CLASSES {
            // SAFETY: the caller's promise.
            unsafe {
                let list = &mut (*cache).lists[class];
                let count = list.count;
                self.drain(m, list, class, count);
            }
        }
    }

    /// Takes all locks, for a fork; those that the caller holds already are left to it. Returns a bit for each one taken.
    #[must_use]
    pub fn lock_all(&self, m: &impl Machine) -> u64 {
        let me = m.me();
        let mut taken = 0;
        for (i, lock) in self.locks().enumerate() {
            if lock.take(me, || m.wait()) {
                taken |= 1 << i;
            }
        }
        taken
    }

    /// Gives the locks back that [`Heap::lock_all`] has taken.
    pub fn unlock_all(&self, taken: u64) {
        for (i, lock) in self.locks().enumerate() {
            if taken >> i & 1 != 0 {
                lock.give();
            }
        }
    }

    fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.centrals
            .iter()
            .map(|c| &c.lock)
            .chain([&self.pages.lock])
    }

    // ---- Small objects ----

    /// Gets a batch of objects of `class`: one for the caller, the others for the cache.
    #[cold]
    #[inline(never)]
    fn refill(&self, m: &impl Machine, cache: *mut Cache, class: usize) -> *mut u8 {
        let wanted = if cache.is_null() {
            1
        } else {
            classes::batch(class)
        };
        let me = m.me();
        let central = self.central(class);
        let mut list = List {
            head: null_mut(),
            count: 0,
            reserved: 0,
        };
        // SAFETY: the spans of a class belong to whoever holds its lock.
        unsafe {
            if !(*central).lock.take(me, || m.wait()) {
                // A signal handler has interrupted this very code.
                return self.huge(m, classes::size(class), 16).at as *mut u8;
            }
            if wanted > 1 || classes::batch(class) == 1 {
                list.head = (*central).take_unit();
            }
            if list.head.is_null() {
                take_objects(central, class, wanted, &mut list);
            } else {
                list.count = classes::batch(class);
            }
            (*central).lock.give();
            if list.count == 0 {
                let Some(slice) = self.take_slices(m, 1).0 else {
                    return null_mut();
                };
                segment::make_span(slice, class);
                if !(*central).lock.take(me, || m.wait()) {
                    return null_mut();
                }
                link(central, slice);
                take_objects(central, class, wanted, &mut list);
                (*central).lock.give();
            }
            let object = list.head;
            if object.is_null() {
                return null_mut();
            }
            if let Some(cache) = cache.as_mut() {
                // Nothing but a signal handler can have filled it since.
                if cache.lists[class].head.is_null() {
                    cache.lists[class].head = (*object).next;
                    cache.lists[class].count = list.count - 1;
                } else {
                    self.give_back(m, class, (*object).next);
                }
            }
            object.cast()
        }
    }

    fn central(&self, class: usize) -> *mut Central {
        (&raw const self.centrals[class]).cast_mut()
    }

    /// Takes `count` objects out of a list and gives them back.
    ///
    /// # Safety
    /// The list must be the caller's alone.
    #[cold]
    #[inline(never)]
    unsafe fn drain(&self, m: &impl Machine, list: &mut List, class: usize, count: u32) {
        // SAFETY: the caller's promise; a list has as many objects as it says.
        unsafe {
            let first = list.head;
            if count == 0 || first.is_null() {
                return;
            }
            let mut last = first;
            let mut n = 1;
            while n < count && !(*last).next.is_null() {
                last = (*last).next;
                n += 1;
            }
            list.head = (*last).next;
            list.count -= n;
            (*last).next = null_mut();
            if n == classes::batch(class) {
                let central = self.central(class);
                if !(*central).lock.take(m.me(), || m.wait()) {
                    return;
                }
                let kept = (*central).put_unit(first);
                (*central).lock.give();
                if kept {
                    return;
                }
            }
            self.give_back(m, class, first);
        }
    }

    /// Gives a chain of objects of `class` back to their spans, and spans without objects in use to their segments.
    ///
    /// # Safety
    /// The objects must be free, and the caller's alone.
    unsafe fn give_back(&self, m: &impl Machine, class: usize, mut object: *mut Object) {
        let central = self.central(class);
        let mut empty: *mut Slice = null_mut();
        // SAFETY: the spans of a class belong to whoever holds its lock; the objects are the caller's.
        unsafe {
            if !(*central).lock.take(m.me(), || m.wait()) {
                // A signal handler has interrupted this very code: they are lost.
                return;
            }
            while !object.is_null() {
                let next = (*object).next;
                let slice = segment::slice(segment::of(object as usize), object as usize);
                let full = (*slice).free.is_null() && (*slice).made == (*slice).capacity;
                (*object).next = (*slice).free;
                (*slice).free = object;
                (*slice).used -= 1;
                if full {
                    link(central, slice);
                }
                let alone = (*slice).next.is_null() && (*slice).prev.is_null();
                if (*slice).used == 0 && !alone {
                    unlink(central, slice);
                    (*slice).next = empty;
                    empty = slice;
                }
                object = next;
            }
            (*central).lock.give();
            while !empty.is_null() {
                let next = (*empty).next;
                self.give_slices(m, empty);
                empty = next;
            }
        }
    }

    // ---- Slices ----

    fn pages(&self) -> *mut Pages {
        (&raw const self.pages).cast_mut()
    }

    /// Takes `count` slices in a row; true if their memory is zero.
    fn take_slices(&self, m: &impl Machine, count: usize) -> (Option<*mut Slice>, bool) {
        let pages = self.pages();
        let me = m.me();
        // SAFETY: pages and segments belong to whoever holds the lock.
        unsafe {
            if !(*pages).lock.take(me, || m.wait()) {
                return (None, false);
            }
            if let Some((slice, zero)) = find_slices(pages, count) {
                (*pages).lock.give();
                return (Some(slice), zero);
            }
            (*pages).lock.give();
            // Mapped without the lock; another thread may do the same, which does no harm.
            let Some(at) = m.map(SEGMENT, SEGMENT, 0) else {
                return (None, false);
            };
            let segment = at as *mut Segment;
            for slice in &mut (*segment).slices {
                slice.kind = FREE;
            }
            (*segment).used = 1;
            (*segment).dirty = 1;
            self.own(at, true);
            if !(*pages).lock.take(me, || m.wait()) {
                self.own(at, false);
                m.unmap(at, SEGMENT);
                return (None, false);
            }
            (*segment).next = (*pages).segments;
            if let Some(next) = (*segment).next.as_mut() {
                next.prev = segment;
            }
            (*pages).segments = segment;
            (*pages).empty += 1;
            let found = find_slices(pages, count);
            (*pages).lock.give();
            match found {
                Some((slice, zero)) => (Some(slice), zero),
                None => (None, false),
            }
        }
    }

    /// Gives the slices of a span back.
    ///
    /// # Safety
    /// The span must be the caller's alone, without objects in use.
    unsafe fn give_slices(&self, m: &impl Machine, slice: *mut Slice) {
        let pages = self.pages();
        let me = m.me();
        let at = segment::memory(slice);
        let segment = segment::of(at + 1);
        // SAFETY: the caller's promise; pages and segments belong to whoever holds the lock.
        unsafe {
            let count = usize::from((*slice).count);
            let index = (at - segment as usize) / SLICE;
            let mask = mask(index, count);
            let size = count * SLICE;
            if !(*pages).lock.take(me, || m.wait()) {
                return;
            }
            let much = (*pages).dirty + count > KEPT.max((*pages).used / 4);
            (*pages).lock.give();
            let purged = much && m.purge(at, size);
            if !(*pages).lock.take(me, || m.wait()) {
                return;
            }
            (*slice).kind = FREE;
            (*segment).used &= !mask;
            (*pages).used -= count;
            if purged {
                (*segment).dirty &= !mask;
            } else {
                (*segment).dirty |= mask;
                (*pages).dirty += count;
            }
            let mut gone = false;
            if (*segment).used == 1 {
                (*pages).empty += 1;
                // One is kept, and more while there is little that is dirty.
                gone = (*pages).empty > 1 && (*pages).dirty > KEPT / 2;
                if gone {
                    (*pages).empty -= 1;
                    (*pages).dirty -= ((*segment).dirty & !1).count_ones() as usize;
                    if let Some(next) = (*segment).next.as_mut() {
                        next.prev = (*segment).prev;
                    }
                    match (*segment).prev.as_mut() {
                        Some(prev) => prev.next = (*segment).next,
                        None => (*pages).segments = (*segment).next,
                    }
                }
            }
            (*pages).lock.give();
            if gone {
                self.own(segment as usize, false);
                m.unmap(segment as usize, SEGMENT);
            }
        }
    }

    /// An object that is too large for a class, or aligned to more than one has; its address is 0 if there is no memory.
    fn larger(&self, m: &impl Machine, size: usize, align: usize) -> Had {
        const NONE: Had = Had { at: 0, zero: false };
        if size > SIZE_MAX || align > SIZE_MAX {
            return NONE;
        }
        if size > LARGE_MAX || align > SLICE {
            return self.huge(m, size, align);
        }
        let count = size.max(1).div_ceil(SLICE);
        let (Some(slice), zero) = self.take_slices(m, count) else {
            return NONE;
        };
        // SAFETY: the slices are ours.
        unsafe {
            (*slice).kind = LARGE;
            (*slice).count = count as u8;
        }
        Had {
            at: segment::memory(slice),
            zero,
        }
    }

    // ---- Huge objects ----

    /// Maps an object of its own.
    fn huge(&self, m: &impl Machine, size: usize, align: usize) -> Had {
        const NONE: Had = Had { at: 0, zero: false };
        // The header is at the start of the segment of the byte before the object.
        let before = if align >= SEGMENT {
            SEGMENT
        } else {
            align.max(PAGE)
        };
        let Some(total) = size
            .max(1)
            .checked_add(before)
            .and_then(|t| t.checked_next_multiple_of(PAGE))
        else {
            return NONE;
        };
        if before == PAGE {
            if let Some(spare) = self.take_spare(m, total) {
                let segment = spare.start as *mut Segment;
                // SAFETY: the mapping is ours now; it is as another object has left it.
                unsafe {
                    (*segment).huge_start = spare.start;
                    (*segment).huge_size = spare.size;
                }
                self.own(spare.start, true);
                return Had {
                    at: spare.start + before,
                    zero: false,
                };
            }
        }
        let place = if align > SEGMENT {
            m.map(total, align, before)
        } else {
            m.map(total, SEGMENT, 0)
        };
        let Some(start) = place else { return NONE };
        let segment = start as *mut Segment;
        // SAFETY: a new mapping, zeroed.
        unsafe {
            (*segment).huge_start = start;
            (*segment).huge_size = total;
        }
        self.own(start, true);
        Had {
            at: start + before,
            zero: true,
        }
    }

    /// # Safety
    /// The segment must be a huge one, whose object is not used any more.
    #[cold]
    unsafe fn free_huge(&self, m: &impl Machine, segment: *mut Segment) {
        // SAFETY: the caller's promise.
        unsafe {
            let (start, size) = ((*segment).huge_start, (*segment).huge_size);
            self.own(start, false);
            for old in self.put_spare(m, Spare { start, size }) {
                if old.size != 0 {
                    m.unmap(old.start, old.size);
                }
            }
        }
    }

    /// Keeps a mapping; returns those that are too much now.
    fn put_spare(&self, m: &impl Machine, new: Spare) -> [Spare; SPARE] {
        let mut gone = [NO_SPARE; SPARE];
        gone[0] = new;
        let pages = self.pages();
        // SAFETY: the pages belong to whoever holds the lock.
        unsafe {
            if new.size > SPARE_BYTES / 2 || !(*pages).lock.take(m.me(), || m.wait()) {
                return gone;
            }
            let spare = &mut (*pages).spare;
            gone[0] = spare[SPARE - 1];
            spare.copy_within(..SPARE - 1, 1);
            spare[0] = new;
            let mut bytes = 0;
            for (i, place) in spare.iter_mut().enumerate() {
                bytes += place.size;
                if i > 0 && bytes > SPARE_BYTES {
                    gone[i] = core::mem::replace(place, NO_SPARE);
                }
            }
            (*pages).lock.give();
        }
        gone
    }

    /// A kept mapping of `size` bytes or not much more.
    fn take_spare(&self, m: &impl Machine, size: usize) -> Option<Spare> {
        let pages = self.pages();
        // SAFETY: the pages belong to whoever holds the lock.
        unsafe {
            if !(*pages).lock.take(m.me(), || m.wait()) {
                return None;
            }
            let spare = &mut (*pages).spare;
            let fits = |s: &&mut Spare| s.size >= size && s.size - size <= size / 4;
            let best = spare.iter_mut().filter(fits).min_by_key(|s| s.size);
            let found = best.map(|s| core::mem::replace(s, NO_SPARE));
            (*pages).lock.give();
            found
        }
    }

    /// # Safety
    /// `p` must be the object of a huge segment, and not be used any more if the result is not null.
    #[cold]
    unsafe fn resize_huge(
        &self,
        m: &impl Machine,
        segment: *mut Segment,
        p: *mut u8,
        size: usize,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            let (start, old) = ((*segment).huge_start, (*segment).huge_size);
            let before = p as usize - start;
            let Some(new) = size
                .checked_add(before)
                .and_then(|t| t.checked_next_multiple_of(PAGE))
                .filter(|_| size <= SIZE_MAX)
            else {
                return null_mut();
            };
            if m.resize(start, old, new) {
                (*segment).huge_size = new;
                return p;
            }
            self.own(start, false);
            let Some(to) = m.relocate(start, old, new) else {
                self.own(start, true);
                return null_mut();
            };
            let segment = to as *mut Segment;
            (*segment).huge_start = to;
            (*segment).huge_size = new;
            self.own(to, true);
            (to + before) as *mut u8
        }
    }
}

const NO_SPARE: Spare = Spare { start: 0, size: 0 };

fn mask(index: usize, count: usize) -> u64 {
    let ones = if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    };
    ones << index
}

/// Finds `count` free slices in a row and takes them.
///
/// # Safety
/// The lock of the pages must be held.
unsafe fn find_slices(pages: *mut Pages, count: usize) -> Option<(*mut Slice, bool)> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut segment = (*pages).segments;
        let mut looked = 0;
        while !segment.is_null() && (looked < LOOKED_AT || count == 1) {
            let fit = segment::fit((*segment).used, count);
            if fit != 0 {
                let index = fit.trailing_zeros() as usize;
                let zero = (*segment).dirty & fit == 0;
                if (*segment).used == 1 {
                    (*pages).empty -= 1;
                }
                (*pages).used += count;
                (*pages).dirty -= ((*segment).dirty & fit).count_ones() as usize;
                (*segment).used |= fit;
                (*segment).dirty |= fit;
                let slice = (&raw mut (*segment).slices).cast::<Slice>().add(index);
                (*slice).count = count as u8;
                return Some((slice, zero));
            }
            segment = (*segment).next;
            looked += 1;
        }
        None
    }
}

/// Moves up to `wanted` objects of `class` from its spans to `list`.
///
/// # Safety
/// The lock of `central` must be held.
unsafe fn take_objects(central: *mut Central, class: usize, wanted: u32, list: &mut List) {
    // SAFETY: the caller's promise.
    unsafe {
        while list.count < wanted && !(*central).spans.is_null() {
            let span = (*central).spans;
            let object = if !(*span).free.is_null() {
                let object = (*span).free;
                (*span).free = (*object).next;
                object
            } else {
                let at = segment::memory(span) + (*span).made as usize * classes::size(class);
                (*span).made += 1;
                at as *mut Object
            };
            (*span).used += 1;
            (*object).next = list.head;
            list.head = object;
            list.count += 1;
            if (*span).free.is_null() && (*span).made == (*span).capacity {
                unlink(central, span);
            }
        }
    }
}

/// # Safety
/// The lock of `central` must be held, and the span in no list.
unsafe fn link(central: *mut Central, span: *mut Slice) {
    // SAFETY: the caller's promise.
    unsafe {
        (*span).prev = null_mut();
        (*span).next = (*central).spans;
        if let Some(next) = (*span).next.as_mut() {
            next.prev = span;
        }
        (*central).spans = span;
    }
}

/// # Safety
/// The lock of `central` must be held, and the span in its list.
unsafe fn unlink(central: *mut Central, span: *mut Slice) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(next) = (*span).next.as_mut() {
            next.prev = (*span).prev;
        }
        match (*span).prev.as_mut() {
            Some(prev) => prev.next = (*span).next,
            None => (*central).spans = (*span).next,
        }
        (*span).next = null_mut();
        (*span).prev = null_mut();
    }
}

// The segments' sizes are what the bit map and the masks are made for.
const _: () = assert!(SLICES == 64 && SEGMENT.is_power_of_two());

#[cfg(test)]
mod tests;
