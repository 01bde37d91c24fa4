//! Where the stub enters the payload: chooses the platform and hybridizes the process.

use crate::hosted;
use crate::report;
use crate::start::{Start, at};
use core::fmt::Write;
use hrt_abi::{InfoBlock, PayloadHeader};
use hrt_kernel::platform::{Machine, Platform};
use hrt_kernel::settings::{BadSetting, Settings};

/// Everything a platform needs to know of the start of the process.
pub struct Context {
    /// The initial stack.
    pub start: Start,
    /// What the user asked for.
    pub settings: Settings<'static>,
    /// Load address of the payload's image.
    pub base: usize,
    /// Size of the payload's image in memory, in bytes.
    pub size: usize,
}

/// The payload's entry, called by `stub.S` once.
///
/// Returns the address at which the program goes on, which is always its original entry point `entry`.
///
/// # Safety
/// Only the stub may call this: `sp` is the initial stack pointer, `header` the blob that was loaded at `base`.
#[cfg_attr(feature = "payload", unsafe(no_mangle))]
pub unsafe extern "C" fn hrt_payload_entry(
    sp: *mut usize,
    info: *const InfoBlock,
    base: usize,
    header: *const PayloadHeader,
    entry: usize,
) -> usize {
    // SAFETY: the stub's promise.
    let start = unsafe { Start::from_stack(sp) };
    // The program sees the entry point that it was linked with.
    start.set_aux(at::ENTRY, entry);

    // A program that runs with more rights than its caller takes no orders from the caller's environment.
    let secure = start.aux(at::SECURE).unwrap_or(1) != 0;
    let mut settings = if secure {
        Settings::default()
    } else {
        match Settings::read(|name| start.env(name)) {
            Ok(s) => s,
            Err(bad) => bad_setting(bad),
        }
    };
    if settings.platform == Platform::Auto
        && (secure || start.env(b"HRT_PLATFORM").is_none_or(<[u8]>::is_empty))
    {
        // SAFETY: the stub's promise: `info` is the information block, which mv-link has filled.
        let options = unsafe {
            let (delta, size) = ((*info).options_delta, (*info).options_size);
            match delta {
                0 => &[][..],
                _ => core::slice::from_raw_parts(
                    info.cast::<u8>().offset(delta as isize),
                    size as usize,
                ),
            }
        };
        if let Some(platform) = hrt_kernel::settings::built_platform(options) {
            settings.platform = platform;
        }
    }
    if settings.platform == Platform::Native {
        return entry;
    }
    if settings.platform == Platform::Kvm {
        report::cannot_run("kvm", "this version has no kvm platform");
    }
    let context = Context {
        start,
        settings,
        base,
        // SAFETY: the stub's promise.
        size: unsafe { (*header).mem_size } as usize,
    };
    if let Err(why) = hosted::Hosted.hybridize(&context) {
        // Under `auto` the program just runs on the next platform, which is plain Linux.
        if settings.platform == Platform::Hosted {
            report::cannot_run(hosted::Hosted::PLATFORM.name(), why);
        }
    }
    entry
}

fn bad_setting(bad: BadSetting) -> ! {
    let mut line: report::Line = report::Line::new();
    let _ = writeln!(
        line,
        "multiverse: {} has a value that means nothing (it may be {})",
        bad.variable, bad.expected
    );
    crate::raw::write_all(2, line.bytes());
    crate::raw::exit_group(report::EXIT_CANNOT_RUN)
}
