//! Measures what things cost here and now, plain and as a hybrid: a copy of this very program is hybridized into a temporary
//! directory, and both run [`super::measure`]'s operations, in rounds in which they take turns.

use super::measure;
use super::report::Usage;
use super::sys::{self, Program};
use super::trace::{self, Image};
use crate::blobs::Blobs;
use crate::error::{Error, Result};
use crate::options::Config;
use crate::{output, rewrite};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rounds of all operations: at least and at most; between them, until the time is over.
const ROUNDS: [usize; 2] = [9, 45];
/// Time for the rounds.
const BUDGET: Duration = Duration::from_secs(6);
/// Starts in a round.
const STARTS: u32 = 4;
/// How often an operation that consists of several calls is done to count them.
const COUNTED: u64 = 8;
/// The name of the processor time that a process takes from start to end.
pub const START: &str = "start";

/// A figure with its uncertainty: the median of the rounds, and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Range {
    /// The interval's lower end.
    pub low: f64,
    /// The median.
    pub mid: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Range {
    /// Of samples; all zero without any.
    ///
    /// The ends are order statistics, so nothing is assumed of how the samples are distributed: how many of `n` lie below the
    /// median is binomial, n/2 with a standard deviation of √n/2.
    pub fn of(mut samples: Vec<f64>) -> Range {
        samples.sort_by(f64::total_cmp);
        let n = samples.len() as f64;
        let at = |i: f64| -> f64 {
            let i = i.clamp(0.0, (n - 1.0).max(0.0)) as usize;
            samples.get(i).copied().unwrap_or(0.0)
        };
        let half = 1.96 * n.sqrt() / 2.0;
        Range {
            low: at((n / 2.0 - half).floor()),
            mid: at((n / 2.0).floor()),
            high: at((n / 2.0 + half).ceil() - 1.0),
        }
    }

    /// Sum.
    pub fn plus(self, o: Range) -> Range {
        Range {
            low: self.low + o.low,
            mid: self.mid + o.mid,
            high: self.high + o.high,
        }
    }

    /// `n` times as much; `n` is not negative.
    pub fn times(self, n: f64) -> Range {
        Range {
            low: self.low * n,
            mid: self.mid * n,
            high: self.high * n,
        }
    }

    /// Difference: as uncertain as both together.
    pub fn minus(self, o: Range) -> Range {
        Range {
            low: self.low - o.high,
            mid: self.mid - o.mid,
            high: self.high - o.low,
        }
    }

    /// The smallest range that has both; the middle is that of `self`.
    pub fn with(self, o: Range) -> Range {
        Range {
            low: self.low.min(o.low),
            mid: self.mid,
            high: self.high.max(o.high),
        }
    }
}

/// What one operation takes of a processor, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Plainly.
    pub plain: Range,
    /// As a hybrid.
    pub hybrid: Range,
    /// The difference, hybrid less plain, round by round.
    pub added: Range,
}

/// What was measured on one platform.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Its name.
    pub platform: String,
    /// Costs by operation.
    pub costs: BTreeMap<String, Cost>,
    /// What the operations that consist of several calls do, for each one of it; and a start.
    #[serde(skip)]
    pub contents: BTreeMap<&'static str, Image>,
}

impl Calibration {
    /// The cost of an operation.
    ///
    /// # Errors
    /// It was not measured.
    pub fn cost(&self, name: &str) -> Result<Cost> {
        let cost = self.costs.get(name).copied();
        cost.ok_or_else(|| Error::Predict(format!("the calibration run did not time '{name}'")))
    }
}

/// The pair of programs that are timed.
pub struct Pair {
    dir: tempfile::TempDir,
    own: PathBuf,
    contents: BTreeMap<&'static str, Image>,
}

impl Pair {
    /// Hybridizes a copy of this program, and counts what the operations do that are not single calls: so that whether programs can
    /// be traced here is known before one runs.
    ///
    /// # Errors
    /// As [`rewrite::hybridize`]'s, and those of writing to the temporary directory and of tracing.
    pub fn new(blobs: &Blobs<'_>) -> Result<Pair> {
        let own = Path::new("/proc/self/exe");
        let dir =
            tempfile::tempdir().map_err(failed("cannot make a temporary directory (TMPDIR)"))?;
        let input = output::read(own)?;
        let hybrid = match rewrite::hybridize(&input.bytes, blobs, &Config::default()) {
            Ok(h) => h.bytes,
            // This program is one itself: then it can be both.
            Err(_) if super::is_active_hybrid(own) => input.bytes,
            Err(e) => return Err(e),
        };
        output::write(&dir.path().join("hybrid"), &hybrid, 0o700)?;
        let own = std::fs::read_link(own).map_err(Error::file(own, "cannot read"))?;
        let mut pair = Pair {
            dir,
            own,
            contents: BTreeMap::new(),
        };
        pair.contents = pair.contents()?;
        Ok(pair)
    }

    fn program(&self, platform: &str) -> PathBuf {
        if platform == "native" {
            self.own.clone()
        } else {
            self.dir.path().join("hybrid")
        }
    }

    fn command(&self, platform: &str, name: &str, number: u32) -> Command {
        let mut c = Command::new(self.program(platform));
        c.args([super::MEASURE, name, &number.to_string()])
            .env("HRT_PLATFORM", platform)
            .env_remove("HRT_STATS")
            .env_remove("HRT_TRACE")
            .env_remove("HRT_PATCH")
            .stdin(Stdio::null());
        c
    }

    /// Whether hybrids run on this platform; the reason if not.
    pub fn runs_on(&self, platform: &str) -> Result<(), String> {
        let out = self.command(platform, "nothing", 0).output();
        match out {
            Ok(o) if o.status.success() => Ok(()),
            Ok(o) => Err(format!(
                "a hybrid does not run there ({}): {}",
                o.status,
                String::from_utf8_lossy(&o.stderr).trim()
            )),
            Err(e) => Err(format!("a hybrid cannot be executed: {e}")),
        }
    }

    /// One round of all operations and of starts, in nanoseconds.
    fn round(&self, platform: &str, divisor: u32) -> Result<BTreeMap<String, f64>> {
        let mut costs = BTreeMap::new();
        for (name, times) in measure::operations() {
            let out = self.command(platform, name, times / divisor).output();
            let out = out.map_err(failed("cannot execute the calibration run"))?;
            let text = String::from_utf8_lossy(&out.stdout);
            let Some(value) = text.trim().parse().ok().filter(|_| out.status.success()) else {
                return Err(Error::Predict(format!(
                    "the calibration run of '{name}' on {platform} failed ({}): {}",
                    out.status,
                    String::from_utf8_lossy(&out.stderr).trim()
                )));
            };
            costs.insert(name.to_owned(), value);
        }
        let mut seconds = 0.0;
        for _ in 0..STARTS {
            let null = null().map_err(failed(NULL))?;
            let program = self.arguments(platform, "nothing", 0)?;
            let started = sys::start(&program, [Some(null.as_fd()); 3], None)
                .map_err(failed("cannot execute the calibration run"))?;
            let ended = sys::wait(started.pid).map_err(failed("cannot wait for it"))?;
            if ended.status != 0 {
                return Err(Error::Predict(format!(
                    "the calibration run on {platform} ended with status {:#x}",
                    ended.status
                )));
            }
            let usage = Usage::of(&ended.usage);
            seconds += usage.user + usage.system;
        }
        costs.insert(START.into(), seconds * 1e9 / f64::from(STARTS));
        Ok(costs)
    }

    /// Measures `platform` beside plain; where each exit is dear, a `divisor`th of the usual number of operations.
    ///
    /// # Errors
    /// [`Error::Predict`] if the operations fail, plainly or there.
    pub fn calibrate(&self, platform: &str, divisor: u32) -> Result<Calibration> {
        let mut samples: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
        let start = Instant::now();
        for round in 0..ROUNDS[1] {
            if round >= ROUNDS[0] && start.elapsed() > BUDGET {
                break;
            }
            let mut both = [BTreeMap::new(), BTreeMap::new()];
            for i in [round % 2, 1 - round % 2] {
                both[i] = self.round(["native", platform][i], divisor)?;
            }
            let [plain, hybrid] = both;
            for (name, p) in plain {
                if let Some(h) = hybrid.get(&name) {
                    samples.entry(name).or_default().push([p, *h]);
                }
            }
        }
        let costs = samples.into_iter().map(|(name, s)| {
            let of = |f: fn(&[f64; 2]) -> f64| Range::of(s.iter().map(f).collect());
            let cost = Cost {
                plain: of(|s| s[0]),
                hybrid: of(|s| s[1]),
                added: of(|s| s[1] - s[0]),
            };
            (name, cost)
        });
        Ok(Calibration {
            platform: platform.into(),
            costs: costs.collect(),
            contents: self.contents.clone(),
        })
    }

    /// Counts what the operations that are not single calls do.
    fn contents(&self) -> Result<BTreeMap<&'static str, Image>> {
        let start = self.count("nothing", 0)?;
        let mut all = BTreeMap::new();
        for name in ["thread", "spawn", "fork"] {
            // Less what a smaller number does: starting, ending, the first time.
            let few = self.count(name, COUNTED)?;
            let many = self.count(name, 3 * COUNTED)?;
            all.insert(name, difference(&many, &few, 2 * COUNTED));
        }
        all.insert(START, start);
        Ok(all)
    }

    /// The calibration run as a program for [`sys::start`].
    fn arguments(&self, platform: &str, name: &str, number: u64) -> Result<Program> {
        let file = self.program(platform);
        let number = number.to_string();
        let words = [
            file.as_os_str(),
            super::MEASURE.as_ref(),
            name.as_ref(),
            number.as_ref(),
        ];
        Program::new(
            &words,
            &[
                ("HRT_PLATFORM", platform),
                ("HRT_STATS", ""),
                ("HRT_TRACE", ""),
            ],
        )
        .map_err(failed("cannot execute the calibration run"))
    }

    fn count(&self, name: &str, times: u64) -> Result<Image> {
        let program = self.arguments("native", name, times)?;
        let null = null().map_err(failed(NULL))?;
        let started = sys::start(&program, [Some(null.as_fd()); 3], Some(trace::OPTIONS))
            .map_err(failed(super::CANNOT_TRACE))?;
        let counts = trace::follow(started.pid)
            .map_err(failed("cannot count what the calibration run does"))?;
        match counts.images.into_iter().next() {
            Some(image) if counts.status == 0 => Ok(image),
            _ => Err(Error::Predict(format!(
                "counting '{name}' of the calibration run ended with status {:#x}",
                counts.status
            ))),
        }
    }
}

fn null() -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
}
const NULL: &str = "cannot open /dev/null";

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { action, source }
}

/// What `many` did more than `few`, for each of `n`.
fn difference(many: &Image, few: &Image, n: u64) -> Image {
    let per = |many: u64, few: u64| (many.saturating_sub(few) + n / 2) / n;
    let less = |many: &BTreeMap<u64, u64>, few: &BTreeMap<u64, u64>| {
        let each = many
            .iter()
            .map(|(k, v)| (*k, per(*v, few.get(k).copied().unwrap_or(0))));
        each.filter(|(_, v)| *v != 0).collect()
    };
    Image {
        calls: less(&many.calls, &few.calls),
        trapping: less(&many.trapping, &few.trapping),
        anonymous_faults: per(many.anonymous_faults, few.anonymous_faults),
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        // For 25 samples, tables have the 8th and the 18th.
        let r = Range::of((1..=25).rev().map(f64::from).collect());
        assert_eq!((r.low, r.mid, r.high), (8.0, 13.0, 18.0));
        let few = Range::of(vec![3.0, 1.0]);
        assert_eq!((few.low, few.high), (1.0, 3.0));
        let z = r.minus(r);
        assert_eq!((z.low, z.mid, z.high), (-10.0, 0.0, 10.0));
        assert_eq!(Range::of(Vec::new()), Range::default());
    }

    #[test]
    fn what_one_does() {
        let image = |n: u64| Image {
            calls: BTreeMap::from([(56, n), (231, 1)]),
            ..Image::default()
        };
        let one = difference(&image(29), &image(13), 8);
        assert_eq!(one.calls, BTreeMap::from([(56, 2)]));
    }
}
