//! The object that is given to the real linker beside the program's own.
//!
//! Sections refer to each other so that `--gc-sections` keeps all: linkers keep notes, the note refers to the stub, the stub to
//! the payload. All references are 64-bit PC-relative, which every linker resolves for good, in position-independent
//! output too. There is no symbol but those of the sections.

use crate::blobs::Blobs;
use crate::error::{Error, Result};
use crate::note;
use crate::wire;
use hrt_abi::{ABI_VERSION, NOTE_SECTION, NoteDesc, PAYLOAD_SECTION, STUB_SECTION};
use object::elf::{R_X86_64_PC64, SHF_ALLOC, SHF_EXECINSTR, SHT_NOTE, SHT_PROGBITS};
use object::write::{Object, Relocation, SectionId};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind};

/// Alignment of the stub's section in bytes: a cache line.
const STUB_ALIGN: u64 = 64;
/// Alignment of the payload in bytes: whole pages, so that reading it touches no page of the program's own data.
const PAYLOAD_ALIGN: u64 = 4096;
/// Offsets in the information block of the fields that the linker fills.
const PAYLOAD_DELTA: u64 = 16;
const OPTIONS_DELTA: u64 = 40;
const CONFIG_DELTA: u64 = 56;
/// Offset in the note's descriptor of a field that carries the reference to the stub until the output is finished.
const INFO_VADDR: u64 = 16;

/// `.note.gnu.property` (x86-64 psABI): the stub is fit for IBT and shadow stacks. Without it, the linker would take both
/// away from the whole output.
const GNU_PROPERTY: [u8; 32] = [
    4, 0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0, b'G', b'N', b'U',
    0, // note header: NT_GNU_PROPERTY_TYPE_0
    2, 0, 0, 0xc0, 4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0,
    0, // GNU_PROPERTY_X86_FEATURE_1_AND: IBT, SHSTK
];

/// Builds the object with `options` (TOML text) in its note, and the configuration blob `config` (empty: none) behind the payload.
///
/// # Errors
/// [`Error::Blob`] if the blobs are not what they should be.
pub fn build(blobs: &Blobs<'_>, options: &str, config: &[u8]) -> Result<Vec<u8>> {
    let header = blobs.check()?;
    let mut info = wire::read_info(blobs.stub).ok_or(Error::Blob("the stub is too short"))?;
    info.payload_size = blobs.payload.len() as u64;
    info.options_size = options.len() as u64;
    info.config_size = config.len() as u64;
    let (payload, config_at) = blobs.payload_with(config);
    let mut stub = blobs.stub.to_vec();
    stub[..wire::INFO_SIZE].copy_from_slice(&wire::info_bytes(&info));
    let note = note::build_main(
        &NoteDesc {
            abi_version: ABI_VERSION,
            flags: 0,
            original_entry: 0,
            info_vaddr: 0,
            payload_vaddr: 0,
            payload_size: info.payload_size,
            payload_version: header.version,
            options_size: options.len() as u32,
            reserved: 0,
        },
        options,
    );

    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let mut section = |name: &str, sh_type, sh_flags, data: &[u8], align| {
        let id = object.add_section(Vec::new(), name.into(), SectionKind::Unknown);
        object.section_mut(id).flags = SectionFlags::Elf { sh_type, sh_flags };
        object.append_section_data(id, data, align);
        id
    };
    let none = SHF_ALLOC & SHF_EXECINSTR;
    let stub = section(
        STUB_SECTION,
        SHT_PROGBITS,
        SHF_ALLOC | SHF_EXECINSTR,
        &stub,
        STUB_ALIGN,
    );
    let payload = section(
        PAYLOAD_SECTION,
        SHT_PROGBITS,
        SHF_ALLOC,
        &payload,
        PAYLOAD_ALIGN,
    );
    let note = section(NOTE_SECTION, SHT_NOTE, SHF_ALLOC, &note, note::ALIGN as u64);
    section(".note.gnu.property", SHT_NOTE, SHF_ALLOC, &GNU_PROPERTY, 8);
    // Its absence would ask for an executable stack.
    section(".note.GNU-stack", SHT_PROGBITS, none, &[], 1);

    let mut refer = |place: SectionId, offset: u64, target: SectionId, addend: u64| {
        let symbol = object.section_symbol(target);
        object
            .add_relocation(
                place,
                Relocation {
                    offset,
                    symbol,
                    addend: addend as i64,
                    flags: RelocationFlags::Elf {
                        r_type: R_X86_64_PC64,
                    },
                },
            )
            .map_err(|_| Error::Blob("the object cannot be made"))
    };
    // A delta counts from the block's start, the relocation from the field: the addend makes up for it.
    refer(stub, PAYLOAD_DELTA, payload, PAYLOAD_DELTA)?;
    if !options.is_empty() {
        let text = (note::DESC_OFFSET + wire::DESC_SIZE) as u64;
        refer(stub, OPTIONS_DELTA, note, OPTIONS_DELTA + text)?;
    }
    if !config.is_empty() {
        refer(stub, CONFIG_DELTA, payload, CONFIG_DELTA + config_at)?;
    }
    refer(note, note::DESC_OFFSET as u64 + INFO_VADDR, stub, 0)?;
    object
        .write()
        .map_err(|_| Error::Blob("the object cannot be made"))
}
