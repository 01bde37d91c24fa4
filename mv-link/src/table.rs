//! Room for program headers.

use crate::elf::{Elf, SECTION_SIZE, SEGMENT_SIZE};
use goblin::elf::program_header::{
    PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_NULL, PT_PHDR, ProgramHeader,
};
use goblin::elf::section_header::{SHT_NOBITS, SectionHeader};

/// Program headers that are added where there is room: two to load, one for the note.
pub const ADDED: usize = 3;
/// Contents larger than this many bytes are not moved out of the way.
const UNIT_MAX: u64 = 4096;

/// How program headers for the added segments are had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// The bytes behind the table are free for [`ADDED`] more.
    Extended,
    /// This entry goes, and one segment, R+X, has everything. There is no entry for the note, which has a section.
    Replaced(usize),
    /// One entry is added as under [`Table::Replaced`], over contents that move into the new segment.
    Vacated(Vec<Unit>),
    /// The table moves to the start of the first new segment.
    Moved,
}

/// Contents of the file that move: the interpreter's name or notes, which are only found through program headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// File offset.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl Unit {
    /// Whether `size` bytes at file offset `offset` lie in this.
    pub fn contains(&self, offset: u64, size: u64) -> bool {
        offset >= self.offset && offset + size <= self.offset + self.size
    }

    fn overlaps(&self, offset: u64, size: u64) -> bool {
        size != 0 && offset < self.offset + self.size && offset + size > self.offset
    }
}

impl Table {
    /// The first way that works.
    pub fn choose(elf: &Elf, input: &[u8]) -> Table {
        // Without sections nothing tells which bytes are free, nor where a note is that no segment names.
        if elf.sections.is_empty() {
            return Table::Moved;
        }
        if room(elf, input, ADDED).is_some_and(|units| units.is_empty()) {
            return Table::Extended;
        }
        // GNU ld gives .note.gnu.property a PT_NOTE beside its PT_GNU_PROPERTY, with the same contents.
        let properties = elf.segments.iter().find(|s| s.p_type == PT_GNU_PROPERTY);
        let same = |s: &ProgramHeader| {
            properties.is_some_and(|p| (p.p_offset, p.p_filesz) == (s.p_offset, s.p_filesz))
        };
        let redundant = |s: &ProgramHeader| s.p_type == PT_NULL || s.p_type == PT_NOTE && same(s);
        if let Some(i) = elf.segments.iter().position(redundant) {
            return Table::Replaced(i);
        }
        room(elf, input, 1).map_or(Table::Moved, Table::Vacated)
    }
}

/// Whether `count` more program headers fit behind the table if some contents move away: which.
fn room(elf: &Elf, input: &[u8], count: usize) -> Option<Vec<Unit>> {
    let start = elf.header.e_phoff;
    let end = start + (elf.segments.len() * SEGMENT_SIZE) as u64;
    let wanted = Unit {
        offset: end,
        size: (count * SEGMENT_SIZE) as u64,
    };
    let new_end = wanted.offset + wanted.size;
    // The whole table must be in memory, where AT_PHDR points to it.
    let covers = |s: &ProgramHeader| {
        s.p_type == PT_LOAD && s.p_offset <= start && s.p_offset + s.p_filesz >= new_end
    };
    if !elf.segments.iter().any(covers) {
        return None;
    }
    let mut units: Vec<Unit> = Vec::new();
    for s in &elf.segments {
        let unit = Unit {
            offset: s.p_offset,
            size: s.p_filesz,
        };
        let movable = matches!(s.p_type, PT_INTERP | PT_NOTE) && unit.size <= UNIT_MAX;
        if movable && wanted.overlaps(unit.offset, unit.size) && !units.contains(&unit) {
            if units.iter().any(|u| u.overlaps(unit.offset, unit.size)) {
                return None;
            }
            units.push(unit);
        }
    }
    // What overlaps must be in one of the units as a whole, and no unit may tear anything apart.
    let fits = |offset: u64, size: u64| {
        units.iter().any(|u| u.contains(offset, size))
            || !wanted.overlaps(offset, size) && !units.iter().any(|u| u.overlaps(offset, size))
    };
    let sections = elf.sections.iter().skip(1);
    let good_section = |s: &SectionHeader| s.sh_type == SHT_NOBITS || fits(s.sh_offset, s.sh_size);
    let good_segment = |s: &ProgramHeader| {
        let whole =
            s.p_type == PT_LOAD && s.p_offset <= start && s.p_offset + s.p_filesz >= new_end;
        whole || s.p_type == PT_PHDR || fits(s.p_offset, s.p_filesz)
    };
    if !sections.into_iter().all(good_section) || !elf.segments.iter().all(good_segment) {
        return None;
    }
    // A copy of the section headers goes to the end of the file: their old place is free. All else must be padding.
    let headers = Unit {
        offset: elf.header.e_shoff,
        size: (elf.sections.len() * SECTION_SIZE) as u64,
    };
    let free = |at: u64| headers.contains(at, 1) || units.iter().any(|u| u.contains(at, 1));
    let bytes = input.get(end as usize..new_end as usize)?;
    let padding = (end..).zip(bytes).all(|(at, &b)| b == 0 || free(at));
    padding.then_some(units)
}
