//! The payload and the entry stub that this mv-link carries, as its build script made them.

/// The payload blob, see [`hrt_abi::PayloadHeader`].
pub static PAYLOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload.bin"));
/// The stub's section: an [`hrt_abi::InfoBlock`] and the code.
pub static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub.bin"));
