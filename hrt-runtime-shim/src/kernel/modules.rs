//! The executable mappings whose code may be patched: file-backed, private, not writable. Found at start through the
//! program headers and ld.so's list of objects, and then as the program maps and unmaps.

use super::objects::{self, Object, pt};
use super::slots::{self, Guard};
use crate::raw::{map, prot};
use crate::start::Start;
use core::cell::UnsafeCell;

const MAX: usize = 1024;

/// A range of code.
#[derive(Clone, Copy)]
pub struct Range {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

struct Table(UnsafeCell<([Range; MAX], usize)>);
// SAFETY: used only under the slots' lock (a `Guard` is asked for) or at start, when there is one thread.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new(([Range { start: 0, end: 0 }; MAX], 0)));

fn table(_lock: &Guard) -> &'static mut ([Range; MAX], usize) {
    // SAFETY: the lock is held, and no reference outlives a function of this module.
    unsafe { &mut *TABLE.0.get() }
}

/// Adds a range; beyond the table's size it is left out, and its sites stay unpatched.
pub fn add(start: usize, end: usize, lock: &Guard) {
    let (ranges, n) = table(lock);
    if start < end && *n < MAX {
        ranges[*n] = Range { start, end };
        *n += 1;
    }
}

/// Takes `start..end` out of all ranges; false if none touches it.
pub fn remove(start: usize, end: usize, lock: &Guard) -> bool {
    let mut found = false;
    let mut i = 0;
    loop {
        let (ranges, n) = table(lock);
        if i >= *n {
            return found;
        }
        let r = ranges[i];
        if r.end <= start || end <= r.start {
            i += 1;
            continue;
        }
        found = true;
        *n -= 1;
        ranges[i] = ranges[*n];
        // What is left of it lies outside, and so is not looked at twice.
        add(r.start, start.min(r.end), lock);
        add(end.max(r.start), r.end, lock);
    }
}

/// True if a mapping with these rights and of this kind is code that may be patched.
#[must_use]
pub fn is_code(rights: usize, kind: usize) -> bool {
    rights & (prot::EXEC | prot::WRITE) == prot::EXEC
        && kind & (map::PRIVATE | map::ANONYMOUS) == map::PRIVATE
}

/// True if code that gets these rights may not be patched any more.
#[must_use]
pub fn ends_code(rights: usize) -> bool {
    rights & prot::WRITE != 0 || rights & prot::EXEC == 0
}

/// Code has been mapped at `start`.
pub fn mapped(start: usize, len: usize) {
    let lock = slots::lock();
    let end = start.saturating_add(len).next_multiple_of(4096);
    add(start, end, &lock);
}

/// Code in this range is about to go or to become writable.
pub fn forget(start: usize, len: usize) {
    forget_with(start, len, &slots::lock());
}

/// As [`forget`], with the lock.
pub fn forget_with(start: usize, len: usize, lock: &Guard) {
    let end = start.saturating_add(len);
    if remove(start, end, lock) {
        slots::forget(start, end, lock);
    }
}

/// The range that contains `addr`.
#[must_use]
pub fn containing(addr: usize, lock: &Guard) -> Option<Range> {
    let (ranges, n) = table(lock);
    ranges[..*n]
        .iter()
        .find(|r| r.start <= addr && addr < r.end)
        .copied()
}

/// Registers what is mapped at start: the program, the vdso, ld.so and the libraries it has loaded.
pub fn init(start: &Start, lock: &Guard) {
    if Object::program(start).is_none() {
        return; // the headers are in no segment
    }
    for object in objects::loaded(start).chain(Object::vdso(start)) {
        for p in object.headers {
            // Executable and not writable.
            if p.p_type == pt::LOAD && p.p_flags & 3 == 1 {
                let start = object.bias.wrapping_add(p.p_vaddr);
                add(start, start.wrapping_add(p.p_memsz), lock);
            }
        }
    }
}
