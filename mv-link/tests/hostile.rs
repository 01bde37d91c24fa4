//! Broken and hostile files: an error or a sound result, never a panic.

mod common;

use common::Dir;
use mv_link::blobs::tiny;
use mv_link::elf::Elf;
use mv_link::options::Config;
use mv_link::{finish, inspect, restore, rewrite};
use proptest::prelude::*;
use std::fs;
use std::sync::OnceLock;

/// A small program, plain, rewritten and linked.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let d = Dir::new();
        assert!(d.gcc(&["-s", "hello.c", "-o", "plain"]).status.success());
        assert!(
            d.mv_gcc(&["-s", "hello.c", "-o", "linked"])
                .status
                .success()
        );
        let plain = fs::read(d.path("plain")).expect("read");
        let rewritten = rewrite::hybridize(&plain, &tiny::blobs(), &Config::default())
            .expect("hybrid")
            .bytes;
        vec![plain, rewritten, fs::read(d.path("linked")).expect("read")]
    })
}

/// One that has something to look for in any file.
fn config() -> Config {
    Config::parse(
        "sets = ['malloc']\n[options]\nplatform = 'auto'\n[overrides]\nunused = { function = 'hrt_cycles', optional = true }\n",
    )
    .expect("good")
}

/// All operations on `bytes`; what they make must be sound.
fn all(bytes: &[u8]) {
    let _ = inspect::inspect(bytes);
    if let Ok(out) = restore::strip_hybrid(bytes) {
        Elf::parse(&out[..]).expect("an ELF file again");
    }
    if let Ok(out) = rewrite::hybridize(bytes, &tiny::blobs(), &config()) {
        let report = inspect::inspect(&out.bytes[..]).expect("a hybrid");
        assert!(report.active);
        let back = restore::strip_hybrid(&out.bytes).expect("undone");
        assert_eq!(back, bytes);
    }
    let file = tempfile::NamedTempFile::new().expect("tempfile");
    fs::write(file.path(), bytes).expect("write");
    let _ = finish::finish(file.path(), &config());
}

/// Offsets that matter more often than their share of a file: the header and the tables.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![0..64usize, 0..1200usize, any::<usize>()]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..0x10000u64,
        Just(u64::MAX),
        Just(i64::MAX as u64),
        Just(1 << 47),
        Just(0x100_0000_0000)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, timeout: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        all(&bytes);
        let mut elf = samples()[0][..64].to_vec();
        elf.extend(&bytes);
        all(&elf);
    }

    #[test]
    fn mutated_programs(
        which in 0..3usize,
        changes in proptest::collection::vec((place(), value(), 1..=8usize), 1..6),
        cut in proptest::option::of(any::<usize>()),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, value, size) in changes {
            let at = at % bytes.len();
            let end = (at + size).min(bytes.len());
            bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        all(&bytes);
    }

    #[test]
    fn command_lines(words in proptest::collection::vec("-{0,2}[a-zA-Z=@]{0,6}", 0..8)) {
        let words: Vec<_> = words.into_iter().map(Into::into).collect();
        let parsed = mv_link::args::LinkArgs::parse(&words);
        assert!(parsed.forwarded.len() <= words.len());
    }
}
