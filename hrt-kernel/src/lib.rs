//! The platform-free core of the HRT kernel.
#![cfg_attr(not(test), no_std)]
