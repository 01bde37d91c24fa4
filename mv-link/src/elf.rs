//! Reading the parts of an ELF file that matter here, with every number checked against the file.
//!
//! Works on bytes in memory and on open files alike, so that finishing a large output reads a few kilobytes of it.

use crate::error::{Error, Result};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::header64::SIZEOF_EHDR;
use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_VERSION, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_DYN, ET_EXEC,
    EV_CURRENT, Header, et_to_str, machine_to_str,
};
use goblin::elf::program_header::{PT_LOAD, PT_NOTE, ProgramHeader};
use goblin::elf::section_header::{SHN_XINDEX, SHT_NOBITS, SHT_NOTE, SectionHeader};
use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Size of the ELF header in bytes.
pub const HEADER_SIZE: usize = SIZEOF_EHDR;
/// Size of a program header in bytes.
pub const SEGMENT_SIZE: usize = goblin::elf::program_header::program_header64::SIZEOF_PHDR;
/// Size of a section header in bytes.
pub const SECTION_SIZE: usize = goblin::elf::section_header::section_header64::SIZEOF_SHDR;
/// `e_phnum` that says that the number is elsewhere (gABI).
const PN_XNUM: u16 = 0xffff;
/// Notes of one segment or section are read up to this many bytes; a larger one is no note of ours.
const NOTES_MAX: u64 = 1 << 20;

/// Where an ELF file's bytes come from.
pub trait Source {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// `len` bytes at `offset`, or `None` if they are not all there.
    ///
    /// # Errors
    /// Reading failed.
    fn bytes(&self, offset: u64, len: u64) -> std::io::Result<Option<Cow<'_, [u8]>>>;
}

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn bytes(&self, offset: u64, len: u64) -> std::io::Result<Option<Cow<'_, [u8]>>> {
        let range = usize::try_from(offset).ok().zip(
            offset
                .checked_add(len)
                .and_then(|e| usize::try_from(e).ok()),
        );
        Ok(range
            .and_then(|(start, end)| self.get(start..end))
            .map(Cow::Borrowed))
    }
}

/// An open file and its size in bytes.
pub struct FileSource<'a>(pub &'a File, pub u64);

impl Source for FileSource<'_> {
    fn size(&self) -> u64 {
        self.1
    }
    fn bytes(&self, offset: u64, len: u64) -> std::io::Result<Option<Cow<'_, [u8]>>> {
        if offset.checked_add(len).is_none_or(|end| end > self.1) {
            return Ok(None);
        }
        let mut out = vec![0; len as usize];
        self.0.read_exact_at(&mut out, offset)?;
        Ok(Some(Cow::Owned(out)))
    }
}

/// An x86-64 ELF file: its header and tables. Everything that the tables say about the file is within it.
#[derive(Debug)]
pub struct Elf {
    /// The ELF header.
    pub header: Header,
    /// The program headers.
    pub segments: Vec<ProgramHeader>,
    /// The section headers; none if the file has none.
    pub sections: Vec<SectionHeader>,
}

/// The layout of everything here: 64 bits, little-endian.
pub fn ctx() -> Ctx {
    Ctx::new(Container::Big, Endian::Little)
}

fn err<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Elf(text.into()))
}

/// Reads `len` bytes at `offset`, which are `what`.
fn get<'a, S: Source + ?Sized>(
    source: &'a S,
    offset: u64,
    len: u64,
    what: &str,
) -> Result<Cow<'a, [u8]>> {
    match source.bytes(offset, len) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => err(format!(
            "{what} ({len} bytes at {offset:#x}) reaches past the end of the file, which has {} bytes",
            source.size()
        )),
        Err(source) => Err(Error::Io {
            action: "cannot read",
            source,
        }),
    }
}

/// Reads the table of `count` entries at `offset`, each `what`, which must have `size` bytes as the header says they have.
fn table<'a, S: Source + ?Sized>(
    source: &'a S,
    what: &str,
    offset: u64,
    count: usize,
    entry_size: u16,
    size: usize,
) -> Result<Cow<'a, [u8]>> {
    if usize::from(entry_size) != size {
        return err(format!("{what}s of {entry_size} bytes instead of {size}"));
    }
    get(
        source,
        offset,
        (count * size) as u64,
        &format!("the {what} table"),
    )
}

impl Elf {
    /// Reads the header and the tables.
    ///
    /// # Errors
    /// [`Error::Elf`] names what is wrong: not ELF, another class, byte order or machine, a table or a
    /// segment or section that reaches past the end of the file.
    pub fn parse<S: Source + ?Sized>(source: &S) -> Result<Elf> {
        let ident = get(source, 0, source.size().min(20), "the ELF identification")?;
        if !ident.starts_with(ELFMAG) {
            return err("not an ELF file");
        }
        if ident.len() < 20 {
            return err(format!(
                "the ELF header is cut off: the file has {} bytes",
                ident.len()
            ));
        }
        if ident[EI_CLASS] != ELFCLASS64 {
            return err("not a 64-bit ELF file");
        }
        if ident[EI_DATA] != ELFDATA2LSB {
            return err("not a little-endian ELF file");
        }
        if ident[EI_VERSION] != EV_CURRENT {
            return err(format!("unknown ELF version {}", ident[EI_VERSION]));
        }
        let machine = u16::from_le_bytes([ident[18], ident[19]]);
        if machine != EM_X86_64 {
            return err(format!(
                "made for another machine ({}), not x86-64",
                machine_to_str(machine)
            ));
        }
        let head = get(source, 0, HEADER_SIZE as u64, "the ELF header")?;
        let header = goblin::elf::Elf::parse_header(&head)
            .map_err(|e| Error::Elf(format!("the ELF header: {e}")))?;

        if header.e_phnum == PN_XNUM {
            return err("more than 65,534 program headers are not supported");
        }
        let segments = if header.e_phnum == 0 {
            Vec::new()
        } else {
            let count = usize::from(header.e_phnum);
            let table = table(
                source,
                "program header",
                header.e_phoff,
                count,
                header.e_phentsize,
                SEGMENT_SIZE,
            )?;
            ProgramHeader::parse(&table, 0, count, ctx())
                .map_err(|e| Error::Elf(format!("the program headers: {e}")))?
        };
        for (i, s) in segments.iter().enumerate() {
            if s.p_offset
                .checked_add(s.p_filesz)
                .is_none_or(|end| end > source.size())
                && s.p_filesz != 0
            {
                return err(format!(
                    "program header {i} ({:#x} bytes at {:#x}) reaches past the end of the file, which has {:#x} bytes",
                    s.p_filesz,
                    s.p_offset,
                    source.size()
                ));
            }
            if s.p_vaddr.checked_add(s.p_memsz).is_none()
                || (s.p_type == PT_LOAD && s.p_memsz < s.p_filesz)
            {
                return err(format!("program header {i} has impossible sizes"));
            }
        }

        let sections = if header.e_shoff == 0 || header.e_shnum == 0 {
            if header.e_shoff != 0 && header.e_shoff < source.size() {
                return err("more than 65,279 sections are not supported");
            }
            Vec::new()
        } else {
            let count = usize::from(header.e_shnum);
            let table = table(
                source,
                "section header",
                header.e_shoff,
                count,
                header.e_shentsize,
                SECTION_SIZE,
            )?;
            let mut sections = Vec::with_capacity(count);
            let parsed = SectionHeader::parse_from(&table, 0, count, ctx());
            sections.extend(parsed.map_err(|e| Error::Elf(format!("the section headers: {e}")))?);
            sections
        };
        for (i, s) in sections.iter().enumerate() {
            let in_file = s.sh_type != SHT_NOBITS && s.sh_size != 0 && i != 0;
            if in_file
                && s.sh_offset
                    .checked_add(s.sh_size)
                    .is_none_or(|end| end > source.size())
            {
                return err(format!(
                    "section {i} ({:#x} bytes at {:#x}) reaches past the end of the file, which has {:#x} bytes",
                    s.sh_size,
                    s.sh_offset,
                    source.size()
                ));
            }
        }
        if u32::from(header.e_shstrndx) == SHN_XINDEX {
            return err("more than 65,279 sections are not supported");
        }
        Ok(Elf {
            header,
            segments,
            sections,
        })
    }

    /// Checks that this is a program: an executable with an entry point.
    ///
    /// # Errors
    /// [`Error::Elf`] says what it is instead.
    pub fn require_program(&self) -> Result<()> {
        let h = &self.header;
        if h.e_type != ET_EXEC && h.e_type != ET_DYN {
            return err(format!(
                "not an executable, but of type {}",
                et_to_str(h.e_type)
            ));
        }
        if h.e_entry == 0 {
            return err("has no entry point (a shared library?)");
        }
        let within = |s: &ProgramHeader| {
            s.p_type == PT_LOAD && h.e_entry.wrapping_sub(s.p_vaddr) < s.p_memsz
        };
        match self.segments.iter().find(|s| within(s)) {
            None => err(format!("the entry point {:#x} is in no segment", h.e_entry)),
            Some(s) if !s.is_executable() => err(format!(
                "the entry point {:#x} is not executable",
                h.e_entry
            )),
            Some(_) => Ok(()),
        }
    }

    /// File offset of the byte at link-time address `vaddr`, if `len` bytes there are in the file.
    pub fn offset_of(&self, vaddr: u64, len: u64) -> Option<u64> {
        self.segments
            .iter()
            .filter(|s| s.p_type == PT_LOAD)
            .find_map(|s| {
                let within = vaddr.checked_sub(s.p_vaddr)?;
                (within.checked_add(len)? <= s.p_filesz).then_some(s.p_offset + within)
            })
    }

    /// Our notes: looked for in the segments, and if they have none (`strip` may lose them) in the sections.
    ///
    /// # Errors
    /// Reading failed.
    pub fn notes<S: Source + ?Sized>(&self, source: &S) -> Result<Vec<Note>> {
        let segments = self.segments.iter().filter(|s| s.p_type == PT_NOTE);
        let mut found = Vec::new();
        for s in segments {
            collect_notes(source, s.p_offset, s.p_filesz, s.p_align, &mut found)?;
        }
        if found.is_empty() {
            for s in self.sections.iter().filter(|s| s.sh_type == SHT_NOTE) {
                collect_notes(source, s.sh_offset, s.sh_size, s.sh_addralign, &mut found)?;
            }
        }
        Ok(found)
    }
}

/// A note of ours in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its type.
    pub kind: u32,
    /// File offset of its descriptor.
    pub offset: u64,
    /// Its descriptor.
    pub desc: Vec<u8>,
}

fn collect_notes<S: Source + ?Sized>(
    source: &S,
    offset: u64,
    size: u64,
    align: u64,
    out: &mut Vec<Note>,
) -> Result<()> {
    if size == 0 || size > NOTES_MAX {
        return Ok(());
    }
    let bytes = get(source, offset, size, "the notes")?;
    for n in crate::note::find(&bytes, align) {
        let note = Note {
            kind: n.kind,
            offset: offset + n.desc_offset as u64,
            desc: n.desc.to_vec(),
        };
        // Segments may overlap.
        if !out.contains(&note) {
            out.push(note);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(bytes: &[u8], text: &str) {
        let e = Elf::parse(bytes).expect_err("must fail").to_string();
        assert!(e.contains(text), "{e}");
    }

    #[test]
    fn names_what_is_wrong() {
        let mut own = std::fs::read("/proc/self/exe").expect("own executable");
        Elf::parse(&own[..])
            .expect("good")
            .require_program()
            .expect("program");
        says(b"", "not an ELF");
        says(b"#!/bin/sh\n", "not an ELF");
        says(&own[..10], "cut off");
        says(&own[..40], "past the end");
        says(&own[..4096], "past the end");
        let mut change = |at: usize, value: u8, text: &str| {
            let old = std::mem::replace(&mut own[at], value);
            says(&own, text);
            own[at] = old;
        };
        change(4, 1, "64-bit");
        change(5, 2, "little-endian");
        change(6, 9, "version");
        change(18, 183, "another machine");
        change(54, 55, "program headers of 55");
        change(58, 63, "section headers of 63");
        own[60] = 0;
        own[61] = 0;
        says(&own, "sections");
        own[16] = 1;
        own[40..48].fill(0);
        let e = Elf::parse(&own[..])
            .expect("parses")
            .require_program()
            .expect_err("object");
        assert!(e.to_string().contains("REL"), "{e}");
    }
}
