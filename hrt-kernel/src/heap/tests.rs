//! The heap on a machine of Linux threads.

use super::*;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

struct Host;

/// The bytes that are mapped now.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
/// Only one test counts them at a time.
static ONE: Mutex<()> = Mutex::new(());

/// What is mapped is counted for the whole process: so one test at a time.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
static REFUSE: AtomicBool = AtomicBool::new(false);

fn mmap(at: usize, size: usize, flags: i32) -> usize {
    // SAFETY: a new mapping, or one in the place of the caller's own.
    unsafe {
        libc::mmap(
            at as *mut libc::c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags,
            -1,
            0,
        ) as usize
    }
}

impl Machine for Host {
    fn map(&self, size: usize, align: usize, offset: usize) -> Option<usize> {
        if REFUSE.load(Ordering::Relaxed) {
            return None;
        }
        let whole = size.checked_add(align)?;
        let at = mmap(0, whole, 0);
        if at == libc::MAP_FAILED as usize {
            return None;
        }
        let start = (at + offset).next_multiple_of(align) - offset;
        // SAFETY: what is left over of our own mapping.
        unsafe {
            libc::munmap(at as *mut libc::c_void, start - at);
            libc::munmap(
                (start + size) as *mut libc::c_void,
                at + whole - start - size,
            );
        }
        MAPPED.fetch_add(size, Ordering::Relaxed);
        Some(start)
    }
    unsafe fn unmap(&self, at: usize, size: usize) {
        MAPPED.fetch_sub(size, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        assert_eq!(unsafe { libc::munmap(at as *mut libc::c_void, size) }, 0);
    }
    unsafe fn purge(&self, at: usize, size: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { libc::madvise(at as *mut libc::c_void, size, libc::MADV_DONTNEED) == 0 }
    }
    unsafe fn resize(&self, at: usize, old: usize, new: usize) -> bool {
        // SAFETY: the caller's promise.
        let r = unsafe { libc::mremap(at as *mut libc::c_void, old, new, 0) };
        if r != libc::MAP_FAILED {
            MAPPED.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
        }
        r != libc::MAP_FAILED
    }
    unsafe fn relocate(&self, at: usize, old: usize, new: usize) -> Option<usize> {
        let to = self.map(new, SEGMENT, 0)?;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: the caller's promise, and our own new mapping.
        let r = unsafe { libc::mremap(at as *mut libc::c_void, old, new, flags, to) };
        assert_ne!(r, libc::MAP_FAILED);
        MAPPED.fetch_sub(old, Ordering::Relaxed);
        Some(to)
    }
    fn me(&self) -> usize {
        // SAFETY: changes nothing.
        unsafe { libc::gettid() as usize }
    }
    fn wait(&self) {
        std::thread::yield_now();
    }
}

fn heap() -> &'static Heap {
    // SAFETY: all zero is a new one.
    let heap: &'static Heap = Box::leak(Box::new(unsafe { core::mem::zeroed() }));
    // SAFETY: ours, of that size, zeroed.
    unsafe { heap.set_owned(mmap(0, OWNED_WORDS * 8, 0) as *mut AtomicU64) };
    heap
}

fn cache() -> Box<Cache> {
    // SAFETY: all zero is an empty one.
    Box::new(unsafe { core::mem::zeroed() })
}

struct Random(u64);
impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
    fn size(&mut self) -> usize {
        match self.next(100) {
            0..70 => self.next(300),
            70..90 => self.next(40_000),
            90..98 => self.next(600_000),
            _ => self.next(12_000_000),
        }
    }
}

fn fill(p: *mut u8, size: usize, byte: u8) {
    // The ends are enough to see objects that overlap.
    for i in (0..size.min(64)).chain(size.saturating_sub(64)..size) {
        // SAFETY: within the object.
        unsafe { p.add(i).write(byte) };
    }
}

fn check(p: *mut u8, size: usize, byte: u8) {
    for i in (0..size.min(64)).chain(size.saturating_sub(64)..size) {
        // SAFETY: within the object.
        assert_eq!(unsafe { p.add(i).read() }, byte);
    }
}

/// `turns` operations; objects come from and go to other threads through `shared`.
fn churn(h: &Heap, seed: u64, turns: usize, shared: &Mutex<Vec<(usize, usize, u8)>>) {
    let mut c = cache();
    let c = &raw mut *c;
    let mut random = Random(seed);
    let mut mine: Vec<(usize, usize, u8)> = Vec::new();
    for _ in 0..turns {
        let (size, byte) = (random.size(), random.next(255) as u8 + 1);
        match random.next(8) {
            0..3 => {
                let p = h.allocate(&Host, c, size);
                assert!(!p.is_null() && (p as usize).is_multiple_of(16));
                assert!(h.usable(p).expect("ours") >= size);
                fill(p, size, byte);
                mine.push((p as usize, size, byte));
            }
            3 => {
                let p = h.allocate_zeroed(&Host, c, size);
                check(p, size, 0);
                fill(p, size, byte);
                mine.push((p as usize, size, byte));
            }
            4 => {
                let align = 1 << random.next(24);
                let p = h.allocate_aligned(&Host, c, align, size);
                assert!((p as usize).is_multiple_of(align) && !p.is_null());
                assert!(h.usable(p).expect("ours") >= size);
                fill(p, size, byte);
                mine.push((p as usize, size, byte));
            }
            5 if !mine.is_empty() => {
                let i = random.next(mine.len());
                let (p, old, byte) = mine[i];
                // SAFETY: an object of ours.
                let new = unsafe { h.reallocate(&Host, c, p as *mut u8, size) };
                assert!(!new.is_null());
                check(new, old.min(size).min(64), byte);
                fill(new, size, byte);
                mine[i] = (new as usize, size, byte);
            }
            6 if !mine.is_empty() => {
                let object = mine.swap_remove(random.next(mine.len()));
                shared.lock().expect("lock").push(object);
            }
            _ => {
                let object = shared.lock().expect("lock").pop().or_else(|| mine.pop());
                if let Some((p, size, byte)) = object {
                    check(p as *mut u8, size, byte);
                    // SAFETY: an object of ours.
                    assert!(unsafe { h.free(&Host, c, p as *mut u8) });
                }
            }
        }
        if mine.len() > 400 {
            let (p, size, byte) = mine.swap_remove(random.next(400));
            check(p as *mut u8, size, byte);
            // SAFETY: an object of ours.
            assert!(unsafe { h.free(&Host, c, p as *mut u8) });
        }
    }
    for (p, size, byte) in mine {
        check(p as *mut u8, size, byte);
        // SAFETY: an object of ours.
        assert!(unsafe { h.free(&Host, c, p as *mut u8) });
    }
    // SAFETY: this thread's own.
    unsafe { h.empty(&Host, c) };
}

#[test]
fn many_threads() {
    let _one = alone();
    let before = MAPPED.load(Ordering::Relaxed);
    let h = heap();
    let shared = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for seed in 1..5 {
            let shared = &shared;
            s.spawn(move || churn(h, seed * 0x9e37_79b9, 20_000, shared));
        }
    });
    for (p, ..) in shared.into_inner().expect("lock") {
        // SAFETY: an object of ours; without a cache.
        assert!(unsafe { h.free(&Host, null_mut(), p as *mut u8) });
    }
    // Without the batches that wait, nothing is in use but one span of each class; little is kept.
    for class in 0..CLASSES {
        loop {
            // SAFETY: the batch is nobody's any more.
            let unit = unsafe { (*h.central(class)).take_unit() };
            if unit.is_null() {
                break;
            }
            // SAFETY: as above.
            unsafe { h.give_back(&Host, class, unit) };
        }
    }
    assert!(h.pages.used <= CLASSES, "{}", h.pages.used);
    assert!(h.pages.dirty <= KEPT);
    let kept = MAPPED.load(Ordering::Relaxed) - before;
    assert!(kept <= 192 << 20, "{kept}");
}

#[test]
fn objects_are_apart() {
    let _one = alone();
    let h = heap();
    let mut c = cache();
    let c = &raw mut *c;
    let mut seen: HashMap<usize, usize> = HashMap::new();
    for class in 0..CLASSES {
        for _ in 0..300 {
            let p = h.allocate(&Host, c, classes::size(class)) as usize;
            seen.insert(p, classes::size(class));
        }
    }
    let mut all: Vec<(usize, usize)> = seen.into_iter().collect();
    all.sort_unstable();
    assert_eq!(all.len(), CLASSES * 300);
    for w in all.windows(2) {
        assert!(w[0].0 + w[0].1 <= w[1].0);
    }
}

#[test]
fn strangers_are_known() {
    let _one = alone();
    let h = heap();
    let local = 0u64;
    for p in [
        (&raw const local) as *mut u8,
        usize::MAX as *mut u8,
        16 as *mut u8,
        null_mut(),
    ] {
        assert_eq!(h.usable(p), None);
        // SAFETY: none of the heap's, so that nothing is done.
        assert!(!unsafe { h.free(&Host, null_mut(), p) });
    }
}

#[test]
fn no_memory() {
    let _one = alone();
    let h = heap();
    let mut c = cache();
    let c = &raw mut *c;
    assert!(h.allocate(&Host, c, usize::MAX).is_null());
    assert!(h.allocate(&Host, c, SIZE_MAX).is_null());
    assert!(h.allocate_aligned(&Host, c, 1 << 62, 1 << 62).is_null());
    let p = h.allocate(&Host, c, 100_000);
    fill(p, 100_000, 7);
    REFUSE.store(true, Ordering::Relaxed);
    assert!(h.allocate(&Host, c, 5 << 20).is_null());
    // SAFETY: an object of ours.
    assert!(unsafe { h.reallocate(&Host, c, p, 5 << 20) }.is_null());
    REFUSE.store(false, Ordering::Relaxed);
    check(p, 100_000, 7);
}

#[test]
fn whoever_holds_the_locks_gets_memory_all_the_same() {
    let _one = alone();
    let h = heap();
    let taken = h.lock_all(&Host);
    assert_eq!(taken.count_ones() as usize, CLASSES + 1);
    // As a signal handler would that interrupts the heap.
    let p = h.allocate(&Host, null_mut(), 10);
    assert!(!p.is_null());
    // SAFETY: an object of ours.
    assert!(unsafe { h.free(&Host, null_mut(), p) });
    assert_eq!(h.lock_all(&Host), 0);
    h.unlock_all(taken);
    assert!(!h.allocate(&Host, null_mut(), 10).is_null());
}
