//! What the sets of overrides `malloc` and `time` replace, by the C library and by the kernel, side by side in rounds: only what was
//! measured in one go can be compared. `MV_BENCH_ROUNDS` sets the number of rounds.

mod measure;

use std::path::Path;
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

fn build(dir: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sets.c");
    let config = dir.join("multiverse.toml");
    std::fs::write(&config, "sets = ['malloc', 'time']\n").expect("writable");
    for (compiler, out) in [("cc".into(), "plain"), (measure::mv_cc(), "hybrid")] {
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

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    build(dir.path());
    let rounds = measure::number_of_rounds(ROUNDS);
    println!(
        "{:<14} {:>10} {:>10} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}  (medians of {rounds} rounds; ratio: median of the rounds')",
        "operation", KINDS[0], "p99", KINDS[1], "p99", "ratio", KINDS[2], "p99", "ratio"
    );
    for operation in OPERATIONS {
        let samples = measure::rounds(&KINDS, rounds, |kind| run(dir.path(), kind, operation));
        measure::line(operation, "cycles", &samples);
    }
}
