//! A drop-in `ld` that makes hybrid executables, and tools for them.
//!
//! * [`ld`]: runs the real linker with one more object and finishes what it made.
//! * [`rewrite`]: hybridizes an executable that exists; [`restore`] undoes it.
//! * [`inspect`] and [`doctor`]: say what a file has and what this machine can do.
//! * [`predict`]: says what hybridizing a program would gain or cost.
//!
//! Names and layouts that the payload shares are in `hrt-abi`. ELF words are those of the System V gABI.

pub mod args;
pub mod blobs;
pub mod cli;
pub mod config_blob;
pub mod discover;
pub mod doctor;
pub mod elf;
pub mod error;
pub mod finish;
pub mod inspect;
pub mod ld;
pub mod note;
pub mod object_file;
pub mod options;
pub mod output;
pub mod payload;
pub mod predict;
pub mod real;
pub mod resolve;
pub mod restore;
pub mod rewrite;
pub mod sets;
pub mod table;
pub mod wire;

pub use blobs::Blobs;
pub use error::{Error, Result};
