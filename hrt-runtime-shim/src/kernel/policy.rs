//! How each system call is served: the kernel's table, and what the configuration says instead (`[syscalls]`).

use super::config::Config;
use crate::threads::posix;
use core::sync::atomic::{AtomicU16, Ordering};
use hrt_abi::config::{DENY, FORWARD};
use hrt_kernel::classes::{self, Class, TABLE_SIZE};

/// In a place of [`TABLE`]: Linux serves it. Below, the error number with which it is denied; 0: as the kernel's table says.
const TO_LINUX: u16 = u16::MAX;

static TABLE: [AtomicU16; TABLE_SIZE] = [const { AtomicU16::new(0) }; TABLE_SIZE];

/// Takes over what the configuration says; to be called before any call is served.
pub fn init(config: &Config) {
    for c in config.calls {
        if let Some(place) = TABLE.get(c.number as usize) {
            let value = match c.policy {
                FORWARD => TO_LINUX,
                DENY => c.error,
                _ => 0,
            };
            place.store(value, Ordering::Relaxed);
        }
    }
}

fn said(number: usize) -> u16 {
    TABLE.get(number).map_or(0, |p| p.load(Ordering::Relaxed))
}

/// How call `number` is served. One that is denied is served by the kernel alone.
#[must_use]
pub fn class(number: usize) -> Class {
    match said(number) {
        0 if posix::mediates(number) => Class::Mediated,
        0 => classes::class(number),
        TO_LINUX => Class::Forward,
        _ => Class::Local,
    }
}

/// True if call `number`, which the kernel's table forwards, is forwarded here, too.
#[must_use]
pub fn forwards(number: usize) -> bool {
    match said(number) {
        0 => !posix::mediates(number),
        said => said == TO_LINUX,
    }
}

/// The error number with which call `number` is denied, if it is.
#[must_use]
pub fn denied(number: usize) -> Option<i32> {
    match said(number) {
        0 | TO_LINUX => None,
        error => Some(i32::from(error)),
    }
}
