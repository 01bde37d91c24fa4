//! Kernel threads beside pthreads: each operation of `threads.c` by both, in one table, from rounds in which they take turns.

mod measure;

use measure::{line, mv_cc, number_of_rounds, rounds};
use std::path::Path;
use std::process::{Command, Stdio};

/// Operations, and how often each is done for one sample by pthreads and by kernel threads.
const OPERATIONS: &[(&str, u64, u64)] = &[
    ("create", 500, 50_000),
    ("yield", 5_000, 50_000),
    ("lock", 100_000, 100_000),
    ("handoff", 500, 20_000),
    ("condition", 1_000, 20_000),
    ("many", 1_000, 20_000),
    ("preempt", 2_000, 2_000),
    ("share-1ms", 5_000, 5_000),
    ("share-10ms", 5_000, 5_000),
];
const ROUNDS: usize = 21;

/// Who does it: how the program is linked, on which platform, and by what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// pthreads of a plain program.
    Plain,
    /// Kernel threads on `hosted`.
    Hosted,
    /// Kernel threads on `kvm`.
    Kvm,
}

fn command(dir: &Path, kind: Kind, operation: &str, n: u64) -> Command {
    let (program, platform, by) = match kind {
        Kind::Plain => ("threads-plain", "native", "pthread"),
        Kind::Hosted => ("threads-hybrid", "hosted", "kernel"),
        Kind::Kvm => ("threads-hybrid", "kvm", "kernel"),
    };
    let mut c = Command::new(dir.join(program));
    c.env("HRT_PLATFORM", platform)
        .env_remove("HRT_STATS")
        .env_remove("HRT_TRACE")
        .args([operation, by, &n.to_string()])
        .stdin(Stdio::null());
    c
}

/// Cycles for one of `n`.
fn run(dir: &Path, kind: Kind, operation: &str, n: u64) -> Result<f64, String> {
    let out = command(dir, kind, operation, n)
        .output()
        .map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let cycles = text.split_whitespace().nth(1).and_then(|c| c.parse().ok());
    let cycles: f64 = cycles.ok_or_else(|| format!("no two numbers in {text:?}"))?;
    Ok(cycles / n as f64)
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (compiler, out) in [("cc".into(), "threads-plain"), (mv_cc(), "threads-hybrid")] {
        let status = Command::new(&compiler)
            .args(["-O2", "-pthread", "-I"])
            .arg(root.join("../hrt-runtime-shim/api"))
            .arg(root.join("benches/threads.c"))
            .arg("-o")
            .arg(dir.path().join(out))
            .status()
            .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(status.success(), "{} fails", compiler.display());
    }
    let mut kinds = vec![Kind::Plain, Kind::Hosted];
    match run(dir.path(), Kind::Kvm, "lock", 10) {
        Ok(_) => kinds.push(Kind::Kvm),
        Err(why) => println!("SKIPPED kvm: {why}"),
    }
    let n_rounds = number_of_rounds(ROUNDS);
    println!(
        "{:<14} {:>10} {:>10} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}  (medians of {n_rounds} rounds; ratio: median of the rounds')",
        "threads", "pthreads", "p99", "hosted", "p99", "ratio", "kvm", "p99", "ratio"
    );
    for (operation, by_pthreads, by_kernel) in OPERATIONS {
        let samples = rounds(&kinds, n_rounds, |kind| {
            let n = match kind {
                Kind::Plain => *by_pthreads,
                _ => *by_kernel,
            };
            run(dir.path(), kind, operation, n).unwrap_or_else(|e| panic!("{operation}: {e}"))
        });
        line(operation, "cycles", &samples);
    }
}
