//! The configuration blob of this hybrid (`hrt_abi::config`), as mv-link has put it behind the payload.

use crate::report;
use crate::start;
use hrt_abi::InfoBlock;
use hrt_abi::config::{CHANNEL_POLICIES, Call, Header, MAGIC, MEMORY_POLICIES, Override, VERSION};
use hrt_kernel::settings::Memory;

/// What the blob says; nothing without one.
#[derive(Clone, Copy)]
pub struct Config {
    /// The header, if there is a blob.
    pub header: Option<&'static Header>,
    /// The overrides.
    pub overrides: &'static [Override],
    /// The system calls.
    pub calls: &'static [Call],
    names: &'static [u8],
    /// Address of the information block: where deltas count from.
    pub info: usize,
}

impl Config {
    /// The blob that the information block leads to. One that is broken ends the process: its program was promised something.
    ///
    /// # Safety
    /// `info` must be the information block of this hybrid.
    #[must_use]
    pub unsafe fn of(info: *const InfoBlock) -> Config {
        let mut config = Config {
            header: None,
            overrides: &[],
            calls: &[],
            names: &[],
            info: info as usize,
        };
        // SAFETY: the caller's promise; mv-link has aligned the blob, and the sizes are looked at before they are used.
        unsafe {
            let size = (*info).config_size as usize;
            if (*info).config_delta == 0 {
                return config;
            }
            let at = info.cast::<u8>().offset((*info).config_delta as isize);
            let header = &*at.cast::<Header>();
            let overrides = header.overrides as usize;
            let calls = header.calls as usize;
            let calls_at = size_of::<Header>() + overrides * size_of::<Override>();
            let names_at = calls_at + calls * size_of::<Call>();
            if size < size_of::<Header>()
                || header.magic != MAGIC
                || header.version != VERSION
                || header.size as usize != size
                || names_at > size
            {
                report::fatal("the configuration in this executable is broken: link it again");
            }
            config.header = Some(header);
            config.overrides =
                core::slice::from_raw_parts(at.add(size_of::<Header>()).cast(), overrides);
            config.calls = core::slice::from_raw_parts(at.add(calls_at).cast(), calls);
            config.names = core::slice::from_raw_parts(at.add(names_at), size - names_at);
        }
        config
    }

    /// `[memory] policy`.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        Memory::from_name(Self::policy(MEMORY_POLICIES, self.header?.memory)?.as_bytes())
    }

    /// False if `[channel] policy` is `exit`.
    #[must_use]
    pub fn channel(&self) -> bool {
        let said = self
            .header
            .and_then(|h| Self::policy(CHANNEL_POLICIES, h.channel));
        said != Some("exit")
    }

    /// True with the set `pthread`.
    #[must_use]
    pub fn threads(&self) -> bool {
        self.header.is_some_and(|h| h.threads != 0)
    }

    /// `[threads] preempt`, in microseconds; 0: nothing.
    #[must_use]
    pub fn preempt(&self) -> u32 {
        self.header.map_or(0, |h| h.preempt)
    }

    /// The policy that a byte of the header stands for.
    fn policy(names: &[&'static str], byte: u8) -> Option<&'static str> {
        names.get(usize::from(byte).checked_sub(1)?).copied()
    }

    /// The name of the function that `o` overrides.
    #[must_use]
    pub fn name(&self, o: &Override) -> &'static [u8] {
        match self.names.get(o.name as usize..) {
            // SAFETY: mv-link has ended each name with a NUL, the last one too.
            Some(rest) if rest.contains(&0) => unsafe { start::c_str(rest.as_ptr()) },
            _ => report::fatal("the configuration in this executable is broken: link it again"),
        }
    }
}
