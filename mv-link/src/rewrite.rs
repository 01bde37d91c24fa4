//! Hybridizes an executable that exists.
//!
//! All that is added goes behind the file's end, so that every offset in it stays right:
//!
//! ```text
//! original file (only its ELF header and program headers change)
//! segment R:    program headers (if they had to move), notes, payload
//! segment R+X:  stub
//! section names, section headers (copies, with ours)
//! a second copy of what followed the original ELF file, if anything did
//! ```
//!
//! Program headers for that are found in the first way that works (see [`Table`]): behind the table, where some linkers leave
//! room; in place of an entry that says nothing new; over the interpreter's name and notes, which move; or the table
//! moves into the first new segment. A moved table is fine for Linux, but not for GNU strip and objcopy, which put the table back to the front, over what lies there.
//!
//! Linux passes in `AT_PHDR` the address of the segment that holds the table since 5.18, and before that counts from
//! the first segment. A moved table satisfies both if the new segment's distance between address and offset is the
//! first segment's, which a gap in the file gives (up to [`GAP_MAX`]).

use crate::blobs::Blobs;
use crate::config_blob::Blob;
use crate::elf::{Elf, HEADER_SIZE, SECTION_SIZE, SEGMENT_SIZE};
use crate::error::{Error, Result};
use crate::note::{self, RESTORE_TYPE};
use crate::options::Config;
use crate::resolve;
use crate::restore::Restore;
use crate::table::{self, Table, Unit};
use crate::wire;
use goblin::elf::program_header::{
    PF_R, PF_X, PT_LOAD, PT_NOTE, PT_PHDR, ProgramHeader, program_header64::ProgramHeader as Phdr64,
};
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_EXECINSTR, SHT_NOBITS, SHT_NOTE, SHT_PROGBITS, SHT_STRTAB, SectionHeader,
};
use hrt_abi::{
    ABI_VERSION, FLAG_REWRITTEN, NOTE_SECTION, NOTE_TYPE, NoteDesc, PAYLOAD_SECTION,
    STUB_ENTRY_OFFSET, STUB_SECTION,
};
use object::LittleEndian as LE;
use object::elf::{FileHeader64, ProgramHeader64, SectionHeader64};
use object::pod;
use object::{U16, U32, U64};

const PAGE: u64 = 4096;
/// Largest gap in bytes (a hole, where the file system has holes) that is made for kernels before 5.18.
pub const GAP_MAX: u64 = 16 << 20;
/// End of the addresses that a program may have (x86-64, 47 bits, less room for the stack).
const ADDRESS_END: u64 = 0x7ff0_0000_0000;
/// Most sections of a table without the extension for large numbers.
const SECTIONS_MAX: usize = 0xff00;
/// Sections that are added.
const ADDED_SECTIONS: usize = 3;

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Refused(text.into()))
}

/// `value` up to the next multiple of `align`, if there is one.
fn up(value: u64, align: u64) -> Result<u64> {
    value
        .checked_next_multiple_of(align)
        .ok_or_else(|| Error::Elf("addresses are too large".into()))
}

/// A hybrid, and what became of its program headers.
#[derive(Debug)]
pub struct Rewritten {
    /// The file.
    pub bytes: Vec<u8>,
    /// Where its program headers are. If they moved, `strip` and `objcopy` will break the file.
    pub table: Table,
}

/// Makes a hybrid of the executable `input` as `config` says.
///
/// # Errors
/// [`Error::Elf`] if the input is broken or no program, [`Error::Refused`] if it is fine but cannot be, or is already, a hybrid,
/// [`Error::Config`] if an override cannot be had.
pub fn hybridize(input: &[u8], blobs: &Blobs<'_>, config: &Config) -> Result<Rewritten> {
    let options = &config.text()[..];
    let payload_header = blobs.check()?;
    let elf = Elf::parse(input)?;
    elf.require_program()?;
    let notes = elf.notes(input)?;
    if notes.iter().any(|n| n.kind == NOTE_TYPE) {
        return refuse("this is a hybrid already");
    }
    if !notes.is_empty() {
        return refuse("this has a note of a hybrid already, though of an unknown type");
    }
    if is_upx(&elf, input) {
        return refuse(
            "this is packed by UPX, whose loader relies on its own layout: unpack it first (upx -d)",
        );
    }
    let table = Table::choose(&elf, input);
    let layout = Layout::plan(&elf, input.len() as u64, &table)?;
    let names = SectionNames::read(&elf, input)?;

    // The contents of the two segments: everything has to know where the next thing is.
    let segment_count = match table {
        Table::Replaced(_) => elf.segments.len(),
        Table::Vacated(_) => elf.segments.len() + 1,
        _ => elf.segments.len() + table::ADDED,
    };
    let table_size = (segment_count * SEGMENT_SIZE) as u64;
    let moves = match &table {
        Table::Vacated(units) => place(units),
        _ => Vec::new(),
    };
    let notes_at = match &table {
        Table::Moved => table_size,
        _ => moves
            .last()
            .map_or(0, |m| m.at + m.unit.size)
            .next_multiple_of(note::ALIGN as u64),
    };
    let changed = match &table {
        Table::Moved => HEADER_SIZE,
        _ => (elf.header.e_phoff + table_size) as usize,
    };
    let restore = note::build(RESTORE_TYPE, &Restore::of(input, changed).to_bytes());
    let main_size =
        (note::DESC_OFFSET + wire::DESC_SIZE + options.len()).next_multiple_of(note::ALIGN);
    let notes_size = (main_size + restore.len()) as u64;
    let payload_at = up(notes_at + notes_size, PAGE)?;
    let mut blob = Blob::of(config);
    let config_size = blob.as_ref().map_or(0, |b| b.bytes().len());
    let (_, config_at) = blobs.payload_with(&vec![0; config_size]);
    let payload_size = config_at + config_size as u64;
    let read_size = payload_at + payload_size;
    let stub_at = up(read_size, PAGE)?;
    let stub_size = blobs.stub.len() as u64;
    let end = layout
        .vaddr
        .checked_add(stub_at + stub_size)
        .filter(|&e| e <= ADDRESS_END);
    if end.is_none() {
        return refuse("the program's own addresses leave no room behind them");
    }
    let info_vaddr = layout.vaddr + stub_at;

    let note = note::build_main(
        &NoteDesc {
            abi_version: ABI_VERSION,
            flags: FLAG_REWRITTEN,
            original_entry: elf.header.e_entry,
            info_vaddr,
            payload_vaddr: layout.vaddr + payload_at,
            payload_size: blobs.payload.len() as u64,
            payload_version: payload_header.version,
            options_size: options.len() as u32,
            reserved: 0,
        },
        options,
    );
    let mut info = wire::read_info(blobs.stub).ok_or(Error::Blob("the stub is too short"))?;
    let delta = |at: u64| (layout.vaddr + at).wrapping_sub(info_vaddr) as i64;
    info.flags = FLAG_REWRITTEN;
    info.payload_delta = delta(payload_at);
    info.payload_size = blobs.payload.len() as u64;
    info.entry_delta = elf.header.e_entry.wrapping_sub(info_vaddr) as i64;
    info.vaddr = info_vaddr;
    if !options.is_empty() {
        info.options_delta = delta(notes_at + (note::DESC_OFFSET + wire::DESC_SIZE) as u64);
        info.options_size = options.len() as u64;
    }

    let mut config_bytes = Vec::new();
    if let Some(blob) = &mut blob {
        resolve::fill(input, info_vaddr, config, blob)?;
        config_bytes = blob.bytes();
        info.config_delta = delta(payload_at + config_at);
        info.config_size = config_size as u64;
    }

    let segment = |p_type, p_flags, at: u64, size: u64, p_align| ProgramHeader {
        p_type,
        p_flags,
        p_offset: layout.offset + at,
        p_vaddr: layout.vaddr + at,
        p_paddr: layout.vaddr + at,
        p_filesz: size,
        p_memsz: size,
        p_align,
    };
    let mut segments = elf.segments.clone();
    for s in segments.iter_mut().filter(|s| s.p_type == PT_PHDR) {
        match &table {
            Table::Moved => *s = segment(PT_PHDR, s.p_flags, 0, table_size, 8),
            _ => (s.p_filesz, s.p_memsz) = (table_size, table_size),
        }
    }
    // Segments to load are sorted by address, and ours are the last.
    let after = layout.after_loads;
    if let Table::Replaced(_) | Table::Vacated(_) = table {
        let all = segment(PT_LOAD, PF_R | PF_X, 0, stub_at + stub_size, PAGE);
        segments.insert(after, all);
    } else {
        let loads = [
            segment(PT_LOAD, PF_R, 0, read_size, PAGE),
            segment(PT_LOAD, PF_R | PF_X, stub_at, stub_size, PAGE),
        ];
        segments.splice(after..after, loads);
        let align = note::ALIGN as u64;
        segments.push(segment(PT_NOTE, PF_R, notes_at, notes_size, align));
    }
    if let Table::Replaced(old) = table {
        segments.remove(if old < after { old } else { old + 1 });
    }
    for s in segments.iter_mut().filter(|s| s.p_type != PT_LOAD) {
        if let Some(at) = moved_to(&moves, s.p_offset, s.p_filesz) {
            s.p_offset = layout.offset + at;
            s.p_vaddr = layout.vaddr + at;
            s.p_paddr = s.p_vaddr;
        }
    }
    let table_bytes: Vec<u8> = segments.iter().flat_map(segment_bytes).collect();

    let mut out = Vec::with_capacity(
        layout.offset as usize + stub_at as usize + blobs.stub.len() + input.len() / 8,
    );
    out.extend(input);
    out.resize(layout.offset as usize, 0);
    if table == Table::Moved {
        out.extend(table_bytes);
    } else {
        let start = elf.header.e_phoff as usize;
        out[start..start + table_bytes.len()].copy_from_slice(&table_bytes);
    }
    for m in &moves {
        out.resize((layout.offset + m.at) as usize, 0);
        out.extend(&input[m.unit.offset as usize..(m.unit.offset + m.unit.size) as usize]);
    }
    out.resize((layout.offset + notes_at) as usize, 0);
    out.extend(note);
    out.extend(restore);
    out.resize((layout.offset + payload_at) as usize, 0);
    out.extend(blobs.payload_with(&config_bytes).0);
    out.resize((layout.offset + stub_at) as usize, 0);
    out.extend(wire::info_bytes(&info));
    out.extend(&blobs.stub[wire::INFO_SIZE..]);

    let mut section_table = None;
    if let Some(names) = names {
        let section =
            |sh_type: u32, flags: u32, at: u64, sh_size: u64, sh_addralign: u64| SectionHeader {
                sh_type,
                sh_flags: u64::from(SHF_ALLOC | flags),
                sh_addr: layout.vaddr + at,
                sh_offset: layout.offset + at,
                sh_size,
                sh_addralign,
                ..SectionHeader::new()
            };
        let added = [
            (
                NOTE_SECTION,
                section(SHT_NOTE, 0, notes_at, notes_size, note::ALIGN as u64),
            ),
            (
                PAYLOAD_SECTION,
                section(SHT_PROGBITS, 0, payload_at, payload_size, PAGE),
            ),
            (
                STUB_SECTION,
                section(SHT_PROGBITS, SHF_EXECINSTR, stub_at, stub_size, 64),
            ),
        ];
        let mut sections = elf.sections.clone();
        for s in sections
            .iter_mut()
            .skip(1)
            .filter(|s| s.sh_type != SHT_NOBITS)
        {
            if let Some(at) = moved_to(&moves, s.sh_offset, s.sh_size) {
                s.sh_offset = layout.offset + at;
                s.sh_addr = layout.vaddr + at;
            }
        }
        let table_offset = names.append(&mut out, sections, added);
        section_table = Some((table_offset, elf.sections.len() + ADDED_SECTIONS));
    }
    // A program may find what it appended to itself by its offset from the start or from the end of the file: keep both.
    out.extend(&input[layout.elf_end as usize..]);

    let (header, _) = pod::from_bytes_mut::<FileHeader64<LE>>(&mut out)
        .map_err(|()| Error::Elf("the ELF header is cut off".into()))?;
    header.e_entry = U64::new(LE, info_vaddr + STUB_ENTRY_OFFSET);
    if table == Table::Moved {
        header.e_phoff = U64::new(LE, layout.offset);
    }
    header.e_phnum = U16::new(LE, segment_count as u16);
    if let Some((offset, count)) = section_table {
        header.e_shoff = U64::new(LE, offset);
        header.e_shnum = U16::new(LE, count as u16);
    } else {
        // What said that there are none may say something else now that the file is longer.
        header.e_shoff = U64::new(LE, 0);
        header.e_shnum = U16::new(LE, 0);
        header.e_shstrndx = U16::new(LE, object::elf::SymbolSection(0));
    }
    Ok(Rewritten { bytes: out, table })
}

/// Contents that move, and where to.
struct Move {
    unit: Unit,
    /// Offset in the new segment.
    at: u64,
}

/// Puts `units` one after the other, aligned to 8 bytes, the most that notes ask for.
fn place(units: &[Unit]) -> Vec<Move> {
    let mut at = 0u64;
    let put = |&unit: &Unit| {
        let m = Move {
            unit,
            at: at.next_multiple_of(8),
        };
        at = m.at + unit.size;
        m
    };
    units.iter().map(put).collect()
}

/// Where in the new segment `size` bytes from file offset `offset` have moved to, if they have.
fn moved_to(moves: &[Move], offset: u64, size: u64) -> Option<u64> {
    let m = moves
        .iter()
        .find(|m| size != 0 && m.unit.contains(offset, size))?;
    Some(m.at + (offset - m.unit.offset))
}

/// Where the added segments go.
struct Layout {
    /// File offset of their first byte.
    offset: u64,
    /// Link-time address of their first byte.
    vaddr: u64,
    /// Where in the program header table segments to load are inserted.
    after_loads: usize,
    /// End in the file of all that the ELF headers describe.
    elf_end: u64,
}

impl Layout {
    fn plan(elf: &Elf, file_size: u64, table: &Table) -> Result<Layout> {
        if elf.segments.len() + table::ADDED >= 0xffff {
            return refuse("too many program headers");
        }
        let loads: Vec<(usize, &ProgramHeader)> = elf
            .segments
            .iter()
            .enumerate()
            .filter(|(_, s)| s.p_type == PT_LOAD)
            .collect();
        let Some(&(_, first)) = loads.first() else {
            return refuse("no segment to load");
        };
        let mut address_end = 0;
        for &(i, s) in &loads {
            if s.p_vaddr < address_end {
                return refuse(format!(
                    "program header {i} overlaps the one before, or they are not sorted by address"
                ));
            }
            if s.p_vaddr % PAGE != s.p_offset % PAGE {
                return Err(Error::Elf(format!(
                    "program header {i}: address and offset do not fit together"
                )));
            }
            address_end = s.p_vaddr + s.p_memsz;
        }
        if address_end > ADDRESS_END {
            return refuse("the program's own addresses leave no room behind them");
        }
        let bias = first.p_vaddr.wrapping_sub(first.p_offset);
        let mut offset = up(file_size, PAGE)?;
        let mut vaddr = up(address_end, PAGE)?;
        match vaddr.wrapping_sub(bias).checked_sub(offset) {
            _ if *table != Table::Moved => {}
            Some(gap) if gap <= GAP_MAX => offset += gap,
            Some(_) => {}
            None => {
                let at = bias.wrapping_add(offset);
                // An odd bias would wrap around; then only kernels since 5.18 will do.
                if at >= vaddr && at < ADDRESS_END {
                    vaddr = at;
                }
            }
        }
        let elf_end = elf
            .segments
            .iter()
            .map(|s| {
                if s.p_filesz == 0 {
                    0
                } else {
                    s.p_offset + s.p_filesz
                }
            })
            .chain(
                elf.sections
                    .iter()
                    .skip(1)
                    .filter(|s| s.sh_type != SHT_NOBITS && s.sh_size != 0)
                    .map(|s| s.sh_offset + s.sh_size),
            )
            .chain([
                HEADER_SIZE as u64,
                elf.header.e_phoff + (elf.segments.len() * SEGMENT_SIZE) as u64,
                if elf.sections.is_empty() {
                    0
                } else {
                    elf.header.e_shoff + (elf.sections.len() * SECTION_SIZE) as u64
                },
            ])
            .max()
            .unwrap_or(file_size);
        Ok(Layout {
            offset,
            vaddr,
            after_loads: loads.last().map_or(0, |&(i, _)| i + 1),
            elf_end: elf_end.min(file_size),
        })
    }
}

/// The table of the section names of a file that has sections.
struct SectionNames<'a> {
    index: usize,
    bytes: &'a [u8],
}

impl<'a> SectionNames<'a> {
    /// `None` for a file without sections.
    fn read(elf: &Elf, input: &'a [u8]) -> Result<Option<SectionNames<'a>>> {
        if elf.sections.is_empty() {
            return Ok(None);
        }
        if elf.sections.len() + ADDED_SECTIONS >= SECTIONS_MAX {
            return refuse("too many sections");
        }
        let index = usize::from(elf.header.e_shstrndx);
        let table = elf.sections.get(index).filter(|s| s.sh_type == SHT_STRTAB);
        let Some(s) = table else {
            return refuse("the sections have no names");
        };
        // Checked when the file was parsed.
        let bytes = &input[s.sh_offset as usize..(s.sh_offset + s.sh_size) as usize];
        Ok(Some(SectionNames { index, bytes }))
    }

    /// Appends the names and the section headers with the added ones; gives the offset of the latter.
    fn append(
        &self,
        out: &mut Vec<u8>,
        mut sections: Vec<SectionHeader>,
        added: [(&str, SectionHeader); ADDED_SECTIONS],
    ) -> u64 {
        let names_offset = out.len();
        out.extend(self.bytes);
        if self.bytes.last().is_some_and(|&b| b != 0) {
            out.push(0);
        }
        for (name, mut section) in added {
            section.sh_name = out.len() - names_offset;
            out.extend(name.as_bytes());
            out.push(0);
            sections.push(section);
        }
        sections[self.index].sh_offset = names_offset as u64;
        sections[self.index].sh_size = (out.len() - names_offset) as u64;
        out.resize(out.len().next_multiple_of(8), 0);
        let table_offset = out.len() as u64;
        for s in &sections {
            out.extend(section_bytes(s));
        }
        table_offset
    }
}

fn segment_bytes(s: &ProgramHeader) -> Vec<u8> {
    debug_assert_eq!(size_of::<Phdr64>(), SEGMENT_SIZE);
    pod::bytes_of(&ProgramHeader64::<LE> {
        p_type: U32::new(LE, object::elf::ProgramType(s.p_type)),
        p_flags: U32::new(LE, object::elf::ProgramFlags(s.p_flags)),
        p_offset: U64::new(LE, s.p_offset),
        p_vaddr: U64::new(LE, s.p_vaddr),
        p_paddr: U64::new(LE, s.p_paddr),
        p_filesz: U64::new(LE, s.p_filesz),
        p_memsz: U64::new(LE, s.p_memsz),
        p_align: U64::new(LE, s.p_align),
    })
    .to_vec()
}

fn section_bytes(s: &SectionHeader) -> Vec<u8> {
    pod::bytes_of(&SectionHeader64::<LE> {
        sh_name: U32::new(LE, s.sh_name as u32),
        sh_type: U32::new(LE, object::elf::SectionType(s.sh_type)),
        sh_flags: U64::new(LE, object::elf::SectionFlags(s.sh_flags)),
        sh_addr: U64::new(LE, s.sh_addr),
        sh_offset: U64::new(LE, s.sh_offset),
        sh_size: U64::new(LE, s.sh_size),
        sh_link: U32::new(LE, s.sh_link),
        sh_info: U32::new(LE, s.sh_info),
        sh_addralign: U64::new(LE, s.sh_addralign),
        sh_entsize: U64::new(LE, s.sh_entsize),
    })
    .to_vec()
}

/// Whether UPX has packed the file: its `l_info` (checksum, then "UPX!") follows the program headers.
fn is_upx(elf: &Elf, input: &[u8]) -> bool {
    let end = elf.header.e_phoff as usize + elf.segments.len() * SEGMENT_SIZE;
    let after = &input[end.min(input.len())..];
    elf.sections.is_empty()
        && after[..after.len().min(256)]
            .windows(4)
            .any(|w| w == b"UPX!")
}
