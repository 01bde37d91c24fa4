//! Where the stub enters the payload: chooses the platform and hybridizes the process.

use crate::hosted;
use crate::kernel::config::Config;
use crate::kernel::{objects, single_threaded};
use crate::kvm;
use crate::models;
use crate::report;
use crate::start::{Start, at};
use core::fmt::Write;
use core::sync::atomic::Ordering;
use hrt_abi::{InfoBlock, PayloadHeader};
use hrt_kernel::platform::{Machine, Platform};
use hrt_kernel::settings::{BadSetting, Model, Settings, built_model, built_platform};

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
    /// What the configuration says of overrides and system calls.
    pub config: Config,
}

impl Context {
    /// For how long a kernel thread may compute while others could execute, in microseconds; 0: as long as it likes.
    #[must_use]
    pub fn preempt(&self) -> u32 {
        self.settings.preempt.unwrap_or(self.config.preempt())
    }
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
    // SAFETY: the stub's promise: `info` is the information block, which mv-link has filled.
    let linked_at = unsafe { (*info).vaddr } as usize;
    objects::BIAS.store((info as usize).wrapping_sub(linked_at), Ordering::Relaxed);

    // A program that runs with more rights than its caller takes no orders from the caller's environment.
    let secure = start.aux(at::SECURE).unwrap_or(1) != 0;
    // SAFETY: the stub's promise: `info` is the information block, which mv-link has filled.
    let options = unsafe { options(info) };
    let platform = built_platform(options).unwrap_or(Platform::Auto);
    let settings = if secure {
        Settings {
            platform,
            ..Settings::default()
        }
    } else {
        match Settings::read(platform, |name| start.env(name)) {
            Ok(s) => s,
            Err(bad) => bad_setting(bad),
        }
    };
    let model = built_model(options);
    if settings.platform == Platform::Native {
        if model == Model::Native {
            models::needs_kernel("HRT_PLATFORM=native is plain Linux");
        }
        return entry;
    }
    let context = Context {
        start,
        settings,
        base,
        // SAFETY: the stub's promise.
        size: unsafe { (*header).mem_size } as usize,
        // SAFETY: as for the options.
        config: unsafe { Config::of(info) },
    };
    match model {
        Model::Accelerator => models::wait_for_init(context),
        Model::Incremental => {
            // Under `auto` the program just runs on the last platform, which is plain Linux.
            let _ = move_process(&context);
        }
        Model::Native => {
            // Before the move: after it, what is the kernel's may not be written any more.
            let start = models::native(entry);
            if let Err(why) = move_process(&context) {
                models::needs_kernel(why);
            }
            return start;
        }
    }
    entry
}

/// Moves the process to the platform that was asked for, or to the best. One asked for by name that cannot run ends the process.
///
/// # Errors
/// Why no platform but plain Linux can run.
pub fn move_process(context: &Context) -> Result<(), &'static str> {
    let r = hybridize(context);
    if let Err(why) = r {
        if context.settings.platform != Platform::Auto {
            report::cannot_run(context.settings.platform.name(), why);
        }
    }
    r
}

fn hybridize(context: &Context) -> Result<(), &'static str> {
    // Asked once: a VM that was given up leaves a thread of Linux's for a moment.
    if !single_threaded() {
        return Err("the process has more than one thread before the program starts");
    }
    match context.settings.platform {
        Platform::Native => Ok(()),
        Platform::Kvm => kvm::Kvm.hybridize(context),
        Platform::Hosted => hosted::Hosted.hybridize(context),
        Platform::Auto => kvm::Kvm
            .hybridize(context)
            .or_else(|_| hosted::Hosted.hybridize(context)),
    }
}

/// The build options that the information block points at.
///
/// # Safety
/// `info` must be the information block of this hybrid.
unsafe fn options(info: *const InfoBlock) -> &'static [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        match (*info).options_delta {
            0 => &[],
            delta => core::slice::from_raw_parts(
                info.cast::<u8>().offset(delta as isize),
                (*info).options_size as usize,
            ),
        }
    }
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
