//! The last step of a link: the entry point is pointed at the stub.

use crate::config_blob::Blob;
use crate::elf::{Elf, FileSource, HEADER_SIZE, Note};
use crate::error::{Error, Result};
use crate::options::Config;
use crate::{resolve, wire};
use hrt_abi::{FLAG_LINKED, INFO_MAGIC, InfoBlock, NOTE_TYPE, NoteDesc, STUB_ENTRY_OFFSET};
use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// Offset of `e_entry` in the ELF header.
const E_ENTRY: u64 = 24;

/// What became of a linker's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is a hybrid now.
    Hybrid,
    /// It is no program of a kind that can be one, and is as the linker left it.
    Untouched,
}

/// Our parts of a linked file, checked against each other.
#[derive(Debug)]
pub struct Parts {
    /// The note's descriptor.
    pub desc: NoteDesc,
    /// File offset of the descriptor.
    pub desc_offset: u64,
    /// Link-time address of the information block.
    pub info_vaddr: u64,
    /// File offset of the information block.
    pub info_offset: u64,
    /// The information block.
    pub info: InfoBlock,
}

/// Finds our parts in a file that the linker has just made: in an unfinished note the address of the information block is
/// relative to the field itself.
fn unfinished(elf: &Elf, source: &FileSource<'_>, note: &Note) -> Result<Option<Parts>> {
    let Some(desc) = wire::read_desc(&note.desc).filter(|d| d.flags == 0) else {
        return Ok(None);
    };
    let broken = |what: &str| Error::Elf(format!("the linker's output has {what}"));
    let field_offset = note.offset + 16;
    let field_vaddr = elf
        .segments
        .iter()
        .filter(|s| s.p_type == goblin::elf::program_header::PT_LOAD)
        .find(|s| field_offset >= s.p_offset && field_offset - s.p_offset < s.p_filesz)
        .map(|s| s.p_vaddr.wrapping_add(field_offset - s.p_offset))
        .ok_or_else(|| broken("a Multiverse note that no segment loads"))?;
    let info_vaddr = field_vaddr.wrapping_add(desc.info_vaddr);
    let info_offset = elf
        .offset_of(info_vaddr, wire::INFO_SIZE as u64)
        .ok_or_else(|| broken("a Multiverse note without its stub"))?;
    let info = read_info(source, info_offset)?
        .ok_or_else(|| broken("a Multiverse note without its stub"))?;
    if elf
        .offset_of(
            info_vaddr.wrapping_add_signed(info.payload_delta),
            info.payload_size,
        )
        .is_none()
    {
        return Err(broken("a Multiverse stub without its payload"));
    }
    Ok(Some(Parts {
        desc,
        desc_offset: note.offset,
        info_vaddr,
        info_offset,
        info,
    }))
}

fn read_info(source: &FileSource<'_>, offset: u64) -> Result<Option<InfoBlock>> {
    use crate::elf::Source;
    let bytes = source
        .bytes(offset, wire::INFO_SIZE as u64)
        .map_err(|source| Error::Io {
            action: "cannot read",
            source,
        })?;
    Ok(bytes
        .and_then(|b| wire::read_info(&b))
        .filter(|b| b.magic == INFO_MAGIC))
}

/// Finishes `output`, which the real linker has made with the object of [`crate::object_file`].
///
/// The file is changed in place, the entry point last, in one write of 8 bytes: at any moment it is a working program,
/// plain or hybrid. So its inode, mode and links stay what the linker made them. Anything but a regular file is left alone.
///
/// `config` is what the object was made with; the functions that it overrides are looked up in the output.
///
/// # Errors
/// [`Error::File`] if the output cannot be read or written, [`Error::Elf`] if the linker dropped our parts, [`Error::Config`] if an
/// override cannot be had.
pub fn finish(output: &Path, config: &Config) -> Result<Finished> {
    // Not opened at all: a device or FIFO may have side effects.
    match std::fs::metadata(output) {
        Ok(m) if m.is_file() => {}
        _ => return Ok(Finished::Untouched),
    }
    let file = open(output).map_err(Error::file(output, "cannot open to finish the link"))?;
    let size = file
        .metadata()
        .map_err(Error::file(output, "cannot read"))?
        .len();
    let source = FileSource(&file, size);
    if size < HEADER_SIZE as u64 {
        return Ok(Finished::Untouched);
    }
    let Ok(elf) = Elf::parse(&source) else {
        // Another format, class or machine: the linker was asked for it.
        return Ok(Finished::Untouched);
    };
    if elf.require_program().is_err() {
        return Ok(Finished::Untouched);
    }
    let mut parts = None;
    for note in elf.notes(&source)?.iter().filter(|n| n.kind == NOTE_TYPE) {
        parts = parts.or(unfinished(&elf, &source, note)?);
    }
    let Some(mut p) = parts else {
        return Err(Error::Elf(format!(
            "{}: the linker dropped the section .note.multiverse",
            output.display()
        )));
    };

    let entry = elf.header.e_entry;
    p.info.flags |= FLAG_LINKED;
    p.info.entry_delta = entry.wrapping_sub(p.info_vaddr) as i64;
    p.info.vaddr = p.info_vaddr;
    p.desc.flags |= FLAG_LINKED;
    p.desc.original_entry = entry;
    p.desc.info_vaddr = p.info_vaddr;
    p.desc.payload_vaddr = p.info_vaddr.wrapping_add_signed(p.info.payload_delta);
    let write = |bytes: &[u8], offset| {
        file.write_all_at(bytes, offset)
            .map_err(Error::file(output, "cannot write to finish the link"))
    };
    if let Some(mut blob) = Blob::of(config) {
        let at = p.info_vaddr.wrapping_add_signed(p.info.config_delta);
        let dropped = || {
            Error::Elf("the linker's output has a Multiverse stub without its configuration".into())
        };
        let offset = elf.offset_of(at, p.info.config_size).ok_or_else(dropped)?;
        let input = std::fs::read(output).map_err(Error::file(output, "cannot read"))?;
        resolve::fill(&input, p.info_vaddr, config, &mut blob)?;
        let bytes = blob.bytes();
        if bytes.len() as u64 != p.info.config_size {
            return Err(dropped());
        }
        write(&bytes, offset)?;
    }
    write(&wire::info_bytes(&p.info), p.info_offset)?;
    write(&wire::desc_bytes(&p.desc), p.desc_offset)?;
    write(
        &p.info_vaddr.wrapping_add(STUB_ENTRY_OFFSET).to_le_bytes(),
        E_ENTRY,
    )?;
    Ok(Finished::Hybrid)
}

/// Opens the output, even if the umask has taken its owner's rights to read or write.
fn open(output: &Path) -> std::io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(output);
    match open() {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let mode = std::fs::metadata(output)?.permissions();
            let more = Permissions::from_mode(mode.mode() | 0o600);
            std::fs::set_permissions(output, more)?;
            let opened = open();
            std::fs::set_permissions(output, mode)?;
            opened
        }
        other => other,
    }
}
