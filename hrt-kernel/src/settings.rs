//! The environment variables `HRT_*`: what they may say.

use crate::platform::Platform;

/// Where a report goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Nowhere: not asked for.
    Off,
    /// Standard error, as text.
    Stderr,
    /// The file of this name, appended to.
    File(&'a [u8]),
}

/// How the kernel takes part in the program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Not at all.
    Linux,
    /// It decides where anonymous memory lies and maps ahead (`crate::arena`).
    Arena,
    /// It also keeps what the program unmaps, for the next mapping.
    Keep,
}

impl Memory {
    /// The policy called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"linux" => Self::Linux,
            b"arena" => Self::Arena,
            b"keep" => Self::Keep,
            _ => return None,
        })
    }
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// `HRT_PLATFORM`.
    pub platform: Platform,
    /// `HRT_STATS`.
    pub stats: Output<'a>,
    /// `HRT_TRACE`: system calls.
    pub trace: Output<'a>,
    /// `HRT_PATCH=0`: leave call sites as they are and let every call trap.
    pub patch: bool,
    /// `HRT_CHANNEL=0`: no server makes posted calls, and on `kvm` every call that leaves the guest does so by an exit.
    pub channel: bool,
    /// `HRT_LOCAL=0`: on `kvm` the guest's kernel serves nothing itself.
    pub local: bool,
    /// `HRT_OVERRIDES=0`: legacy functions run.
    pub overrides: bool,
    /// `HRT_RING`: the ring of the program on `kvm`; `None`: the best.
    pub ring: Option<u8>,
    /// `HRT_MEMORY`; `None`: it says nothing.
    pub memory: Option<Memory>,
    /// `HRT_PREEMPT`: how long a kernel thread may compute while others could execute, in microseconds; 0: as long as it likes;
    /// `None`: it says nothing.
    pub preempt: Option<u32>,
}

/// A time such as `10ms`, `500us` or `1s`, or `0`, in microseconds; an hour at most.
#[must_use]
pub fn microseconds(text: &[u8]) -> Option<u32> {
    const HOUR: u32 = 3_600_000_000;
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u32 = core::str::from_utf8(number).ok()?.parse().ok()?;
    let unit = match unit {
        b"us" => 1,
        b"ms" => 1_000,
        b"s" => 1_000_000,
        b"" if number == 0 => 1,
        _ => return None,
    };
    number.checked_mul(unit).filter(|us| *us <= HOUR)
}

/// The platform that a hybrid's build options ask for: `key = value` lines, values in quotes or not.
#[must_use]
pub fn built_platform(options: &[u8]) -> Option<Platform> {
    built(options, b"platform").and_then(Platform::from_name)
}

/// How a program uses the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The whole program executes with the kernel.
    Incremental,
    /// The program is one of Linux's until it calls `hrt_init`.
    Accelerator,
    /// The program is `hrt_main`, written for the kernel's API alone.
    Native,
}

impl Model {
    /// The model called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"incremental" => Self::Incremental,
            b"accelerator" => Self::Accelerator,
            b"native" => Self::Native,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Accelerator => "accelerator",
            Self::Native => "native",
        }
    }
}

/// The usage model that a hybrid's build options name.
#[must_use]
pub fn built_model(options: &[u8]) -> Model {
    built(options, b"model")
        .and_then(Model::from_name)
        .unwrap_or(Model::Incremental)
}

/// The value of `key` in build options.
fn built<'a>(options: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    options.split(|c| *c == b'\n').find_map(|line| {
        let line = line.trim_ascii().strip_prefix(key)?;
        let value = line.trim_ascii().strip_prefix(b"=")?.trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        Some(value.strip_suffix(b"\"").unwrap_or(value))
    })
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Settings {
            platform: Platform::Auto,
            stats: Output::Off,
            trace: Output::Off,
            patch: true,
            channel: true,
            local: true,
            overrides: true,
            ring: None,
            memory: None,
            preempt: None,
        }
    }
}

/// A setting that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSetting {
    /// The variable.
    pub variable: &'static str,
    /// What it may be.
    pub expected: &'static str,
}

impl<'a> Settings<'a> {
    /// Reads the settings through `get`, which answers an environment variable's value. `platform` is the
    /// one to take where `HRT_PLATFORM` says nothing.
    ///
    /// An empty value counts as unset.
    ///
    /// # Errors
    /// The first variable whose value means nothing.
    pub fn read(
        platform: Platform,
        get: impl Fn(&[u8]) -> Option<&'a [u8]>,
    ) -> Result<Self, BadSetting> {
        let mut s = Settings {
            platform,
            ..Settings::default()
        };
        let get = |name: &[u8]| get(name).filter(|v| !v.is_empty());
        if let Some(v) = get(b"HRT_PLATFORM") {
            s.platform = Platform::from_name(v).ok_or(BadSetting {
                variable: "HRT_PLATFORM",
                expected: "auto, kvm, hosted or native",
            })?;
        }
        s.stats = match get(b"HRT_STATS") {
            None | Some(b"0") => Output::Off,
            Some(b"1") => Output::Stderr,
            Some(file) => Output::File(file),
        };
        s.trace = match get(b"HRT_TRACE") {
            None | Some(b"0") => Output::Off,
            Some(v) => match v.strip_prefix(b"syscalls") {
                Some(b"") => Output::Stderr,
                Some([b':', file @ ..]) if !file.is_empty() => Output::File(file),
                _ => {
                    return Err(BadSetting {
                        variable: "HRT_TRACE",
                        expected: "syscalls or syscalls:FILE",
                    });
                }
            },
        };
        let switch = |variable: &'static str| match get(variable.as_bytes()) {
            None | Some(b"1") => Ok(true),
            Some(b"0") => Ok(false),
            Some(_) => Err(BadSetting {
                variable,
                expected: "0 or 1",
            }),
        };
        s.patch = switch("HRT_PATCH")?;
        s.channel = switch("HRT_CHANNEL")?;
        s.local = switch("HRT_LOCAL")?;
        s.overrides = switch("HRT_OVERRIDES")?;
        s.ring = match get(b"HRT_RING") {
            None => None,
            Some(b"0") => Some(0),
            Some(b"3") => Some(3),
            Some(_) => {
                return Err(BadSetting {
                    variable: "HRT_RING",
                    expected: "0 or 3",
                });
            }
        };
        if let Some(v) = get(b"HRT_MEMORY") {
            s.memory = Some(Memory::from_name(v).ok_or(BadSetting {
                variable: "HRT_MEMORY",
                expected: "linux, arena or keep",
            })?);
        }
        if let Some(v) = get(b"HRT_PREEMPT") {
            s.preempt = Some(microseconds(v).ok_or(BadSetting {
                variable: "HRT_PREEMPT",
                expected: "0, or a time such as 10ms",
            })?);
        }
        Ok(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        vars: &'static [(&'static str, &'static str)],
    ) -> Result<Settings<'static>, BadSetting> {
        Settings::read(Platform::Auto, |n| {
            vars.iter()
                .find(|(k, _)| k.as_bytes() == n)
                .map(|(_, v)| v.as_bytes())
        })
    }

    #[test]
    fn defaults() {
        assert_eq!(read(&[]), Ok(Settings::default()));
        assert_eq!(
            read(&[("HRT_PLATFORM", ""), ("HRT_STATS", "0")]),
            Ok(Settings::default())
        );
    }

    #[test]
    fn values() {
        let s = read(&[
            ("HRT_PLATFORM", "native"),
            ("HRT_STATS", "out.json"),
            ("HRT_TRACE", "syscalls:t"),
            ("HRT_PATCH", "0"),
            ("HRT_MEMORY", "keep"),
            ("HRT_CHANNEL", "0"),
            ("HRT_LOCAL", "0"),
        ])
        .unwrap();
        assert_eq!(s.platform, Platform::Native);
        assert_eq!(s.stats, Output::File(b"out.json"));
        assert_eq!(s.trace, Output::File(b"t"));
        assert!(!s.patch && !s.channel && !s.local);
        assert_eq!(s.memory, Some(Memory::Keep));
        assert_eq!(read(&[("HRT_STATS", "1")]).unwrap().stats, Output::Stderr);
        assert_eq!(
            read(&[("HRT_TRACE", "syscalls")]).unwrap().trace,
            Output::Stderr
        );
    }

    #[test]
    fn build_options() {
        assert_eq!(
            built_platform(b"platform = \"native\"\n"),
            Some(Platform::Native)
        );
        assert_eq!(
            built_platform(b"x = 1\nplatform=hosted"),
            Some(Platform::Hosted)
        );
        for nothing in [
            &b""[..],
            b"platform",
            b"platform = ",
            b"platforms = hosted",
            b"platform = \"",
        ] {
            assert_eq!(built_platform(nothing), None);
        }
    }

    #[test]
    fn models() {
        assert_eq!(built_model(b""), Model::Incremental);
        assert_eq!(built_model(b"model = \"native\"\n"), Model::Native);
        for m in [Model::Incremental, Model::Accelerator, Model::Native] {
            assert_eq!(Model::from_name(m.name().as_bytes()), Some(m));
        }
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(
            read(&[("HRT_PLATFORM", "xen")]).unwrap_err().variable,
            "HRT_PLATFORM"
        );
        assert_eq!(
            read(&[("HRT_TRACE", "all")]).unwrap_err().variable,
            "HRT_TRACE"
        );
        assert_eq!(
            read(&[("HRT_MEMORY", "all")]).unwrap_err().variable,
            "HRT_MEMORY"
        );
        assert_eq!(
            read(&[("HRT_CHANNEL", "on")]).unwrap_err().variable,
            "HRT_CHANNEL"
        );
        assert_eq!(
            read(&[("HRT_OVERRIDES", "no")]).unwrap_err().variable,
            "HRT_OVERRIDES"
        );
        assert_eq!(read(&[("HRT_RING", "1")]).unwrap_err().variable, "HRT_RING");
        assert_eq!(
            read(&[("HRT_PREEMPT", "10")]).unwrap_err().variable,
            "HRT_PREEMPT"
        );
    }

    #[test]
    fn times() {
        for (text, us) in [
            ("0", Some(0)),
            ("0ms", Some(0)),
            ("10ms", Some(10_000)),
            ("500us", Some(500)),
            ("3600s", Some(3_600_000_000)),
            ("3601s", None),
            ("10", None),
            ("ms", None),
            ("", None),
            ("1.5ms", None),
            ("-1ms", None),
            ("99999999999ms", None),
        ] {
            assert_eq!(microseconds(text.as_bytes()), us, "{text}");
        }
        let s = read(&[("HRT_PREEMPT", "2ms")]).unwrap();
        assert_eq!(s.preempt, Some(2_000));
    }
}
