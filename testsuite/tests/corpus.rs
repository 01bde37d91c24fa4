//! Every program of `programs/`, built plainly and hybridized, run on each platform, and compared.
//!
//! Test names are `language/program::variant::mode`; the modes are `plain` (the oracle itself: does it end as its
//! directives say?), `hosted`, `trace` (hosted, with `HRT_TRACE`) and `native`.
//!
//! `MV_CC_BIN` names the `mv-cc` to test. `MV_CORPUS_PLAIN_ONLY=1` runs the oracle alone and skips the rest, loudly.
//! Exit status 77 from a plain run means that this machine cannot run the program; its last line says why.

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use testsuite::build::{self, Program, Toolchain};
use testsuite::directives::Variant;
use testsuite::run::{self, Run, tail};

const CANNOT_RUN: i32 = 77;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Hosted,
    Trace,
    Kvm,
    Native,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Hosted => "hosted",
            Mode::Trace => "trace",
            Mode::Kvm => "kvm",
            Mode::Native => "native",
        }
    }
}

/// What all trials share.
struct Corpus {
    root: PathBuf,
    manifest: PathBuf,
    target: PathBuf,
    cache: PathBuf,
    scratch: PathBuf,
    plain_only: bool,
    toolchain: OnceLock<Result<Toolchain, String>>,
}

/// A program in one linkage kind.
struct Case {
    corpus: Arc<Corpus>,
    program: Arc<Program>,
    variant: Variant,
    plain: OnceLock<Result<Run, String>>,
}

impl Case {
    fn helpers(&self) -> Result<Vec<(String, PathBuf)>> {
        build::helpers(&self.corpus.root, &self.corpus.cache, &self.program)
    }

    fn plain(&self) -> Result<&Run> {
        let run = self.plain.get_or_init(|| {
            let once = || -> Result<Run> {
                let c = &self.corpus;
                let exe = build::executable(&c.root, &c.cache, &self.program, self.variant, None)?;
                let d = &self.program.directives;
                run::run(&c.scratch, &exe, &self.helpers()?, d, "hosted", false)
            };
            once().map_err(|e| format!("{e:#}"))
        });
        run.as_ref()
            .map_err(|e| anyhow::anyhow!("the plain program: {e}"))
    }

    fn toolchain(&self) -> Result<&Toolchain> {
        let c = &self.corpus;
        c.toolchain
            .get_or_init(|| {
                Toolchain::find(&c.cache, &c.target, &c.manifest).map_err(|e| format!("{e:#}"))
            })
            .as_ref()
            .map_err(|e| anyhow::anyhow!("mv-cc: {e}"))
    }

    fn check(&self, mode: Mode) -> Result<Completion> {
        if let Some(why) = build::missing(&self.program, self.variant) {
            return Ok(Completion::ignored_with(why));
        }
        if self.corpus.plain_only && mode != Mode::Plain {
            return Ok(Completion::ignored_with("MV_CORPUS_PLAIN_ONLY is set"));
        }
        let d = &self.program.directives;
        let left_out = match mode {
            Mode::Plain | Mode::Native => None,
            Mode::Trace => d.native_only.as_ref().or(d.no_trace.as_ref()),
            Mode::Hosted => d.native_only.as_ref(),
            Mode::Kvm => d.native_only.as_ref().or(d.no_kvm.as_ref()),
        };
        if let Some(why) = left_out {
            return Ok(Completion::ignored_with(why));
        }
        if mode == Mode::Kvm {
            if let Some(why) = no_kvm() {
                return Ok(Completion::ignored_with(why));
            }
        }
        let plain = self.plain()?;
        if plain.outcome.exit == CANNOT_RUN {
            let text = String::from_utf8_lossy(&plain.outcome.stdout).into_owned();
            let why = text.lines().last().unwrap_or("it does not say why");
            return Ok(Completion::ignored_with(format!("this machine: {why}")));
        }
        if mode == Mode::Plain {
            let exit = if d.signal.is_some() { -1 } else { d.exit };
            ensure!(
                (plain.outcome.exit, plain.outcome.signal) == (exit, d.signal),
                "plain: exit {} signal {:?}\nstdout:\n{}\nstderr:\n{}",
                plain.outcome.exit,
                plain.outcome.signal,
                tail(&plain.outcome.stdout),
                tail(&plain.outcome.stderr)
            );
            let failed = String::from_utf8_lossy(&plain.outcome.stdout)
                .replace("MAP_FAILED", "")
                .contains("FAILED");
            ensure!(
                !failed,
                "plain: a check failed:\n{}",
                tail(&plain.outcome.stdout)
            );
            return Ok(Completion::Completed);
        }
        let c = &self.corpus;
        let toolchain = Some(self.toolchain()?);
        let exe = build::executable(&c.root, &c.cache, &self.program, self.variant, toolchain)?;
        let platform = match mode {
            Mode::Native => "native",
            Mode::Kvm => "kvm",
            _ => "hosted",
        };
        let trace = mode == Mode::Trace;
        let hybrid = run::run(&c.scratch, &exe, &self.helpers()?, d, platform, trace)?;
        let want = match mode {
            Mode::Native => plain.outcome.clone(),
            Mode::Kvm => plain.outcome.with_lines(&d.kvm_lines),
            _ => plain.outcome.with_lines(&d.hosted_lines),
        };
        want.compare(&hybrid.outcome)?;
        if mode != Mode::Native {
            hybrid.check_stats(d, platform)?;
        }
        if trace {
            ensure!(!hybrid.trace.is_empty(), "HRT_TRACE wrote nothing");
        }
        Ok(Completion::Completed)
    }
}

/// Why the `kvm` platform cannot run here, if that is so.
fn no_kvm() -> Option<String> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        let open = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm");
        open.err().map(|e| format!("/dev/kvm: {e}"))
    })
    .clone()
}

fn trials(corpus: &Arc<Corpus>) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for program in build::programs(&corpus.root)? {
        let program = Arc::new(program);
        for (i, &variant) in program.directives.variants.iter().enumerate() {
            let case = Arc::new(Case {
                corpus: Arc::clone(corpus),
                program: Arc::clone(&program),
                variant,
                plain: OnceLock::new(),
            });
            let mut modes = vec![Mode::Plain, Mode::Hosted, Mode::Kvm, Mode::Native];
            if i == 0 {
                modes.push(Mode::Trace);
            }
            for mode in modes {
                let case = Arc::clone(&case);
                let name = format!("{}::{}::{}", program.name, variant.name(), mode.name());
                trials.push(Trial::ignorable_test(name, move || {
                    case.check(mode).map_err(|e| Failed::from(format!("{e:#}")))
                }));
            }
        }
    }
    Ok(trials)
}

fn main() -> Result<ExitCode> {
    let mut args = Arguments::from_args();
    // Programs with timers want a core to run on.
    args.test_threads.get_or_insert(2);
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tmp.join("corpus");
    std::fs::create_dir_all(&cache)?;
    let scratch = tempfile::Builder::new()
        .prefix("corpus-runs-")
        .tempdir_in(tmp)?;
    let corpus = Arc::new(Corpus {
        root: here.join("programs"),
        manifest: here.parent().context("no workspace")?.join("Cargo.toml"),
        target: tmp.parent().context("no target directory")?.to_owned(),
        cache,
        scratch: scratch.path().to_owned(),
        plain_only: std::env::var_os("MV_CORPUS_PLAIN_ONLY").is_some(),
        toolchain: OnceLock::new(),
    });
    if corpus.plain_only {
        eprintln!(
            "MV_CORPUS_PLAIN_ONLY: only the plain programs are run, every hybrid test is skipped"
        );
    }
    Ok(libtest_mimic::run(&args, trials(&corpus)?).exit_code())
}
