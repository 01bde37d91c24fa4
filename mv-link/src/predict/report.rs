//! What `--predict` reports, as text and for JSON.

use super::calibrate::Range;
use super::model::Prediction;
use super::trace::{Image, Sized};
use hrt_kernel::classes::{self, Class};
use hrt_kernel::names;
use serde::Serialize;
use std::fmt;

/// What a run took, of the program and of those descendants that were waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Elapsed time in seconds.
    pub elapsed: f64,
    /// Of that, time in which its first thread could have run, had a processor been free.
    pub delayed: f64,
    /// Processor time in user mode, in seconds.
    pub user: f64,
    /// Processor time in the kernel, in seconds.
    pub system: f64,
    /// Page faults without input.
    pub minor_faults: u64,
    /// Page faults that waited for input.
    pub major_faults: u64,
    /// Context switches because it waited.
    pub voluntary_switches: u64,
    /// Context switches because its time was over.
    pub involuntary_switches: u64,
    /// The most memory that one process had at a time, in KiB.
    pub most_resident: u64,
}

impl Usage {
    /// From getrusage(2)'s figures; elapsed time and delay are not among them.
    pub fn of(u: &libc::rusage) -> Usage {
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
        Usage {
            elapsed: 0.0,
            delayed: 0.0,
            user: seconds(u.ru_utime),
            system: seconds(u.ru_stime),
            minor_faults: u.ru_minflt as u64,
            major_faults: u.ru_majflt as u64,
            voluntary_switches: u.ru_nvcsw as u64,
            involuntary_switches: u.ru_nivcsw as u64,
            most_resident: u.ru_maxrss as u64,
        }
    }
}

/// A platform for which there is no prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotPredicted {
    /// Its name.
    pub platform: &'static str,
    /// Why.
    pub why: String,
}

/// What `--predict` reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How it ended.
    pub status: String,
    /// 2: one for time, untraced, and one for counts. 1: one traced run for both.
    pub runs: u32,
    /// What the first run took.
    pub usage: Usage,
    /// What the counting run did, by executable; the command's own first.
    pub programs: Vec<Image>,
    /// The predictions.
    pub predictions: Vec<Prediction>,
    /// Platforms without one.
    pub not_predicted: Vec<NotPredicted>,
    /// What is to be kept in mind.
    pub notes: Vec<String>,
}

/// A delay longer than this part of the elapsed time is told.
const DELAYED: f64 = 0.02;

/// A time with a sign and a unit that suits it.
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = match self.0.abs() {
            x if x >= 1.0 => format!("{:+.2} s", self.0),
            x if x >= 1e-3 => format!("{:+.2} ms", self.0 * 1e3),
            x if x >= 1e-6 => format!("{:+.1} µs", self.0 * 1e6),
            _ => format!("{:+.0} ns", self.0 * 1e9),
        };
        f.pad(&s)
    }
}

/// Bytes with a unit that suits them.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b if b >= 10 << 30 => write!(f, "{} GiB", b >> 30),
            b if b >= 10 << 20 => write!(f, "{} MiB", b >> 20),
            b => write!(f, "{} KiB", b.div_ceil(1024)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let u = &self.usage;
        writeln!(f, "multiverse: {}: {}", self.command.join(" "), self.status)?;
        let how = match self.runs {
            1 => "of a traced run: the tracer's part is most of it",
            _ => "of a run that was not traced; the counts are of another",
        };
        writeln!(
            f,
            "  time          {:.3} s elapsed, {:.3} user, {:.3} system ({how})",
            u.elapsed, u.user, u.system
        )?;
        if u.delayed > u.elapsed * DELAYED {
            writeln!(
                f,
                "                {:.3} s of it waiting for a processor that others used, which is left out below",
                u.delayed
            )?;
        }
        writeln!(
            f,
            "  page faults   {} minor, {} major",
            u.minor_faults, u.major_faults
        )?;
        writeln!(
            f,
            "  switches      {} voluntary, {} involuntary",
            u.voluntary_switches, u.involuntary_switches
        )?;
        for (i, image) in self.programs.iter().enumerate() {
            writeln!(f)?;
            if i == 0 {
                image_text(f, image)?;
            } else {
                writeln!(
                    f,
                    "{}: {} starts, {} system calls, {} threads, {} forks",
                    image.path.display(),
                    image.starts,
                    image.all_calls(),
                    image.threads,
                    image.forks + image.vforks
                )?;
            }
        }
        for p in &self.predictions {
            writeln!(f)?;
            prediction_text(f, p, u.elapsed - u.delayed)?;
        }
        if !self.not_predicted.is_empty() {
            writeln!(f)?;
        }
        for n in &self.not_predicted {
            writeln!(f, "{}: not predicted: {}", n.platform, n.why)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

fn image_text(f: &mut fmt::Formatter<'_>, image: &Image) -> fmt::Result {
    writeln!(f, "{}", image.path.display())?;
    writeln!(
        f,
        "  started       {} times; {} threads, {} forks, {} vforks",
        image.starts, image.threads, image.forks, image.vforks
    )?;
    writeln!(
        f,
        "  anonymous     about {} page faults for anonymous memory ({} of any kind before the entry point)",
        image.anonymous_faults, image.faults_before_entry
    )?;
    let m = &image.memory;
    write!(f, "  memory calls ")?;
    for (name, s) in [
        ("anonymous mmap", m.mmap_anonymous),
        ("placed", m.mmap_placed),
        ("wide", m.mmap_wide),
        ("reserved", m.mmap_reserved),
        ("other mmap", m.mmap_other),
        ("munmap", m.munmap),
        ("mprotect", m.mprotect),
        ("mremap", m.mremap),
        ("giving back", m.given_back),
        ("brk", m.brk),
    ] {
        let Sized { calls, bytes } = s;
        if calls > 0 {
            write!(f, " {name} {calls} ({}),", Bytes(bytes))?;
        }
    }
    writeln!(f, " those of the dynamic linker included")?;
    if !image.signals.is_empty() {
        write!(f, "  signals      ")?;
        for (n, count) in &image.signals {
            match names::signal(*n) {
                Some(name) => write!(f, " {count} {name}")?,
                None => write!(f, " {count} signal {n}")?,
            }
        }
        writeln!(f, "; {} handlers returned", image.count(15))?;
    }
    writeln!(
        f,
        "  system calls  {} from {} places, of which {} cannot be patched ({} calls); {} before the entry point",
        image.all_calls(),
        image.sites,
        image.unpatchable_sites,
        image.trapping.values().sum::<u64>(),
        image.before_entry
    )?;
    if image.foreign > 0 {
        writeln!(
            f,
            "                {} of 32-bit code, which go to Linux as they are",
            image.foreign
        )?;
    }
    let mut calls: Vec<_> = image.calls.iter().collect();
    calls.sort_by_key(|(n, c)| (std::cmp::Reverse(**c), **n));
    for (number, count) in calls {
        let nr = usize::try_from(*number).unwrap_or(usize::MAX);
        let class = match classes::class(nr) {
            Class::Local => "local",
            Class::Forward => "forwarded",
            Class::Mediated => "mediated",
        };
        write!(f, "  {count:>24}  {class} ")?;
        match names::name(nr) {
            Some(name) => writeln!(f, "{name}")?,
            None => writeln!(f, "{number:#x} (unknown)")?,
        }
    }
    Ok(())
}

fn prediction_text(f: &mut fmt::Formatter<'_>, p: &Prediction, plain: f64) -> fmt::Result {
    let three = |r: Range| {
        format!(
            "{} ({} … {})",
            Seconds(r.mid),
            Seconds(r.low),
            Seconds(r.high)
        )
    };
    writeln!(f, "{}: {}", p.platform, three(p.added))?;
    if let (Some(e), Some(r)) = (p.elapsed, p.ratio) {
        writeln!(
            f,
            "  elapsed       {:.3} s ({:.3} … {:.3}), plain {plain:.3}: ratio {:.3} ({:.3} … {:.3}): {}",
            e.mid,
            e.low,
            e.high,
            r.mid,
            r.low,
            r.high,
            verdict(r)
        )?;
    }
    if let Some(r) = p.processor_ratio {
        writeln!(
            f,
            "  processor     ratio {:.3} ({:.3} … {:.3})",
            r.mid, r.low, r.high
        )?;
    }
    for t in &p.terms {
        writeln!(
            f,
            "  {:>10} × {:>9}  {:33} {}",
            t.count,
            Seconds(t.each.mid * 1e-9).to_string(),
            t.what,
            three(t.seconds)
        )?;
    }
    if let Some(s) = p.memory_could_save.filter(|s| *s > 0.0) {
        writeln!(
            f,
            "  not in it     at most {} if the HRT kernel served anonymous memory in 2 MiB pages, which it does not do yet",
            Seconds(-s)
        )?;
    }
    let c = &p.calibration.costs;
    write!(f, "  measured now, ns plain/{}:", p.platform)?;
    for name in [
        "getpid", "getppid", "mmap", "mprotect", "grow", "large", "signal", "fault", "thread",
        "fork", "start",
    ] {
        if let Some(cost) = c.get(name) {
            write!(f, " {name} {:.0}/{:.0}", cost.plain.mid, cost.hybrid.mid)?;
        }
    }
    writeln!(f)
}

/// What a range of ratios says.
fn verdict(r: Range) -> String {
    /// What no one would notice.
    const SAME: f64 = 0.005;
    if r.high < 1.0 - SAME {
        format!("hybridizing gains {:.1} %", (1.0 - r.mid) * 100.0)
    } else if r.low > 1.0 + SAME {
        format!("hybridizing costs {:.1} %", (r.mid - 1.0) * 100.0)
    } else if r.low > 1.0 - SAME && r.high < 1.0 + SAME {
        "no difference".into()
    } else {
        "the difference is within the uncertainty".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(Seconds(-1.5).to_string(), "-1.50 s");
        assert_eq!(Seconds(0.0123).to_string(), "+12.30 ms");
        assert_eq!(Seconds(95e-9).to_string(), "+95 ns");
        assert_eq!(Bytes(1).to_string(), "1 KiB");
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
    }

    #[test]
    fn verdicts() {
        let of = |low, mid, high| verdict(Range { low, mid, high });
        assert_eq!(of(0.8, 0.9, 0.95), "hybridizing gains 10.0 %");
        assert_eq!(of(1.1, 1.2, 1.3), "hybridizing costs 20.0 %");
        assert_eq!(of(0.999, 1.0, 1.002), "no difference");
        assert!(of(0.9, 1.0, 1.1).contains("uncertainty"));
    }
}
