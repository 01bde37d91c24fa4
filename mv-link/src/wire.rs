//! Bytes of the wire types of `hrt-abi`, all little-endian.

use hrt_abi::{InfoBlock, NoteDesc, PayloadHeader};

/// Size of an [`InfoBlock`] in bytes.
pub const INFO_SIZE: usize = size_of::<InfoBlock>();
/// Size of a [`NoteDesc`] in bytes, without the options that follow.
pub const DESC_SIZE: usize = size_of::<NoteDesc>();
/// Size of a [`PayloadHeader`] in bytes.
pub const PAYLOAD_HEADER_SIZE: usize = size_of::<PayloadHeader>();

/// Reads fields one after the other; the caller has checked the size.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}

/// The bytes of an information block.
pub fn info_bytes(b: &InfoBlock) -> [u8; INFO_SIZE] {
    let mut out = [0; INFO_SIZE];
    out[0..8].copy_from_slice(&b.magic);
    out[8..12].copy_from_slice(&b.abi_version.to_le_bytes());
    out[12..16].copy_from_slice(&b.flags.to_le_bytes());
    out[16..24].copy_from_slice(&b.payload_delta.to_le_bytes());
    out[24..32].copy_from_slice(&b.payload_size.to_le_bytes());
    out[32..40].copy_from_slice(&b.entry_delta.to_le_bytes());
    out[40..48].copy_from_slice(&b.options_delta.to_le_bytes());
    out[48..56].copy_from_slice(&b.options_size.to_le_bytes());
    out[56..64].copy_from_slice(&b.config_delta.to_le_bytes());
    out[64..72].copy_from_slice(&b.config_size.to_le_bytes());
    out[72..80].copy_from_slice(&b.vaddr.to_le_bytes());
    for (i, r) in b.reserved.iter().enumerate() {
        out[80 + 8 * i..88 + 8 * i].copy_from_slice(&r.to_le_bytes());
    }
    out
}

/// Reads an information block; `None` if `bytes` are too few.
pub fn read_info(bytes: &[u8]) -> Option<InfoBlock> {
    let mut f = Fields(bytes);
    let mut b = InfoBlock {
        magic: f.take()?,
        abi_version: f.u32()?,
        flags: f.u32()?,
        payload_delta: f.i64()?,
        payload_size: f.u64()?,
        entry_delta: f.i64()?,
        options_delta: f.i64()?,
        options_size: f.u64()?,
        config_delta: f.i64()?,
        config_size: f.u64()?,
        vaddr: f.u64()?,
        reserved: [0; 6],
    };
    for r in &mut b.reserved {
        *r = f.u64()?;
    }
    Some(b)
}

/// The bytes of a note's descriptor, without the options that follow it.
pub fn desc_bytes(d: &NoteDesc) -> [u8; DESC_SIZE] {
    let mut out = [0; DESC_SIZE];
    out[0..4].copy_from_slice(&d.abi_version.to_le_bytes());
    out[4..8].copy_from_slice(&d.flags.to_le_bytes());
    out[8..16].copy_from_slice(&d.original_entry.to_le_bytes());
    out[16..24].copy_from_slice(&d.info_vaddr.to_le_bytes());
    out[24..32].copy_from_slice(&d.payload_vaddr.to_le_bytes());
    out[32..40].copy_from_slice(&d.payload_size.to_le_bytes());
    out[40..56].copy_from_slice(&d.payload_version);
    out[56..60].copy_from_slice(&d.options_size.to_le_bytes());
    out[60..64].copy_from_slice(&d.reserved.to_le_bytes());
    out
}

/// Reads a note's descriptor; `None` if `bytes` are too few.
pub fn read_desc(bytes: &[u8]) -> Option<NoteDesc> {
    let mut f = Fields(bytes);
    Some(NoteDesc {
        abi_version: f.u32()?,
        flags: f.u32()?,
        original_entry: f.u64()?,
        info_vaddr: f.u64()?,
        payload_vaddr: f.u64()?,
        payload_size: f.u64()?,
        payload_version: f.take()?,
        options_size: f.u32()?,
        reserved: f.u32()?,
    })
}

/// Reads a payload's header; `None` if `bytes` are too few.
pub fn read_payload_header(bytes: &[u8]) -> Option<PayloadHeader> {
    let mut f = Fields(bytes);
    Some(PayloadHeader {
        magic: f.take()?,
        abi_version: f.u32()?,
        image_offset: f.u32()?,
        image_size: f.u32()?,
        mem_size: f.u32()?,
        entry: f.u32()?,
        text_start: f.u32()?,
        text_end: f.u32()?,
        reloc_offset: f.u32()?,
        reloc_count: f.u32()?,
        data_start: f.u32()?,
        version: f.take()?,
    })
}

/// NUL-padded text as a string; what is not UTF-8 is replaced.
pub fn padded_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let bytes: [u8; INFO_SIZE] = std::array::from_fn(|i| i as u8);
        assert_eq!(info_bytes(&read_info(&bytes).expect("whole")), bytes);
        assert_eq!(read_info(&bytes[1..]), None);
        let bytes: [u8; DESC_SIZE] = std::array::from_fn(|i| i as u8);
        assert_eq!(desc_bytes(&read_desc(&bytes).expect("whole")), bytes);
        assert_eq!(read_desc(&bytes[1..]), None);
    }

    #[test]
    fn text() {
        assert_eq!(padded_text(b"0.1\0\0"), "0.1");
        assert_eq!(padded_text(b"0.1"), "0.1");
    }
}
