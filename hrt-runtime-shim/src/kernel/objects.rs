//! The ELF objects of the process: the program, the vdso, and what ld.so has loaded; their symbols and relocations
//! (System V gABI, "Dynamic Section", "Hash Table"; `DT_GNU_HASH` as in glibc).

use crate::start::{Start, at, c_str};
use core::sync::atomic::{AtomicUsize, Ordering};

/// A program header.
#[repr(C)]
#[allow(missing_docs)]
pub struct Phdr {
    pub p_type: u32,
    pub p_flags: u32,
    pub p_offset: usize,
    pub p_vaddr: usize,
    pub p_paddr: usize,
    pub p_filesz: usize,
    pub p_memsz: usize,
    pub p_align: usize,
}

/// `p_type`s.
#[allow(missing_docs)]
pub mod pt {
    pub const LOAD: u32 = 1;
    pub const DYNAMIC: u32 = 2;
    pub const GNU_RELRO: u32 = 0x6474_e552;
}

/// Tags of the dynamic section.
mod dt {
    pub const NULL: usize = 0;
    pub const PLTRELSZ: usize = 2;
    pub const HASH: usize = 4;
    pub const STRTAB: usize = 5;
    pub const SYMTAB: usize = 6;
    pub const RELA: usize = 7;
    pub const RELASZ: usize = 8;
    pub const DEBUG: usize = 21;
    pub const JMPREL: usize = 23;
    pub const GNU_HASH: usize = 0x6fff_fef5;
    pub const VERSYM: usize = 0x6fff_fff0;
}

/// What is added to the program's own link-time addresses. Its headers do not tell: they may have been moved.
pub static BIAS: AtomicUsize = AtomicUsize::new(0);

/// A loaded object.
#[derive(Clone, Copy)]
pub struct Object {
    /// What is added to its link-time addresses.
    pub bias: usize,
    /// Its program headers.
    pub headers: &'static [Phdr],
}

impl Object {
    /// The program itself; `None` if its headers are in no segment.
    #[must_use]
    pub fn program(start: &Start) -> Option<Object> {
        let (phdr, count) = (start.aux(at::PHDR)?, start.aux(at::PHNUM)?);
        if phdr == 0 {
            return None;
        }
        // SAFETY: AT_PHDR and AT_PHNUM describe the program's headers (getauxval(3)).
        let headers = unsafe { core::slice::from_raw_parts(phdr as *const Phdr, count) };
        let bias = BIAS.load(Ordering::Relaxed);
        Some(Object { bias, headers })
    }

    /// The object whose ELF header is mapped at `base`, if one is.
    ///
    /// # Safety
    /// `base` must be readable memory of at least a page, for ever.
    #[must_use]
    pub unsafe fn at(base: usize) -> Option<Object> {
        // SAFETY: the caller's promise; ELF64 header fields (System V gABI, "ELF Header").
        unsafe {
            if (base as *const [u8; 4]).read() != *b"\x7fELF" {
                return None;
            }
            let phoff = ((base + 32) as *const usize).read();
            let phnum = usize::from(((base + 56) as *const u16).read());
            if phoff + phnum * size_of::<Phdr>() > 4096 {
                return None;
            }
            let headers = core::slice::from_raw_parts((base + phoff) as *const Phdr, phnum);
            // Objects are linked at 0 but for old prelinked ones.
            let first = headers.iter().find(|p| p.p_type == pt::LOAD);
            let bias = base.wrapping_sub(first.map_or(0, |p| p.p_vaddr));
            Some(Object { bias, headers })
        }
    }

    /// The vdso, if Linux gives one.
    #[must_use]
    pub fn vdso(start: &Start) -> Option<Object> {
        let base = start.aux(at::SYSINFO_EHDR)?;
        // SAFETY: Linux has mapped the vdso there (vdso(7)).
        unsafe { Object::at(base) }
    }

    fn dynamic(&self) -> Option<usize> {
        let p = self.headers.iter().find(|p| p.p_type == pt::DYNAMIC)?;
        Some(self.bias.wrapping_add(p.p_vaddr))
    }

    /// The value of a tag of the dynamic section.
    fn tag(&self, tag: usize) -> Option<usize> {
        let mut d = self.dynamic()?;
        // SAFETY: the dynamic section of a loaded object, which ends with DT_NULL.
        unsafe {
            loop {
                let [t, value] = (d as *const [usize; 2]).read();
                match t {
                    dt::NULL => return None,
                    t if t == tag => return Some(value),
                    _ => d += 16,
                }
            }
        }
    }

    /// The address that a tag says: ld.so may have added the bias to it, or not.
    fn address(&self, tag: usize) -> Option<usize> {
        let value = self.tag(tag)?;
        Some(if value < self.bias {
            value + self.bias
        } else {
            value
        })
    }

    /// True if `addr` is made read-only once the object is relocated.
    #[must_use]
    pub fn relro(&self, addr: usize) -> bool {
        self.headers.iter().any(|p| {
            let start = self.bias.wrapping_add(p.p_vaddr);
            p.p_type == pt::GNU_RELRO && (start..start + p.p_memsz).contains(&addr)
        })
    }

    /// Its dynamic symbols, if it has any.
    #[must_use]
    pub fn symbols(&self) -> Option<Symbols> {
        Some(Symbols {
            bias: self.bias,
            table: self.address(dt::SYMTAB)?,
            strings: self.address(dt::STRTAB)?,
            versions: self.address(dt::VERSYM),
            gnu_hash: self.address(dt::GNU_HASH),
            hash: self.address(dt::HASH),
        })
    }

    /// Calls `each` with all relocations that have an addend.
    pub fn relocations(&self, mut each: impl FnMut(&Rela)) {
        for (table, size) in [(dt::RELA, dt::RELASZ), (dt::JMPREL, dt::PLTRELSZ)] {
            if let (Some(table), Some(size)) = (self.address(table), self.tag(size)) {
                for i in 0..size / size_of::<Rela>() {
                    // SAFETY: a table of a loaded object, with its size.
                    each(unsafe { &*(table as *const Rela).add(i) });
                }
            }
        }
    }
}

/// ld.so's account of what it has loaded: `struct r_debug` of <link.h>; `None` in a static program.
#[derive(Clone, Copy)]
pub struct Loader {
    debug: usize,
    vdso: usize,
}

impl Loader {
    /// That of this process.
    #[must_use]
    pub fn of(start: &Start) -> Option<Loader> {
        // AT_BASE is of no use: it is 0 where ld.so was started by hand, with the program as its argument.
        let debug = Object::program(start)?.tag(dt::DEBUG).filter(|d| *d != 0)?;
        let vdso = start.aux(at::SYSINFO_EHDR).unwrap_or(0);
        Some(Loader { debug, vdso })
    }

    /// The address of the function that ld.so calls whenever that has changed.
    #[must_use]
    pub fn hook(self) -> usize {
        // struct r_debug { int r_version; struct link_map *r_map; ElfW(Addr) r_brk; … }
        // SAFETY: as <link.h> says.
        unsafe { ((self.debug + 16) as *const usize).read() }
    }

    /// The libraries, in ld.so's order.
    pub fn libraries(self) -> impl Iterator<Item = Object> {
        // struct link_map { ElfW(Addr) l_addr; char *l_name; ElfW(Dyn) *l_ld; struct link_map *l_next, *l_prev; }
        // SAFETY: as <link.h> says; whole, since ld.so has finished or holds its lock.
        let word = |at: usize| unsafe { (at as *const usize).read() };
        let first = word(self.debug + 8);
        // The first is the program itself.
        let mut map = if first == 0 { 0 } else { word(first + 24) };
        core::iter::from_fn(move || {
            while map != 0 {
                let base = word(map);
                map = word(map + 24);
                if base != 0 && base != self.vdso {
                    // SAFETY: ld.so has mapped the object there, its ELF header first.
                    if let Some(object) = unsafe { Object::at(base) } {
                        return Some(object);
                    }
                }
            }
            None
        })
    }
}

/// The objects that ld.so has loaded, in its order, the program first; the program alone if it is static.
pub fn loaded(start: &Start) -> impl Iterator<Item = Object> {
    let libraries = Loader::of(start).into_iter().flat_map(Loader::libraries);
    Object::program(start).into_iter().chain(libraries)
}

/// A relocation.
#[repr(C)]
#[allow(missing_docs)]
pub struct Rela {
    pub offset: usize,
    pub info: u64,
    pub addend: i64,
}

/// Types of relocations (x86-64 psABI).
#[allow(missing_docs)]
pub mod reloc {
    pub const ABSOLUTE: u32 = 1;
    pub const GLOB_DAT: u32 = 6;
    pub const JUMP_SLOT: u32 = 7;
    pub const IRELATIVE: u32 = 37;
}

/// `Elf64_Sym`.
#[repr(C)]
struct Sym {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

/// A function found by name; at address 0: none.
#[derive(Clone, Copy)]
pub struct Found {
    /// Its address, or its resolver's.
    pub address: usize,
    /// Bytes that it, or its resolver, has.
    pub size: usize,
    /// It has a resolver (STT_GNU_IFUNC).
    pub indirect: bool,
}

impl Found {
    /// None.
    pub const NONE: Found = Found {
        address: 0,
        size: 0,
        indirect: false,
    };
}

/// An object's dynamic symbols.
pub struct Symbols {
    bias: usize,
    table: usize,
    strings: usize,
    versions: Option<usize>,
    gnu_hash: Option<usize>,
    hash: Option<usize>,
}

impl Symbols {
    /// The name of symbol `index`.
    #[must_use]
    pub fn name(&self, index: usize) -> &'static [u8] {
        // SAFETY: the object's tables, which are mapped as long as it is.
        unsafe {
            let sym = &*(self.table as *const Sym).add(index);
            c_str((self.strings + sym.name as usize) as *const u8)
        }
    }

    /// The function called `name` that the object exports in its default version.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<Found> {
        // SAFETY: the object's tables; chains end as the formats say.
        unsafe {
            if let Some(table) = self.gnu_hash {
                let hash = name.iter().fold(5381u32, |h, c| {
                    h.wrapping_mul(33).wrapping_add(u32::from(*c))
                });
                let head = table as *const u32;
                let (buckets, first, bloom) = (head.read(), head.add(1).read(), head.add(2).read());
                if buckets == 0 {
                    return None;
                }
                let bucket = head.add(4 + 2 * bloom as usize);
                let chain = bucket.add(buckets as usize);
                let mut i = bucket.add((hash % buckets) as usize).read();
                while i >= first {
                    let h = chain.add((i - first) as usize).read();
                    if h | 1 == hash | 1 {
                        if let Some(found) = self.exported(i as usize, name) {
                            return Some(found);
                        }
                    }
                    if h & 1 != 0 {
                        return None;
                    }
                    i += 1;
                }
                return None;
            }
            let head = self.hash? as *const u32;
            let hash = name.iter().fold(0u32, |h, c| {
                let h = (h << 4).wrapping_add(u32::from(*c));
                let high = h & 0xf000_0000;
                (h ^ high >> 24) & !high
            });
            let buckets = head.read();
            if buckets == 0 {
                return None;
            }
            let chain = head.add(2 + buckets as usize);
            let mut i = head.add(2 + (hash % buckets) as usize).read();
            while i != 0 {
                if let Some(found) = self.exported(i as usize, name) {
                    return Some(found);
                }
                i = chain.add(i as usize).read();
            }
            None
        }
    }

    /// Symbol `index`, if it is a function called `name` that others may use.
    fn exported(&self, index: usize, name: &[u8]) -> Option<Found> {
        const FUNC: u8 = 2;
        const GNU_IFUNC: u8 = 10;
        const HIDDEN: u16 = 0x8000;
        // SAFETY: the object's tables.
        unsafe {
            let sym = &*(self.table as *const Sym).add(index);
            let kind = sym.info & 15;
            let version = self
                .versions
                .map_or(1, |v| (v as *const u16).add(index).read());
            let fine = sym.section != 0
                && [1, 2].contains(&(sym.info >> 4))
                && [FUNC, GNU_IFUNC].contains(&kind)
                && version & HIDDEN == 0
                && self.name(index) == name;
            fine.then(|| Found {
                address: self.bias.wrapping_add(sym.value),
                size: sym.size,
                indirect: kind == GNU_IFUNC,
            })
        }
    }
}
