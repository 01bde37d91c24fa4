//! What the benchmarks share: the mv-cc to measure, rounds in which kinds take turns, lines of a table.

use std::path::PathBuf;

/// The mv-cc to measure: `MV_CC_BIN`, or the one beside this benchmark.
pub fn mv_cc() -> PathBuf {
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
pub fn line(name: &str, unit: &str, samples: &[Vec<f64>]) {
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
pub fn rounds<K: Copy>(kinds: &[K], rounds: usize, sample: impl Fn(K) -> f64) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::new(); kinds.len()];
    for round in 0..rounds {
        for i in 0..kinds.len() {
            let k = (round + i) % kinds.len();
            samples[k].push(sample(kinds[k]));
        }
    }
    samples
}

/// How many rounds a table has: `MV_BENCH_ROUNDS`, or `usual`.
pub fn number_of_rounds(usual: usize) -> usize {
    std::env::var("MV_BENCH_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(usual)
}
