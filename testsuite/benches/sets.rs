//! What the sets of overrides `malloc` and `time` replace, by the C library and by the kernel, side by side in rounds: only what was
//! measured in one go can be compared. `MV_BENCH_ROUNDS` sets the number of rounds.

use std::path::{Path, PathBuf};
use std::process::Command;

const OPERATIONS: &[&str] = &[
    "pair-40",
    "pair-1000",
    "pair-100000",
    "lists-100",
    "touched-page",
    "grown-page",
    "larson-1",
    "larson-2",
    "larson-8",
    "handed-on-8",
    "clock_gettime",
    "gettimeofday",
    "time",
];
/// A plain program; the hybrid without and with overrides.
const KINDS: [&str; 3] = ["plain", "hosted", "sets"];
const ROUNDS: usize = 11;

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

fn build(dir: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sets.c");
    let config = dir.join("multiverse.toml");
    std::fs::write(&config, "sets = ['malloc', 'time']\n").expect("writable");
    for (compiler, out) in [("cc".into(), "plain"), (mv_cc(), "hybrid")] {
        let status = Command::new(&compiler)
            .args(["-O2", "-fno-builtin-malloc", "-pthread", "-o"])
            .args([dir.join(out), source.clone()])
            .env("MV_CONFIG", &config)
            .status()
            .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(status.success(), "{} fails", compiler.display());
    }
}

/// Cycles for one operation.
fn run(dir: &Path, kind: &str, operation: &str) -> f64 {
    let program = if kind == "plain" { "plain" } else { "hybrid" };
    let out = Command::new(dir.join(program))
        .arg(operation)
        .env("HRT_PLATFORM", "hosted")
        .env("HRT_OVERRIDES", if kind == "sets" { "1" } else { "0" })
        .env_remove("HRT_STATS")
        .env_remove("HRT_TRACE")
        .output()
        .expect("runs");
    assert!(out.status.success(), "{kind} {operation}: {}", out.status);
    let text = String::from_utf8(out.stdout).expect("a number");
    text.trim().parse().expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    build(dir.path());
    let rounds = std::env::var("MV_BENCH_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(ROUNDS);
    println!(
        "{:<14} {:>9} {:>9} {:>6} {:>9} {:>6}  (cycles; medians of {rounds} rounds; ratio to plain: median of the rounds')",
        "operation", KINDS[0], KINDS[1], "ratio", KINDS[2], "ratio"
    );
    for operation in OPERATIONS {
        let mut samples = vec![Vec::new(); KINDS.len()];
        for round in 0..rounds {
            for i in 0..KINDS.len() {
                let k = (round + i) % KINDS.len();
                samples[k].push(run(dir.path(), KINDS[k], operation));
            }
        }
        let ratio = |k: usize| {
            median(
                samples[0]
                    .iter()
                    .zip(&samples[k])
                    .map(|(p, h)| h / p)
                    .collect(),
            )
        };
        println!(
            "{operation:<14} {:>9.0} {:>9.0} {:>6.2} {:>9.0} {:>6.2}",
            median(samples[0].clone()),
            median(samples[1].clone()),
            ratio(1),
            median(samples[2].clone()),
            ratio(2)
        );
    }
}
