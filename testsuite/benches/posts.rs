//! Posted calls beside plain ones: each operation of `posts.c` on all platforms, in rounds in which they take turns. A sample is the cycles that a call takes in the median
//! chunk of 16, so that a moment in which another program has the core does not count. `alone` is without the server (`HRT_CHANNEL=0`).

mod measure;

use measure::{line, mv_cc, number_of_rounds, rounds};
use std::path::Path;
use std::process::{Command, Stdio};

const OPERATIONS: [&str; 6] = [
    "round-trip",
    "post",
    "getppids",
    "writes",
    "preads",
    "overlap",
];
const CALLS: u64 = 16_000;
const ROUNDS: usize = 15;

#[derive(Clone, Copy)]
struct Kind {
    program: &'static str,
    platform: &'static str,
    channel: &'static str,
}

const fn kind(platform: &'static str, channel: &'static str) -> Kind {
    Kind {
        program: "posts-hybrid",
        platform,
        channel,
    }
}
const PLAIN: Kind = Kind {
    program: "posts-plain",
    platform: "native",
    channel: "0",
};
const KINDS: [Kind; 4] = [
    PLAIN,
    kind("hosted", "1"),
    kind("hosted", "0"),
    kind("kvm", "1"),
];
/// Each by an exit, which is dear where ring 0 is emulated.
const KVM_ALONE: Kind = kind("kvm", "0");

/// Cycles for one of `n`, in the median chunk.
fn run(dir: &Path, kind: Kind, operation: &str, n: u64) -> Result<f64, String> {
    let out = Command::new(dir.join(kind.program))
        .env("HRT_PLATFORM", kind.platform)
        .env("HRT_CHANNEL", kind.channel)
        .env_remove("HRT_STATS")
        .env_remove("HRT_TRACE")
        .args([operation, &n.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let cycles = text.split_whitespace().next().and_then(|c| c.parse().ok());
    cycles.ok_or_else(|| format!("no number in {text:?}"))
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (compiler, out) in [("cc".into(), "posts-plain"), (mv_cc(), "posts-hybrid")] {
        let status = Command::new(&compiler)
            .args(["-O2", "-I"])
            .arg(root.join("../hrt-runtime-shim/api"))
            .arg(root.join("benches/posts.c"))
            .arg("-o")
            .arg(dir.path().join(out))
            .status()
            .unwrap_or_else(|e| panic!("{}: {e}", compiler.display()));
        assert!(status.success(), "{} fails", compiler.display());
    }
    let mut kinds = KINDS.to_vec();
    if let Err(why) = run(dir.path(), KVM_ALONE, "post", 16) {
        println!("SKIPPED kvm: {why}");
        kinds.pop();
    }
    let n_rounds = number_of_rounds(ROUNDS);
    print!("{:<14} {:>10} {:>10}", "posts", "plain", "p99");
    for name in &["hosted", "alone", "kvm"][..kinds.len() - 1] {
        print!(" {name:>10} {:>10} {:>7}", "p99", "ratio");
    }
    println!("  (medians of {n_rounds} rounds; ratio: median of the rounds')");
    let sample = |kind: Kind, operation: &str, n| {
        run(dir.path(), kind, operation, n).unwrap_or_else(|e| panic!("{operation}: {e}"))
    };
    for operation in OPERATIONS {
        let samples = rounds(&kinds, n_rounds, |kind| sample(kind, operation, CALLS));
        line(operation, "cycles", &samples);
    }
    if kinds.len() == KINDS.len() {
        println!("kvm without the server, plain beside it:");
        for operation in ["round-trip", "getppids", "writes"] {
            let samples = rounds(&[PLAIN, KVM_ALONE], n_rounds.min(5), |kind| {
                sample(kind, operation, 640)
            });
            line(operation, "cycles", &samples);
        }
    }
}
