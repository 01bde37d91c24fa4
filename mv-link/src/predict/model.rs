//! The prediction: what was counted, times what each of it costs more as a hybrid.
//!
//! Operations that consist of several calls (a thread, a fork, a start) are taken net of those calls, which are counted in the
//! program like any other.

use super::calibrate::{Calibration, Cost, Range, START};
use super::trace::Image;
use crate::error::Result;
use hrt_kernel::classes::{self, Class};
use serde::Serialize;
use std::collections::BTreeMap;

/// A part of the prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// What.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// What one costs more as a hybrid, in nanoseconds.
    pub each: Range,
    /// All of them, in seconds.
    pub seconds: Range,
}

/// What is predicted for one platform.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Its name.
    pub platform: String,
    /// The parts.
    pub terms: Vec<Term>,
    /// Time added to the plain run, in seconds of a processor; negative: saved.
    pub added: Range,
    /// Elapsed time as a hybrid, in seconds, without waiting for a processor. Missing where the plain run's is not known.
    pub elapsed: Option<Range>,
    /// That, over the plain run's.
    pub ratio: Option<Range>,
    /// Processor time as a hybrid over the plain run's.
    pub processor_ratio: Option<Range>,
    /// What could be saved beyond that if the HRT kernel managed anonymous memory in large pages, in seconds, at most. Missing where the
    /// measured costs show that it does.
    pub memory_could_save: Option<f64>,
    /// What was measured here.
    pub calibration: Calibration,
}

/// Time of the plain run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Elapsed, in seconds, without waiting for a processor.
    pub elapsed: f64,
    /// Of the processors in user mode.
    pub user: f64,
    /// Of the processors in the kernel.
    pub system: f64,
}

/// Numbers of the calls that make a thread or a process, or end one, and of the return from a handler: they are part of
/// what a thread, a process, a signal costs.
const PARTS: [u64; 7] = [15, 56, 57, 58, 60, 231, 435];
/// Signals that stand for a fault of the program's own.
const FAULTS: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];
/// Pages of a round of the operation `churn`, in which there is one mmap and one munmap.
const CHURN_PAGES: f64 = 512.0;
/// Pages for each brk of the operation `heap`, and for each mmap of `placed`.
const HEAP_PAGES: f64 = 31.0;
const PLACED_PAGES: f64 = 64.0;
/// Where a first touch costs this part of a plain one less, the kernel manages memory.
const MANAGED: f64 = 0.3;

/// What one operation costs more, in nanoseconds.
struct Added<'a> {
    calibration: &'a Calibration,
    forwarded: Range,
}

impl Added<'_> {
    fn of(&self, name: &str) -> Result<Range> {
        Ok(self.calibration.cost(name)?.added)
    }

    /// The kind of a system call: what its costs are called, and which operation stands for it.
    fn kind(number: u64) -> Option<(&'static str, &'static str)> {
        let class = classes::class(usize::try_from(number).unwrap_or(usize::MAX));
        Some(match number {
            n if PARTS.contains(&n) => return None,
            9 | 11 | 25 => ("mmap, munmap, mremap", "mmap"),
            10 | 329 => ("mprotect", "mprotect"),
            12 => ("brk", "brk"),
            28 => ("madvise", "madvise"),
            13 => ("rt_sigaction", "sigaction"),
            270 | 271 | 281 | 441 | 127 | 128 | 130 => ("waiting with a signal mask", "ppoll"),
            _ if class == Class::Local => ("local calls", "getpid"),
            _ if class == Class::Mediated => ("other mediated calls", "sigprocmask"),
            _ => ("forwarded calls", "getppid"),
        })
    }

    /// The terms for an image's system calls.
    fn calls(&self, image: &Image) -> Result<Vec<(&'static str, u64, Range)>> {
        let mut kinds: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
        let mut trapping = 0;
        for (number, count) in &image.calls {
            if let Some(kind) = Self::kind(*number) {
                let traps = image.trapping.get(number).copied().unwrap_or(0);
                trapping += traps;
                *kinds.entry(kind).or_default() += count.saturating_sub(traps);
            }
        }
        let mut terms = vec![
            (
                "first use of a call site",
                image.sites.saturating_sub(image.unpatchable_sites),
                self.of("first")?,
            ),
            ("calls that trap", trapping, self.of("trap")?),
        ];
        for ((what, operation), count) in kinds {
            let each = match operation {
                "getppid" => self.forwarded,
                // Where a program's mappings lie is not known: near others, where that is cheaper, or alone.
                "mmap" => {
                    let near = self.of("mmap")?;
                    let alone = self.of("alone")?;
                    let mut both = near.with(alone);
                    both.mid = (near.mid + alone.mid) / 2.0;
                    both
                }
                o => self.of(o)?,
            };
            terms.push((what, count, each));
        }
        Ok(terms)
    }

    /// An operation without the calls that it consists of.
    fn net(&self, name: &'static str) -> Result<Range> {
        let mut inside = Range::default();
        if let Some(image) = self.calibration.contents.get(name) {
            for (_, count, each) in self.calls(image)? {
                // The middle only: that a call's cost is uncertain does not make the sum more so.
                let mid = each.times(count as f64).mid;
                inside = inside.plus(Range {
                    low: mid,
                    mid,
                    high: mid,
                });
            }
        }
        Ok(self.of(name)?.minus(inside))
    }

    /// First touch of a page of memory that lies anywhere: that the process never had, and that comes and goes.
    fn touch(&self) -> Result<Range> {
        let grow = self.of("grow")?;
        let churn = self.less_calls("churn", "mmap", 2.0 / CHURN_PAGES)?;
        let mut both = grow.with(churn);
        both.mid = (grow.mid + churn.mid) / 2.0;
        Ok(both)
    }

    /// An operation less so many calls of another for each.
    fn less_calls(&self, name: &str, call: &str, calls: f64) -> Result<Range> {
        let mid = self.of(call)?.times(calls).mid;
        Ok(self.of(name)?.minus(Range {
            low: mid,
            mid,
            high: mid,
        }))
    }
}

/// An image's page faults for anonymous memory by where that lies: the heap, anywhere, in wide mappings of the program's, or elsewhere
/// where the program wants it. What is named first has them, as far as it was asked for; the rest is the last one's.
fn where_touched(image: &Image) -> [u64; 4] {
    let pages = |bytes: u64| bytes / super::proc::PAGE;
    let all = image.anonymous_faults;
    let heap = pages(image.memory.brk.bytes).min(all);
    let anywhere = pages(image.memory.mmap_anonymous.bytes).min(all - heap);
    let wide = pages(image.memory.mmap_wide.bytes).min(all - heap - anywhere);
    [heap, anywhere, wide, all - heap - anywhere - wide]
}

/// Predicts for what `image` did. `file_faults` are the page faults that were not for anonymous memory, where they are known
/// and the platform has a part in them.
///
/// # Errors
/// An operation was not measured.
pub fn predict(
    image: &Image,
    times: Option<Times>,
    file_faults: Option<u64>,
    calibration: Calibration,
) -> Result<Prediction> {
    let cost = |name: &str| -> Result<Cost> { calibration.cost(name) };
    let forwarded = cost("getppid")?.added;
    // Calls differ in what the longer way costs them: the middle one of three.
    let mut three = [forwarded, cost("read")?.added, cost("write")?.added];
    three.sort_by(|a, b| a.mid.total_cmp(&b.mid));
    let added = Added {
        calibration: &calibration,
        forwarded: three[1].with(three[0]).with(three[2]),
    };
    let mut terms = vec![("starts", image.starts, added.net(START)?)];
    terms.extend(added.calls(image)?);
    let handled = image.count(15);
    let faults: u64 = FAULTS
        .iter()
        .map(|s| image.signals.get(s).copied().unwrap_or(0))
        .sum();
    let faults = faults.min(handled);
    terms.push((
        "faults with a handler",
        faults,
        added.of("fault")?.minus(added.of("mprotect")?.times(2.0)),
    ));
    terms.push((
        "other signals with a handler",
        handled - faults,
        added.of("signal")?.minus(forwarded),
    ));
    terms.push(("threads", image.threads, added.net("thread")?));
    terms.push(("forks", image.forks, added.net("fork")?));
    terms.push(("vforks", image.vforks, added.net("spawn")?));
    let [heap, anywhere, wide, placed] = where_touched(image);
    terms.push((
        "first touches of the heap",
        heap,
        added.less_calls("heap", "brk", 1.0 / HEAP_PAGES)?,
    ));
    terms.push(("first touches, memory anywhere", anywhere, added.touch()?));
    let elsewhere = added.less_calls("placed", "mmap", 1.0 / PLACED_PAGES)?;
    // The beginning gets small pages, the rest huge ones as far as they are cheap at that moment: that is not known before.
    terms.push(("first touches, wide mappings", wide, {
        let touch = added.touch()?;
        let mid = (touch.mid + elsewhere.mid) / 2.0;
        Range {
            mid,
            ..touch.with(elsewhere)
        }
    }));
    terms.push(("first touches, placed memory", placed, elsewhere));
    if let Some(n) = file_faults {
        terms.push(("page faults of files", n, added.of("file")?));
    }

    let terms: Vec<Term> = terms
        .into_iter()
        .filter(|(_, count, _)| *count != 0)
        .map(|(what, count, each)| Term {
            what,
            count,
            each,
            seconds: each.times(count as f64 * 1e-9),
        })
        .collect();
    let sum = terms
        .iter()
        .fold(Range::default(), |sum, t| sum.plus(t.seconds));
    let elapsed = times.map(|t| elapsed(t, sum));
    let ratio = match (elapsed, times) {
        (Some(e), Some(t)) if t.elapsed > 0.0 => Some(e.times(1.0 / t.elapsed)),
        _ => None,
    };
    let processor_ratio = times
        .map(|t| t.user + t.system)
        .filter(|t| *t > 0.0)
        .map(|t| {
            let as_hybrid = |added: f64| (1.0 + added / t).max(0.0);
            Range {
                low: as_hybrid(sum.low),
                mid: as_hybrid(sum.mid),
                high: as_hybrid(sum.high),
            }
        });
    let plain = |name: &str| -> Result<f64> { Ok(cost(name)?.plain.mid) };
    let managed = added.touch()?.mid < -MANAGED * plain("grow")?;
    let memory_could_save = if managed {
        None
    } else {
        let page = (plain("grow")? - plain("large")?).max(0.0);
        let calls = image.memory.mmap_anonymous.calls + image.memory.munmap.calls;
        Some((image.anonymous_faults as f64 * page + calls as f64 * plain("mmap")?) * 1e-9)
    };
    Ok(Prediction {
        platform: calibration.platform.clone(),
        terms,
        added: sum,
        elapsed,
        ratio,
        processor_ratio,
        memory_could_save,
        calibration,
    })
}

/// What processors do more of takes as long where they work one after the other, and less where they work side by side.
fn elapsed(t: Times, added: Range) -> Range {
    let parallel = ((t.user + t.system) / t.elapsed.max(1e-9)).max(1.0);
    let at_least = |x: f64| (t.elapsed + x).max(0.0);
    Range {
        low: at_least(added.low.min(added.low / parallel)),
        mid: at_least(added.mid / parallel),
        high: at_least(added.high.max(added.high / parallel)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation costs `ns` more, a call in a start included.
    fn all(ns: f64) -> Calibration {
        let each = Range {
            low: ns - 1.0,
            mid: ns,
            high: ns + 1.0,
        };
        let cost = Cost {
            plain: Range::of(vec![1000.0]),
            hybrid: Range::of(vec![1000.0 + ns]),
            added: each,
        };
        let names = [
            "grow",
            "churn",
            "heap",
            "placed",
            "alone",
            "large",
            "file",
            "getpid",
            "getppid",
            "read",
            "write",
            "sigprocmask",
            "sigaction",
            "ppoll",
            "mmap",
            "mprotect",
            "brk",
            "madvise",
            "trap",
            "first",
            "signal",
            "fault",
            "thread",
            "spawn",
            "fork",
            START,
        ];
        let start = Image {
            calls: BTreeMap::from([(0, 3), (9, 2), (231, 1)]),
            ..Image::default()
        };
        Calibration {
            platform: "hosted".into(),
            costs: names.map(|n| (n.to_owned(), cost)).into(),
            contents: BTreeMap::from([(START, start)]),
        }
    }

    #[test]
    fn sums() {
        let image = Image {
            starts: 1,
            calls: BTreeMap::from([(0, 1000), (1, 500), (15, 7), (231, 1)]),
            trapping: BTreeMap::from([(0, 100)]),
            signals: BTreeMap::from([(libc::SIGSEGV, 9)]),
            ..Image::default()
        };
        let times = Times {
            elapsed: 1.0,
            user: 0.5,
            system: 0.1,
        };
        let p = predict(&image, Some(times), None, all(100.0)).expect("complete");
        let count = |what| p.terms.iter().find(|t| t.what == what).map(|t| t.count);
        assert_eq!(count("forwarded calls"), Some(1400));
        assert_eq!(count("calls that trap"), Some(100));
        assert_eq!(
            count("faults with a handler"),
            Some(7),
            "two were not handled"
        );
        assert_eq!(count("other signals with a handler"), None);
        // A start costs 100, less five calls of 100 each; a fault 100 less two mprotects.
        let ns = 100.0 - 500.0 + 1400.0 * 100.0 + 100.0 * 100.0 - 7.0 * 100.0;
        assert!((p.added.mid - ns * 1e-9).abs() < 1e-12, "{p:?}");
        assert!(p.added.low < p.added.mid && p.added.mid < p.added.high);
        assert!((p.ratio.expect("timed").mid - (1.0 + ns * 1e-9)).abs() < 1e-9);
        assert!((p.processor_ratio.expect("timed").mid - (1.0 + ns * 1e-9 / 0.6)).abs() < 1e-9);
        assert!(p.memory_could_save.is_some());
    }

    #[test]
    fn side_by_side() {
        let t = Times {
            elapsed: 1.0,
            user: 2.0,
            system: 0.0,
        };
        let added = Range {
            low: 0.2,
            mid: 0.4,
            high: 0.6,
        };
        let e = elapsed(t, added);
        assert!((e.low - 1.1).abs() < 1e-9 && (e.mid - 1.2).abs() < 1e-9);
        assert!((e.high - 1.6).abs() < 1e-9);
    }

    #[test]
    fn memory_that_is_managed() {
        let mut c = all(0.0);
        for name in ["grow", "churn"] {
            c.costs.entry(name.into()).and_modify(|c| {
                c.added = Range::of(vec![-800.0]);
            });
        }
        let mut image = Image {
            anonymous_faults: 1000,
            ..Image::default()
        };
        image.memory.mmap_anonymous.bytes = 800 << 12;
        image.memory.brk.bytes = 150 << 12;
        image.memory.mmap_wide.bytes = 20 << 12;
        assert_eq!(where_touched(&image), [150, 800, 20, 30]);
        let p = predict(&image, None, None, c).expect("complete");
        assert_eq!(p.memory_could_save, None);
        assert!(p.added.mid < -600e-6 && p.elapsed.is_none());
    }
}
