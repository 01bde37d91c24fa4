//! The notes that a hybrid carries (gABI, "Note Section").
//!
//! `.note.multiverse` has one note of [`hrt_abi::NOTE_TYPE`]; in a rewritten executable one of [`RESTORE_TYPE`] follows it.

use hrt_abi::{NOTE_NAME, NOTE_TYPE, NoteDesc};

use crate::wire;

/// Type of the note with what `--strip-hybrid` needs; private to mv-link, the payload never reads it.
pub const RESTORE_TYPE: u32 = 2;
/// Alignment of notes in bytes.
pub const ALIGN: usize = 4;
/// Where a note's descriptor starts, in bytes from the start of the note.
pub const DESC_OFFSET: usize = 12 + NOTE_NAME.len().next_multiple_of(ALIGN);

/// Bytes of one note of ours, padded.
pub fn build(kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(DESC_OFFSET + desc.len() + ALIGN);
    out.extend((NOTE_NAME.len() as u32).to_le_bytes());
    out.extend((desc.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(NOTE_NAME);
    out.resize(DESC_OFFSET, 0);
    out.extend(desc);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    out
}

/// Bytes of the main note: the descriptor, then the options as TOML text.
pub fn build_main(desc: &NoteDesc, options: &str) -> Vec<u8> {
    let mut bytes = wire::desc_bytes(desc).to_vec();
    bytes.extend(options.as_bytes());
    build(NOTE_TYPE, &bytes)
}

/// A note of ours among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its type.
    pub kind: u32,
    /// Where its descriptor starts, in bytes from the start of what was searched.
    pub desc_offset: usize,
    /// Its descriptor.
    pub desc: &'a [u8],
}

/// Finds our notes in the contents of a note segment or section whose alignment is `align` bytes (4 or 8; else 4 is taken).
/// Stops at the first note that does not fit.
pub fn find(bytes: &[u8], align: u64) -> Vec<Found<'_>> {
    let align = if align == 8 { 8 } else { ALIGN };
    let word = |at: usize| -> Option<u32> {
        bytes
            .get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_le_bytes)
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let (Some(name_size), Some(desc_size), Some(kind)) =
        (word(at), word(at + 4), word(at + 8))
    {
        // The sizes have 32 bits each, so that nothing overflows here.
        let name_start = at + 12;
        let desc_start = (name_start + name_size as usize).next_multiple_of(align);
        let desc_end = desc_start + desc_size as usize;
        let (Some(name), Some(desc)) = (
            bytes.get(name_start..name_start + name_size as usize),
            bytes.get(desc_start..desc_end),
        ) else {
            break;
        };
        if name == NOTE_NAME {
            found.push(Found {
                kind,
                desc_offset: desc_start,
                desc,
            });
        }
        at = desc_end.next_multiple_of(align);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_builds() {
        let mut bytes = vec![
            4, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0, 1, 2, 3, 0,
        ];
        bytes.extend(build(NOTE_TYPE, b"hello"));
        bytes.extend(build(RESTORE_TYPE, b""));
        let found = find(&bytes, 4);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].desc), (NOTE_TYPE, &b"hello"[..]));
        assert_eq!(found[0].desc_offset, 20 + DESC_OFFSET);
        assert_eq!((found[1].kind, found[1].desc), (RESTORE_TYPE, &b""[..]));
        assert!(find(&bytes[..bytes.len() - 1], 4).len() == 1);
        assert!(find(&[0xff; 40], 4).is_empty());
    }
}
