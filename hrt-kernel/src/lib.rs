//! The platform-free core of the HRT kernel: what can be decided without touching a machine, so that it runs under
//! plain `cargo test`.
//!
//! The platforms and everything that executes instructions of its own choosing live in `hrt-runtime-shim`.
#![cfg_attr(not(test), no_std)]

pub mod areas;
pub mod arena;
pub mod bpf;
pub mod calls;
pub mod cgroups;
pub mod classes;
pub mod entries;
pub mod heap;
pub mod names;
pub mod platform;
pub mod settings;
pub mod sites;
pub mod threads;
