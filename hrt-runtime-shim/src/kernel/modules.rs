//! The executable mappings whose code may be patched: file-backed, private, not writable. Found at start through the
//! program headers and ld.so's list of objects, and then as the program maps and unmaps.

use super::slots::{self, Guard};
use crate::raw::{map, prot};
use crate::start::{Start, at};
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
    let lock = slots::lock();
    let end = start.saturating_add(len);
    if remove(start, end, &lock) {
        slots::forget(start, end, &lock);
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

#[repr(C)]
struct Phdr {
    p_type: u32,
    p_flags: u32,
    p_offset: usize,
    p_vaddr: usize,
    p_paddr: usize,
    p_filesz: usize,
    p_memsz: usize,
    p_align: usize,
}
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;

/// Adds the executable segments that the program headers at `phdr` describe; returns the address of the dynamic
/// section.
///
/// # Safety
/// `phdr` must point to `count` program headers of an object loaded at `bias`.
unsafe fn add_object(phdr: *const Phdr, count: usize, bias: usize, lock: &Guard) -> Option<usize> {
    let mut dynamic = None;
    for i in 0..count {
        // SAFETY: the caller's promise.
        let p = unsafe { &*phdr.add(i) };
        if p.p_type == PT_DYNAMIC {
            dynamic = Some(bias.wrapping_add(p.p_vaddr));
        }
        // Executable and not writable.
        if p.p_type == PT_LOAD && p.p_flags & 3 == 1 {
            let start = bias.wrapping_add(p.p_vaddr);
            add(start, start.wrapping_add(p.p_memsz), lock);
        }
    }
    dynamic
}

/// [`add_object`] for an object whose ELF header is mapped at `base`, if one is.
///
/// # Safety
/// `base` must be readable memory of at least a page.
unsafe fn add_at(base: usize, lock: &Guard) {
    // SAFETY: the caller's promise; ELF64 header fields (System V gABI, "ELF Header").
    unsafe {
        if (base as *const [u8; 4]).read() != *b"\x7fELF" {
            return;
        }
        let phoff = ((base + 32) as *const usize).read();
        let phnum = ((base + 56) as *const u16).read();
        if phoff + usize::from(phnum) * size_of::<Phdr>() > 4096 {
            return;
        }
        let phdr = (base + phoff) as *const Phdr;
        // The bias: objects are linked at 0 but for old prelinked ones.
        let first = (0..usize::from(phnum))
            .map(|i| &*phdr.add(i))
            .find(|p| p.p_type == PT_LOAD);
        let bias = base.wrapping_sub(first.map_or(0, |p| p.p_vaddr));
        add_object(phdr, usize::from(phnum), bias, lock);
    }
}

/// Registers what is mapped at start: the program, the vdso, ld.so and the libraries it has loaded.
pub fn init(start: &Start, lock: &Guard) {
    let (Some(phdr), Some(count)) = (start.aux(at::PHDR), start.aux(at::PHNUM)) else {
        return;
    };
    if phdr == 0 {
        return; // the headers are in no segment
    }
    let headers = phdr as *const Phdr;
    // SAFETY: AT_PHDR and AT_PHNUM describe the program's headers (getauxval(3)); ld.so's r_debug and link_map are as
    // <link.h> says, and complete, since ld.so has finished.
    unsafe {
        let list = || (0..count).map(|i| &*headers.add(i));
        let bias = if let Some(p) = list().find(|p| p.p_type == PT_PHDR) {
            phdr.wrapping_sub(p.p_vaddr)
        } else if let Some(p) = list().find(|p| p.p_type == PT_LOAD && p.p_offset == 0) {
            // No PT_PHDR: the headers follow the ELF header, in the segment that starts the file.
            phdr.wrapping_sub(64).wrapping_sub(p.p_vaddr)
        } else {
            return;
        };
        let dynamic = add_object(headers, count, bias, lock);
        if let Some(vdso) = start.aux(at::SYSINFO_EHDR) {
            add_at(vdso, lock);
        }
        if start.aux(at::BASE).unwrap_or(0) == 0 {
            return; // static: there is no list of objects
        }
        let Some(mut d) = dynamic else { return };
        const DT_NULL: usize = 0;
        const DT_DEBUG: usize = 21;
        let mut debug = 0usize;
        loop {
            let [tag, value] = (d as *const [usize; 2]).read();
            match tag {
                DT_NULL => break,
                DT_DEBUG => debug = value,
                _ => {}
            }
            d += 16;
        }
        if debug == 0 {
            return;
        }
        // struct r_debug { int r_version; struct link_map *r_map; … }
        let mut map = ((debug + 8) as *const usize).read();
        // struct link_map { ElfW(Addr) l_addr; char *l_name; ElfW(Dyn) *l_ld; struct link_map *l_next, *l_prev; }
        let mut first = true;
        while map != 0 {
            let base = (map as *const usize).read();
            // The first is the program itself, and the vdso is known already.
            if !first && base != 0 && Some(base) != start.aux(at::SYSINFO_EHDR) {
                add_at(base, lock);
            }
            first = false;
            map = ((map + 24) as *const usize).read();
        }
    }
}
