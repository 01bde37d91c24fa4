//! The HRT kernel's API for Rust: the safe side of `hrt.h`, which says more of each function.
//!
//! A program that uses this needs no library. It also runs without the kernel (built by a plain compiler, or with `HRT_PLATFORM=native`), where
//! [`available`] is false and every function answers [`Error::NOT_SUPPORTED`].
//!
//! ```
//! let n = hrt::sync::Mutex::new(0);
//! let r = hrt::thread::scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| *n.lock().unwrap() += 1)?;
//!     }
//!     Ok::<(), hrt::Error>(())
//! });
//! match r {
//!     Ok(()) => assert_eq!(n.into_inner(), 4),
//!     Err(e) => assert_eq!(e, hrt::Error::NOT_SUPPORTED),
//! }
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

extern crate alloc;

pub mod call;
pub mod raw;
pub mod sync;
pub mod thread;

pub use raw::{Error, Info, Platform, available, cycles, info, time};
