//! What is put into every hybrid: the entry stub and the payload.

use crate::error::{Error, Result};
use crate::wire;
use hrt_abi::{ABI_VERSION, INFO_MAGIC, PAYLOAD_MAGIC, PayloadHeader, STUB_ENTRY_OFFSET};

/// Bytes of the entry stub and of the payload.
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a> {
    /// The payload blob, which starts with a [`PayloadHeader`].
    pub payload: &'a [u8],
    /// An information block with nothing but its magic and version, then the code.
    pub stub: &'a [u8],
}

impl Blobs<'_> {
    /// The payload with the configuration blob `config` behind it, if that is not empty; and where that starts.
    #[must_use]
    pub fn payload_with(&self, config: &[u8]) -> (Vec<u8>, u64) {
        let mut bytes = self.payload.to_vec();
        if !config.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(hrt_abi::config::ALIGN), 0);
        }
        let at = bytes.len() as u64;
        bytes.extend(config);
        (bytes, at)
    }

    /// Checks both and gives the payload's header.
    ///
    /// # Errors
    /// [`Error::Blob`]: the build of this program went wrong.
    pub fn check(&self) -> Result<PayloadHeader> {
        let info = wire::read_info(self.stub).ok_or(Error::Blob("the stub is too short"))?;
        if info.magic != INFO_MAGIC || info.abi_version != ABI_VERSION {
            return Err(Error::Blob(
                "the stub has no information block of this version",
            ));
        }
        if self.stub.len() as u64 <= STUB_ENTRY_OFFSET {
            return Err(Error::Blob("the stub has no code"));
        }
        let header = wire::read_payload_header(self.payload)
            .ok_or(Error::Blob("the payload is too short"))?;
        if header.magic != PAYLOAD_MAGIC || header.abi_version != ABI_VERSION {
            return Err(Error::Blob("the payload has no header of this version"));
        }
        let within = |offset: u32, size: u64| u64::from(offset) + size <= self.payload.len() as u64;
        if !within(header.image_offset, header.image_size.into())
            || !within(header.reloc_offset, u64::from(header.reloc_count) * 4)
            || header.image_size > header.mem_size
        {
            return Err(Error::Blob("the payload's header does not fit its size"));
        }
        Ok(header)
    }
}

/// Tiny blobs for tests: a stub that goes straight on to the original entry, and a payload that is never entered.
#[doc(hidden)]
pub mod tiny {
    use super::Blobs;
    use hrt_abi::{ABI_VERSION, INFO_MAGIC, PAYLOAD_MAGIC};

    const CODE: [u8; 38] = [
        0xf3, 0x0f, 0x1e, 0xfa, // endbr64
        0x6a, 0x00, // push $0
        0x50, // push %rax
        0x53, // push %rbx
        0x48, 0x8d, 0x1d, 0x71, 0xff, 0xff, 0xff, // lea info(%rip), %rbx
        0x48, 0x8b, 0x43, 0x20, // mov 0x20(%rbx), %rax: entry_delta
        0x48, 0x01, 0xd8, // add %rbx, %rax
        0x48, 0x89, 0x44, 0x24, 0x10, // mov %rax, 0x10(%rsp)
        0x5b, // pop %rbx
        0x58, // pop %rax
        0x48, 0x8d, 0x64, 0x24, 0x08, // lea 8(%rsp), %rsp
        0xff, 0x64, 0x24, 0xf8, // jmp *-8(%rsp)
    ];

    static STUB: [u8; 128 + CODE.len()] = {
        let mut b = [0; 128 + CODE.len()];
        let mut i = 0;
        while i < 8 {
            b[i] = INFO_MAGIC[i];
            i += 1;
        }
        b[8] = ABI_VERSION as u8;
        i = 0;
        while i < CODE.len() {
            b[128 + i] = CODE[i];
            i += 1;
        }
        b
    };

    static PAYLOAD: [u8; 8192] = {
        let mut b = [0x5a; 8192];
        let mut i = 0;
        while i < 64 {
            b[i] = 0;
            i += 1;
        }
        i = 0;
        while i < 8 {
            b[i] = PAYLOAD_MAGIC[i];
            i += 1;
        }
        b[8] = ABI_VERSION as u8;
        b[12] = 64; // image_offset
        b[17] = 0x10; // image_size: 4096
        b[21] = 0x10; // mem_size: 4096
        b[48] = b't';
        b[49] = b'i';
        b[50] = b'n';
        b[51] = b'y';
        b
    };

    /// The tiny blobs.
    pub fn blobs() -> Blobs<'static> {
        Blobs {
            payload: &PAYLOAD,
            stub: &STUB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        let good = tiny::blobs();
        assert_eq!(
            wire::padded_text(&good.check().expect("good").version),
            "tiny"
        );
        for payload in [
            &b""[..],
            &good.payload[..63],
            &good.payload[..4000],
            &[0; 8192],
        ] {
            assert!(matches!(
                Blobs { payload, ..good }.check(),
                Err(Error::Blob(_))
            ));
        }
        for stub in [&b""[..], &good.stub[..128], &[0; 200]] {
            assert!(matches!(
                Blobs { stub, ..good }.check(),
                Err(Error::Blob(_))
            ));
        }
    }
}
