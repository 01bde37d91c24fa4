//! The configuration blob: what `multiverse.toml` says of overrides, system calls and policies, checked by mv-link and read by the
//! payload at start. It lies behind the payload in its section, in hybrids that have something to say, and is
//!
//! ```text
//! Header, Override × overrides, Call × calls, names (NUL-terminated)
//! ```

use core::mem::size_of;

/// First bytes of the blob.
pub const MAGIC: [u8; 8] = *b"MVCONFIG";
/// Version of the structures of this module.
pub const VERSION: u32 = 1;
/// Alignment of the blob in bytes.
pub const ALIGN: usize = 16;
/// The most overrides that a hybrid may have: the payload keeps a stub for each.
pub const OVERRIDES_MAX: usize = 256;
/// The most arguments of a kernel function, and of a legacy function that may be named: those in registers (System V psABI).
pub const ARGS_MAX: usize = 6;

/// `memory` and `channel`: nothing was said.
pub const POLICY_UNSET: u8 = 0;
/// Names of `[memory] policy`, from 1 on.
pub const MEMORY_POLICIES: &[&str] = &["linux", "arena", "keep"];
/// Names of `[channel] policy`, from 1 on.
pub const CHANNEL_POLICIES: &[&str] = &["auto", "exit"];

/// The blob's start.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of the whole blob.
    pub size: u32,
    /// Number of [`Override`]s.
    pub overrides: u32,
    /// Number of [`Call`]s.
    pub calls: u32,
    /// Where the executable's own `__errno_location` is, from the information block on; 0: it has none.
    pub errno_delta: i64,
    /// 1 + the index in [`MEMORY_POLICIES`], or [`POLICY_UNSET`].
    pub memory: u8,
    /// 1 + the index in [`CHANNEL_POLICIES`], or [`POLICY_UNSET`].
    pub channel: u8,
    /// 1: threads that the C library makes are kernel threads (the set `pthread`).
    pub threads: u8,
    /// Zero.
    pub reserved: u8,
    /// `[threads] preempt`: how long a kernel thread may compute while others could execute, in microseconds; 0: nothing was said.
    pub preempt: u32,
}

/// [`Override::flags`]: a program without the function is fine.
pub const OPTIONAL: u8 = 1;
/// [`Override::flags`]: `delta` is the resolver of an indirect function (STT_GNU_IFUNC).
pub const INDIRECT: u8 = 2;
/// [`Override::mapped`]: arguments stay as they are.
pub const AS_THEY_ARE: u8 = 0xff;

/// A legacy function and the kernel function that runs in its place.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Where the executable has the function, from the information block on; 0: in a library, or nowhere.
    pub delta: i64,
    /// Bytes of that function.
    pub size: u32,
    /// Its name: offset in the names.
    pub name: u32,
    /// Number of the kernel function ([`crate::functions`]).
    pub function: u16,
    /// `OPTIONAL`, `INDIRECT`.
    pub flags: u8,
    /// Arguments that are mapped, or [`AS_THEY_ARE`].
    pub mapped: u8,
    /// Bit i: `args[i]` is a constant, not the number of an argument of the legacy function.
    pub constants: u8,
    /// Number of the shipped set that it is of, from 1, or 0: a set is in place as a whole or not at all.
    pub set: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// The kernel function's arguments.
    pub args: [i64; ARGS_MAX],
}

/// [`Call::policy`]: Linux serves it.
pub const FORWARD: u16 = 1;
/// [`Call::policy`]: the kernel serves it.
pub const LOCAL: u16 = 2;
/// [`Call::policy`]: it fails with [`Call::error`].
pub const DENY: u16 = 3;

/// How a system call is served.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// `FORWARD`, `LOCAL`, `DENY`.
    pub policy: u16,
    /// Error number (errno(3)) of `DENY`.
    pub error: u16,
}

const _: () = assert!(size_of::<Header>() == 40);
const _: () = assert!(size_of::<Override>() == 72);
const _: () = assert!(size_of::<Call>() == 8);
