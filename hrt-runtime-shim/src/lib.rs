//! The payload: the shim, which starts the HRT kernel inside a Linux process, and the kernel's machine-dependent part.
//!
//! Freestanding: no libc, no allocation but from memory of its own, no thread-local storage of the program touched.
//! All code executes on x86-64 Linux, inside the image that `stub.S` loads.
#![cfg_attr(not(test), no_std)]

mod channel;
pub mod entry;
mod functions;
pub mod hosted;
mod kernel;
pub mod kvm;
#[cfg(feature = "payload")]
pub mod memory;
mod models;
pub mod raw;
pub mod report;
pub mod start;
mod threads;
