//! Gives back what a hybrid was made of.

use crate::elf::Elf;
use crate::error::{Error, Result};
use crate::inspect;
use crate::note::RESTORE_TYPE;
use hrt_abi::FLAG_REWRITTEN;

/// What a rewritten executable keeps of the original: the descriptor of the note of [`RESTORE_TYPE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The original's size in bytes.
    pub size: u64,
    /// [`checksum`] of the original.
    pub checksum: u64,
    /// The original's first bytes, with all that is changed: the ELF header, and the program headers if they stay in place.
    pub head: Vec<u8>,
}

impl Restore {
    /// What is kept of `original` if at most its first `changed` bytes change.
    pub fn of(original: &[u8], changed: usize) -> Restore {
        Restore {
            size: original.len() as u64,
            checksum: checksum(original),
            head: original[..changed.min(original.len())].to_vec(),
        }
    }

    /// The bytes of the descriptor, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            &self.size.to_le_bytes()[..],
            &self.checksum.to_le_bytes(),
            &self.head,
        ]
        .concat()
    }

    /// Reads a descriptor; `None` if it is too short.
    pub fn from_bytes(bytes: &[u8]) -> Option<Restore> {
        let (size, rest) = bytes.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        Some(Restore {
            size: u64::from_le_bytes(*size),
            checksum: u64::from_le_bytes(*checksum),
            head: rest.to_vec(),
        })
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): tells whether a file is the original, by accident not wrong.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Undoes the hybridization of `input`. A rewritten executable becomes the original again, byte for byte. A linked one gets its
/// original entry point back and keeps the added sections, which nothing enters any more.
///
/// # Errors
/// [`Error::Refused`] if it is no hybrid, or a rewritten one that something else changed since; [`Error::Elf`] if it is broken.
pub fn strip_hybrid(input: &[u8]) -> Result<Vec<u8>> {
    let elf = Elf::parse(input)?;
    let hybrid = inspect::find(&elf, input)?;
    if hybrid.desc.flags & FLAG_REWRITTEN == 0 {
        if !hybrid.active {
            return Err(Error::Refused(
                "the original entry point is restored already".into(),
            ));
        }
        let mut out = input.to_vec();
        out[24..32].copy_from_slice(&hybrid.desc.original_entry.to_le_bytes());
        return Ok(out);
    }
    let changed = || {
        Error::Refused("the file was changed after it was hybridized (strip, patchelf?): the original cannot be given back".into())
    };
    let notes = elf.notes(input)?;
    let record = notes.iter().find(|n| n.kind == RESTORE_TYPE);
    let restore = record
        .and_then(|n| Restore::from_bytes(&n.desc))
        .ok_or_else(changed)?;
    let size = usize::try_from(restore.size).map_err(|_| changed())?;
    let mut out = input
        .get(..size)
        .filter(|o| o.len() >= restore.head.len())
        .ok_or_else(changed)?
        .to_vec();
    out[..restore.head.len()].copy_from_slice(&restore.head);
    if checksum(&out) != restore.checksum {
        return Err(changed());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record() {
        let r = Restore::of(&[7; 100], 70);
        assert_eq!(Restore::from_bytes(&r.to_bytes()), Some(r.clone()));
        assert_eq!(Restore::from_bytes(&r.to_bytes()[..15]), None);
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
