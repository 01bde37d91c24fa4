//! The kernel's micro-benchmarks: each operation in a plainly linked process and in a hybridized one, side by side.
//!
//! `micro.c` runs an operation N times and prints how long that took; criterion asks for N and does the statistics. After
//! that a table with the ratios, from rounds in which plain and hybrid take turns: these machines are noisy, and only
//! what was measured in one go can be compared.

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
];
const ROUNDS: usize = 31;
/// Process starts for one sample.
const STARTS: u32 = 20;
const KINDS: [&str; 2] = ["plain", "hybrid"];

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
        for (kind, compiler) in KINDS.iter().zip(["cc".into(), mv_cc()]) {
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
        let mut c = Command::new(self.dir.path().join(format!("{name}-{kind}")));
        c.env("HRT_PLATFORM", "hosted")
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

/// One line of the table from samples of both kinds.
fn line(name: &str, unit: &str, samples: &[Vec<f64>; 2]) {
    let [mut plain, mut hybrid] = samples.clone();
    let mut ratios: Vec<f64> = plain.iter().zip(&hybrid).map(|(p, h)| h / p).collect();
    for v in [&mut plain, &mut hybrid, &mut ratios] {
        v.sort_by(f64::total_cmp);
    }
    println!(
        "{name:<14} {:>10.0} {:>10.0} {:>10.0} {:>10.0}  {unit:<7} {:.3}",
        quantile(&plain, 0.5),
        quantile(&plain, 0.99),
        quantile(&hybrid, 0.5),
        quantile(&hybrid, 0.99),
        quantile(&ratios, 0.5)
    );
}

fn table(programs: &Programs) {
    println!(
        "\noperation           plain        p99     hybrid        p99  unit    ratio (median of pairs)"
    );
    for (operation, n) in OPERATIONS {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            // Each kind goes first as often as the other.
            for k in [round % 2, 1 - round % 2] {
                let (_, cycles) = programs.run(KINDS[k], operation, *n);
                samples[k].push(cycles as f64 / *n as f64);
            }
        }
        line(operation, "cycles", &samples);
    }
    for hello in ["hello-static", "hello-dynamic"] {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for k in [round % 2, 1 - round % 2] {
                let t = programs.starts(KINDS[k], hello, u64::from(STARTS));
                samples[k].push(t.as_secs_f64() * 1e6 / f64::from(STARTS));
            }
        }
        line(hello, "µs", &samples);
    }
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
        for kind in KINDS {
            group.bench_function(kind, |b| {
                b.iter_custom(|n| Duration::from_nanos(programs.run(kind, operation, n).0));
            });
        }
        group.finish();
    }
    for hello in ["hello-static", "hello-dynamic"] {
        let mut group = criterion.benchmark_group(hello);
        for kind in KINDS {
            group.bench_function(kind, |b| b.iter_custom(|n| programs.starts(kind, hello, n)));
        }
        group.finish();
    }
    criterion.final_summary();
    table(&programs);
}
