//! The kernel's micro-benchmarks: each operation in a plainly linked process and in hybridized ones, side by side.
//!
//! `micro.c` runs an operation N times and prints how long that took; criterion asks for N and does the statistics for plain and
//! hosted. After that a table of all platforms that this machine has, with the ratios, from rounds in which they take turns:
//! these machines are noisy, and only what was measured in one go can be compared.

use criterion::Criterion;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Operations, and how often each is run for one sample of the table.
const OPERATIONS: &[(&str, u64)] = &[
    ("getpid", 200_000),
    ("getppid", 50_000),
    ("syscall", 50_000),
    ("read", 50_000),
    ("write", 50_000),
    ("sigprocmask", 50_000),
    ("mmap", 5_000),
    ("signal", 5_000),
    ("barrier", 3_000),
    ("thread", 500),
    ("fork", 100),
    ("touch", 20_480),
    ("switch", 2_000),
];
/// Those of them that a polled channel takes on `kvm`, where there is a free core for it.
const POLLED: &[&str] = &["getppid", "write"];
/// Where a VM's exits are emulated, fewer of each: a hundredth of the above, and at least this.
const FEWEST: u64 = 20;
/// A table of so many rounds; `MV_BENCH_ROUNDS` sets another number.
const ROUNDS: usize = 31;
/// Process starts for one sample.
const STARTS: u32 = 20;
/// How programs are linked.
const LINKS: [&str; 2] = ["plain", "hybrid"];
/// What is compared: plain, and the platforms.
const KINDS: [&str; 3] = ["plain", "hosted", "kvm"];
/// `kvm` with its polled channel, which is off otherwise: what is measured must not depend on whether a core was free.
const KVM_POLLED: &str = "kvm-polled";

/// The programs to compare, built anew.
struct Programs {
    dir: tempfile::TempDir,
}

impl Programs {
    fn build() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = root.join("benches/micro.c");
        let hello = dir.path().join("hello.c");
        std::fs::write(
            &hello,
            "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
        )
        .expect("writable");
        for (kind, compiler) in LINKS.iter().zip(["cc".into(), mv_cc()]) {
            for (source, name, flags) in [
                (&source, "micro", &["-O2"][..]),
                (&hello, "hello-static", &["-O2", "-static"]),
                (&hello, "hello-dynamic", &["-O2"]),
            ] {
                let status = Command::new(&compiler)
                    .args(flags)
                    .arg(source)
                    .arg("-o")
                    .arg(dir.path().join(format!("{name}-{kind}")))
                    .arg("-pthread")
                    .status()
                    .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
                assert!(status.success(), "{} fails on {name}", compiler.display());
            }
        }
        Programs { dir }
    }

    fn command(&self, name: &str, kind: &str) -> Command {
        let link = LINKS[usize::from(kind != "plain")];
        let mut c = Command::new(self.dir.path().join(format!("{name}-{link}")));
        let (platform, channel) = match kind {
            KVM_POLLED => ("kvm", "1"),
            other => (other, "0"),
        };
        c.env("HRT_PLATFORM", platform)
            .env("HRT_CHANNEL", channel)
            .env_remove("HRT_STATS")
            .env_remove("HRT_TRACE")
            .stdin(Stdio::null());
        c
    }

    /// Nanoseconds and cycles for `n` times `operation`.
    fn run(&self, kind: &str, operation: &str, n: u64) -> (u64, u64) {
        let out = self
            .command("micro", kind)
            .args([operation, &n.to_string()])
            .output()
            .expect("micro runs");
        assert!(
            out.status.success(),
            "micro {operation}, {kind}: {}",
            out.status
        );
        let text = String::from_utf8(out.stdout).expect("digits");
        let (a, b) = text.trim().split_once(' ').expect("two numbers");
        (a.parse().expect("a number"), b.parse().expect("a number"))
    }

    /// Time for `n` starts, one after the other.
    fn starts(&self, kind: &str, hello: &str, n: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..n {
            let status = self
                .command(hello, kind)
                .stdout(Stdio::null())
                .status()
                .expect("hello runs");
            assert!(status.success());
        }
        start.elapsed()
    }
}

/// The mv-cc to measure: `MV_CC_BIN`, or the one beside this benchmark.
fn mv_cc() -> PathBuf {
    if let Some(p) = std::env::var_os("MV_CC_BIN") {
        return p.into();
    }
    let exe = std::env::current_exe().expect("a name of our own");
    let release = exe.ancestors().nth(2).expect("target/release/deps/bench");
    let found = release.join("mv-cc");
    assert!(found.exists(), "no {}: run make first", found.display());
    found
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

/// One line of the table from samples of each kind.
fn line(name: &str, unit: &str, samples: &[Vec<f64>]) {
    print!("{name:<14}");
    for (k, have) in samples.iter().enumerate() {
        let mut sorted = have.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, p99) = (quantile(&sorted, 0.5), quantile(&sorted, 0.99));
        print!(" {median:>10.0} {p99:>10.0}");
        if k > 0 {
            let mut ratios: Vec<f64> = samples[0].iter().zip(have).map(|(p, h)| h / p).collect();
            ratios.sort_by(f64::total_cmp);
            print!(" {:>7.3}", quantile(&ratios, 0.5));
        }
    }
    println!("  {unit}");
}

/// Samples of each of `kinds`, in rounds; each goes first as often as the others.
fn rounds(kinds: &[&str], rounds: usize, sample: impl Fn(&str) -> f64) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::new(); kinds.len()];
    for round in 0..rounds {
        for i in 0..kinds.len() {
            let k = (round + i) % kinds.len();
            samples[k].push(sample(kinds[k]));
        }
    }
    samples
}

/// The ring that programs are in on kvm, from one's own statistics; an error if it cannot run.
fn kvm_ring(programs: &Programs) -> Result<u8, String> {
    let stats = programs.dir.path().join("stats");
    let out = programs
        .command("hello-static", "kvm")
        .env("HRT_STATS", &stats)
        .output()
        .map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
    }
    let text = std::fs::read_to_string(stats).map_err(|e| e.to_string())?;
    let ring = text
        .split("\"ring\":")
        .nth(1)
        .and_then(|t| t.chars().next());
    match ring {
        Some('0') => Ok(0),
        Some('3') => Ok(3),
        _ => Err(format!("no ring in {text}")),
    }
}

fn table(programs: &Programs) {
    let mut kinds = KINDS.to_vec();
    println!();
    let ring = kvm_ring(programs);
    match &ring {
        Ok(0) => println!("kvm: ring 0, on hardware virtualization"),
        Ok(_) => println!("kvm: ring 3, where ring 0 is emulated or HRT_RING says so"),
        Err(why) => {
            println!("SKIPPED kvm: {why}");
            kinds.pop();
        }
    }
    let n_rounds = std::env::var("MV_BENCH_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(ROUNDS);
    print!("{:<14} {:>10} {:>10}", "operation", "plain", "p99");
    for kind in &kinds[1..] {
        print!(" {kind:>10} {:>10} {:>7}", "p99", "ratio");
    }
    println!("  (medians of {n_rounds} rounds; ratio: median of the rounds')");
    for (operation, n) in OPERATIONS {
        let samples = rounds(&kinds, n_rounds, |kind| {
            let n = match kind {
                "kvm" if ring == Ok(3) => (n / 100).max(FEWEST),
                _ => *n,
            };
            programs.run(kind, operation, n).1 as f64 / n as f64
        });
        line(operation, "cycles", &samples);
    }
    if ring.is_ok() {
        let kinds = [KINDS[0], KINDS[1], KVM_POLLED];
        for (operation, n) in OPERATIONS.iter().filter(|(o, _)| POLLED.contains(o)) {
            let samples = rounds(&kinds, n_rounds, |kind| {
                programs.run(kind, operation, *n).1 as f64 / *n as f64
            });
            line(&format!("{operation} polled"), "cycles", &samples);
        }
    }
    for hello in ["hello-static", "hello-dynamic"] {
        let samples = rounds(&kinds, n_rounds, |kind| {
            let t = programs.starts(kind, hello, u64::from(STARTS));
            t.as_secs_f64() * 1e6 / f64::from(STARTS)
        });
        line(hello, "µs", &samples);
    }
    let samples = rounds(&kinds, n_rounds.min(5), |kind| {
        programs.run(kind, "memory", 0).0 as f64
    });
    line("resident", "KiB", &samples);
}

fn main() {
    let programs = Programs::build();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (operation, _) in OPERATIONS {
        let mut group = criterion.benchmark_group(*operation);
        for kind in &KINDS[..2] {
            group.bench_function(*kind, |b| {
                b.iter_custom(|n| Duration::from_nanos(programs.run(kind, operation, n).0));
            });
        }
        group.finish();
    }
    for hello in ["hello-static", "hello-dynamic"] {
        let mut group = criterion.benchmark_group(hello);
        for kind in &KINDS[..2] {
            group.bench_function(*kind, |b| {
                b.iter_custom(|n| programs.starts(kind, hello, n))
            });
        }
        group.finish();
    }
    criterion.final_summary();
    table(&programs);
}
