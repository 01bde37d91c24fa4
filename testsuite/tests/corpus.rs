//! Every program of `programs/`, built plainly and hybridized, run on each platform, and compared.
//!
//! Test names are `language/program::variant::mode`; the modes are `plain` (the oracle itself: does it end as its
//! directives say?), `hosted`, `trace` (hosted, with `HRT_TRACE`) and `native`.
//!
//! `MV_CC_BIN` names the `mv-cc` to test. `MV_CORPUS_PLAIN_ONLY=1` runs the oracle alone and skips the rest, loudly.
//! Exit status 77 from a plain run means that this machine cannot run the program; its last line says why.
//!
//! Another machine can run what this one has built: `MV_CORPUS_PACK=DIR` runs nothing, but packs each program that the
//! filter selects into DIR, in one linkage kind (static where there is that), with this test itself as `DIR/run`, and
//! prints each one's name and the seconds that it may take. There, `MV_CORPUS_PACKED=DIR` runs them from DIR, plainly and on
//! `kvm` in ring 0. That machine may be unable to run a program as it should: where even the plain run does not end as
//! the directives say, and the other one is not the same, both are skipped.

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use testsuite::build::{self, Program, Toolchain};
use testsuite::directives::Variant;
use testsuite::pack::Pack;
use testsuite::run::{self, Place, Run, tail};

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
    /// What another machine has built.
    packed: Option<Pack>,
}

/// How many times slower an emulated VM is: because each exit is, or because the whole machine is emulated.
const SLOW_EXITS: u32 = 4;
const SLOW_MACHINE: u32 = 3;

/// A program in one linkage kind.
struct Case {
    corpus: Arc<Corpus>,
    program: Arc<Program>,
    variant: Variant,
    plain: OnceLock<Result<Run, String>>,
}

impl Case {
    fn helpers(&self) -> Result<Vec<(String, PathBuf)>> {
        match &self.corpus.packed {
            Some(pack) => Ok(pack.helpers(&self.program)),
            None => build::helpers(&self.corpus.root, &self.corpus.cache, &self.program),
        }
    }

    fn executable(&self, hybrid: bool) -> Result<PathBuf> {
        let c = &self.corpus;
        if let Some(pack) = &c.packed {
            return Ok(pack.executable(&self.program, self.variant, hybrid));
        }
        let toolchain = hybrid.then(|| self.toolchain()).transpose()?;
        build::executable(&c.root, &c.cache, &self.program, self.variant, toolchain)
    }

    fn run(&self, hybrid: bool, mode: Mode) -> Result<Run> {
        let scratch = &self.corpus.scratch;
        let d = &self.program.directives;
        run::run(
            scratch,
            &self.executable(hybrid)?,
            &self.helpers()?,
            d,
            self.place(mode),
        )
    }

    fn place(&self, mode: Mode) -> Place {
        let packed = self.corpus.packed.is_some();
        Place {
            platform: match mode {
                Mode::Native => "native",
                Mode::Kvm => "kvm",
                _ => "hosted",
            },
            ring: if mode == Mode::Kvm && packed { 0 } else { 3 },
            trace: mode == Mode::Trace,
            patience: match mode {
                _ if packed => SLOW_MACHINE,
                Mode::Kvm => SLOW_EXITS,
                _ => 1,
            },
        }
    }

    fn plain(&self) -> Result<&Run> {
        let run = self
            .plain
            .get_or_init(|| self.run(false, Mode::Plain).map_err(|e| format!("{e:#}")));
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
        if self.corpus.packed.is_none() {
            if let Some(why) = build::missing(&self.program, self.variant) {
                return Ok(Completion::ignored_with(why));
            }
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
        let unable = match self.check_plain() {
            Ok(None) => None,
            Ok(Some(why)) => return Ok(Completion::ignored_with(format!("this machine: {why}"))),
            Err(e) if self.corpus.packed.is_some() => Some(in_short(&format!("{e:#}"))),
            // The other modes have nothing to do with it.
            Err(_) if mode != Mode::Plain && self.plain().is_ok() => None,
            Err(e) => return Err(e),
        };
        if mode == Mode::Plain {
            return Ok(unable.map_or(Completion::Completed, Completion::ignored_with));
        }
        match (self.check_hybrid(mode), unable) {
            (Ok(()), _) => Ok(Completion::Completed),
            (Err(e), None) => Err(e),
            (Err(_), Some(why)) => Ok(Completion::ignored_with(why)),
        }
    }

    /// Checks that the plain program ends as its directives say; gives the reason if this machine cannot run it.
    fn check_plain(&self) -> Result<Option<String>> {
        let d = &self.program.directives;
        let plain = self.plain()?;
        if plain.outcome.exit == CANNOT_RUN {
            let text = String::from_utf8_lossy(&plain.outcome.stdout).into_owned();
            let why = text.lines().last().unwrap_or("it does not say why");
            return Ok(Some(why.to_owned()));
        }
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
        Ok(None)
    }

    fn check_hybrid(&self, mode: Mode) -> Result<()> {
        let d = &self.program.directives;
        let plain = self.plain()?;
        let hybrid = self.run(true, mode)?;
        let want = match mode {
            Mode::Native => plain.outcome.clone(),
            Mode::Kvm => plain.outcome.with_lines(&d.kvm_lines),
            _ => plain.outcome.with_lines(&d.hosted_lines),
        };
        want.compare(&hybrid.outcome)?;
        if mode != Mode::Native {
            hybrid.check_stats(d, self.place(mode))?;
        }
        if mode == Mode::Trace {
            ensure!(!hybrid.trace.is_empty(), "HRT_TRACE wrote nothing");
        }
        Ok(())
    }
}

/// The part of a failed plain run's report that says why this machine cannot run the program.
fn in_short(report: &str) -> String {
    let said: Vec<&str> = report
        .lines()
        .enumerate()
        .filter(|(i, line)| *i == 0 || line.starts_with("FAILED"))
        .map(|(_, line)| line)
        .take(4)
        .collect();
    format!("this machine: {}", said.join("; "))
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
            let mut modes = vec![Mode::Plain, Mode::Hosted, Mode::Kvm, Mode::Native];
            match &corpus.packed {
                Some(pack) if !pack.has(&program, variant) => continue,
                Some(_) => modes = vec![Mode::Plain, Mode::Kvm],
                None if i == 0 => modes.push(Mode::Trace),
                None => {}
            }
            let case = Arc::new(Case {
                corpus: Arc::clone(corpus),
                program: Arc::clone(&program),
                variant,
                plain: OnceLock::new(),
            });
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

/// Packs the programs whose name contains one of the parts of `filter`, `A|B|C`.
fn pack(corpus: &Arc<Corpus>, pack: &Pack, filter: &str) -> Result<()> {
    pack.add_runner(&std::env::current_exe()?)?;
    for program in build::programs(&corpus.root)? {
        let variants = &program.directives.variants;
        let variant = *variants
            .iter()
            .find(|v| **v == Variant::Static)
            .unwrap_or(&variants[0]);
        let name = format!("{}::{}", program.name, variant.name());
        if !filter.split('|').any(|part| name.contains(part)) {
            continue;
        }
        if let Some(why) = build::missing(&program, variant) {
            println!("- {name} {why}");
            continue;
        }
        let case = Case {
            corpus: Arc::clone(corpus),
            program: Arc::new(program),
            variant,
            plain: OnceLock::new(),
        };
        for hybrid in [false, true] {
            let built = case.executable(hybrid)?;
            pack.add(&case.program, variant, hybrid, &built)?;
        }
        for (name, built) in case.helpers()? {
            pack.add_helper(&case.program, &name, &built)?;
        }
        let limit = case.program.directives.limit.as_secs() * u64::from(SLOW_MACHINE);
        // Two runs, and the comparison.
        println!("{} {name}", 2 * limit + 20);
    }
    Ok(())
}

fn main() -> Result<ExitCode> {
    let mut args = Arguments::from_args();
    // Programs with timers want a core to run on.
    args.test_threads.get_or_insert(2);
    let packed = std::env::var_os("MV_CORPUS_PACKED").map(|dir| Pack::at(dir.into()));
    let tmp = match packed {
        Some(_) => std::env::temp_dir(),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tmp.join("corpus");
    std::fs::create_dir_all(&cache)?;
    let scratch = tempfile::Builder::new()
        .prefix("corpus-runs-")
        .tempdir_in(&tmp)?;
    let corpus = Arc::new(Corpus {
        root: match &packed {
            Some(pack) => pack.programs(),
            None => here.join("programs"),
        },
        manifest: here.parent().context("no workspace")?.join("Cargo.toml"),
        target: tmp.parent().context("no target directory")?.to_owned(),
        cache,
        scratch: scratch.path().to_owned(),
        plain_only: std::env::var_os("MV_CORPUS_PLAIN_ONLY").is_some(),
        toolchain: OnceLock::new(),
        packed,
    });
    if let Some(dir) = std::env::var_os("MV_CORPUS_PACK") {
        let to = Pack::at(dir.into());
        pack(&corpus, &to, args.filter.as_deref().unwrap_or(""))?;
        return Ok(ExitCode::SUCCESS);
    }
    if corpus.plain_only {
        eprintln!(
            "MV_CORPUS_PLAIN_ONLY: only the plain programs are run, every hybrid test is skipped"
        );
    }
    Ok(libtest_mimic::run(&args, trials(&corpus)?).exit_code())
}
