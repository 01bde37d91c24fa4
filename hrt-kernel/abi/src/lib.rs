//! Wire types shared by `mv-link` (which writes them into an ELF file) and the payload (which reads them at start).
//!
//! Everything here is `repr(C)`, little-endian, without padding, and has its size asserted. A change of layout is a
//! change of [`ABI_VERSION`]: a payload never meets a stub of another version, because both travel in one file.
#![cfg_attr(not(test), no_std)]

pub mod api;
pub mod config;
pub mod functions;
pub mod kvm;

use core::mem::size_of;

/// Version of every structure in this crate.
pub const ABI_VERSION: u32 = 1;

/// First bytes of the payload blob.
pub const PAYLOAD_MAGIC: [u8; 8] = *b"HRTPAYLD";
/// First bytes of the entry stub's [`InfoBlock`].
pub const INFO_MAGIC: [u8; 8] = *b"MVSTUB\0\x01";
/// Owner name of the ELF note.
pub const NOTE_NAME: &[u8] = b"Multiverse\0";
/// Type of the ELF note.
pub const NOTE_TYPE: u32 = 1;
/// Section names that the added object uses.
pub const STUB_SECTION: &str = ".text.multiverse";
/// Section of the payload blob, and of the configuration blob after it.
pub const PAYLOAD_SECTION: &str = ".rodata.multiverse";
/// Section of the note.
pub const NOTE_SECTION: &str = ".note.multiverse";

/// The hybrid was made at link time: the payload lies in sections of the real linker's making.
pub const FLAG_LINKED: u32 = 1;
/// The hybrid was made by rewriting a finished ELF (`mv-link --hybridize`).
pub const FLAG_REWRITTEN: u32 = 2;

/// Header of the payload blob, at its offset 0.
///
/// The blob is `header, image, relocations`. All offsets are in bytes; those named `*_offset` count from the blob's
/// first byte, all others from the image's load address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadHeader {
    /// [`PAYLOAD_MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// Offset of the image in the blob.
    pub image_offset: u32,
    /// Bytes of the image to copy.
    pub image_size: u32,
    /// Bytes of memory the image needs, a multiple of 4096; what lies beyond `image_size` starts as zero.
    pub mem_size: u32,
    /// The payload's entry, see `hrt-runtime-shim`.
    pub entry: u32,
    /// Start of the executable part, a multiple of 4096.
    pub text_start: u32,
    /// End of the executable part, a multiple of 4096.
    pub text_end: u32,
    /// Offset of the relocation table in the blob: `u32` places in the image where a `u64` gets the load address added.
    pub reloc_offset: u32,
    /// Number of relocations.
    pub reloc_count: u32,
    /// Start of the part that is written at run time, a multiple of 4096; what lies between `text_end` and it is
    /// read-only after relocation.
    pub data_start: u32,
    /// Version of the payload as text, NUL-padded.
    pub version: [u8; 16],
}

/// The first bytes of the stub section; the stub's code, which is the hybrid's `e_entry`, follows at once.
///
/// Deltas are signed distances in bytes from the block's own first byte, so that nothing here needs a dynamic
/// relocation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoBlock {
    /// [`INFO_MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Where the payload blob is.
    pub payload_delta: i64,
    /// Size of the payload blob in bytes.
    pub payload_size: u64,
    /// Where the original entry point is.
    pub entry_delta: i64,
    /// Where the options blob is (0: none).
    pub options_delta: i64,
    /// Size of the options blob in bytes.
    pub options_size: u64,
    /// Where the configuration blob is ([`config`]; 0: none).
    pub config_delta: i64,
    /// Size of the configuration blob in bytes.
    pub config_size: u64,
    /// Link-time address of this block: what the program was loaded away from it is the program's load bias.
    pub vaddr: u64,
    /// Zero.
    pub reserved: [u64; 6],
}

/// Fixed part of the descriptor of `.note.multiverse`; the build options follow it as TOML text of `options_size` bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteDesc {
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// `e_entry` before hybridization.
    pub original_entry: u64,
    /// Link-time address of the [`InfoBlock`].
    pub info_vaddr: u64,
    /// Link-time address of the payload blob.
    pub payload_vaddr: u64,
    /// Size of the payload blob in bytes.
    pub payload_size: u64,
    /// Version of the payload as text, NUL-padded.
    pub payload_version: [u8; 16],
    /// Size of the TOML text that follows.
    pub options_size: u32,
    /// Zero.
    pub reserved: u32,
}

/// Offset of the stub's first instruction from the start of its section.
pub const STUB_ENTRY_OFFSET: u64 = size_of::<InfoBlock>() as u64;

const _: () = assert!(size_of::<PayloadHeader>() == 64);
const _: () = assert!(size_of::<InfoBlock>() == 128);
const _: () = assert!(size_of::<NoteDesc>() == 64);
