//! Builds programs, plainly and hybridized, and keeps what it built by a hash of all that went into it.

use crate::directives::{Directives, Variant};
use anyhow::{Context, Result, bail, ensure};
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Language of a program, by the extension of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// `.c`
    C,
    /// `.cc`
    Cxx,
    /// `.rs`
    Rust,
}

impl Language {
    /// The language of a file, if it has one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "c" => Some(Language::C),
            "cc" => Some(Language::Cxx),
            "rs" => Some(Language::Rust),
            _ => None,
        }
    }
}

/// A program of the corpus.
#[derive(Debug)]
pub struct Program {
    /// `c/hello` and the like.
    pub name: String,
    /// Its source file.
    pub source: PathBuf,
    /// The text of it.
    pub text: String,
    /// Its language.
    pub language: Language,
    /// What it says of itself.
    pub directives: Directives,
}

/// Finds all programs under `root`, in order of name.
pub fn programs(root: &Path) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    for dir in ["c", "cxx", "rust"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else {
            continue;
        };
        for entry in entries {
            let source = entry?.path();
            let (Some(language), Some(stem)) = (Language::of(&source), source.file_stem()) else {
                continue;
            };
            let text = std::fs::read_to_string(&source)
                .with_context(|| format!("reading {}", source.display()))?;
            let directives =
                Directives::parse(&text).with_context(|| format!("in {}", source.display()))?;
            found.push(Program {
                name: format!("{dir}/{}", stem.to_string_lossy()),
                source,
                text,
                language,
                directives,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The hybridizing compiler.
#[derive(Debug)]
pub struct Toolchain {
    /// A directory with `mv-cc` and `mv-c++`.
    bin: PathBuf,
    /// Hash of the tools' bytes.
    hash: u64,
}

fn hash_of(value: impl Hash) -> u64 {
    let mut h = DefaultHasher::new();
    value.hash(&mut h);
    h.finish()
}

/// Says what a command did if it failed.
fn checked(command: &mut Command) -> Result<()> {
    let out = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

/// A file that appears whole or not at all: made under another name by `make`, then renamed.
fn made_once(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let dir = path.parent().context("no parent directory")?;
    std::fs::create_dir_all(dir)?;
    let scratch = tempfile::tempdir_in(dir)?;
    let made = scratch.path().join("made");
    make(&made)?;
    std::fs::rename(&made, path)?;
    Ok(())
}

impl Toolchain {
    /// `MV_CC_BIN`, or what lies in the target directory, or else builds it there.
    pub fn find(cache: &Path, target: &Path, manifest: &Path) -> Result<Self> {
        let mv_cc = match std::env::var_os("MV_CC_BIN") {
            Some(path) => {
                let path = PathBuf::from(path);
                ensure!(path.exists(), "MV_CC_BIN: no {}", path.display());
                path
            }
            None => match ["release", "debug"]
                .map(|profile| target.join(profile).join("mv-cc"))
                .into_iter()
                .find(|p| p.exists() && p.with_file_name("mv-link").exists())
            {
                Some(path) => path,
                None => {
                    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                    let mut command = Command::new(cargo);
                    command
                        .args(["build", "--release", "-p", "mv-cc", "-p", "mv-link"])
                        .args(["--manifest-path".as_ref(), manifest.as_os_str()])
                        .args(["--target-dir".as_ref(), target.as_os_str()]);
                    checked(&mut command)?;
                    target.join("release/mv-cc")
                }
            },
        };
        let mv_cc = mv_cc.canonicalize()?;
        let mut tools = std::fs::read(&mv_cc)?;
        tools.extend(std::fs::read(mv_cc.with_file_name("mv-link")).unwrap_or_default());
        let hash = hash_of(&tools);
        let bin = cache.join(format!("bin-{hash:016x}"));
        std::fs::create_dir_all(&bin)?;
        for name in ["mv-cc", "mv-c++"] {
            match std::os::unix::fs::symlink(&mv_cc, bin.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e.into()),
                _ => {}
            }
        }
        let this = Toolchain { bin, hash };
        this.prune(cache);
        Ok(this)
    }

    /// Drops what older tools built, but for the latest two.
    fn prune(&self, cache: &Path) {
        let Ok(entries) = std::fs::read_dir(cache) else {
            return;
        };
        let mut old: Vec<(std::time::SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("hybrid-"))
            .filter(|e| e.path() != cache.join(format!("hybrid-{:016x}", self.hash)))
            .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            .collect();
        old.sort();
        old.pop();
        for (_, path) in old {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Names of what `with:` and the programs' headers may bring in.
fn surroundings(root: &Path, program: &Program) -> Result<u64> {
    let mut texts = Vec::new();
    let mut names: Vec<PathBuf> = std::fs::read_dir(root.join("include"))
        .map(|d| d.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    names.sort();
    for helper in &program.directives.with {
        names.push(root.join("lib").join(&helper.source));
    }
    for name in names {
        texts.push(std::fs::read(&name).with_context(|| format!("reading {}", name.display()))?);
    }
    Ok(hash_of(texts))
}

/// Is there a compiler for this variant?
pub fn missing(program: &Program, variant: Variant) -> Option<String> {
    let tool = match (program.language, variant) {
        (Language::C, Variant::Musl) => "musl-gcc",
        (_, Variant::Musl) => return Some("musl: C only".to_owned()),
        (Language::Rust, _) => "rustc",
        (Language::Cxx, _) => "c++",
        (Language::C, _) => "cc",
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join(tool).exists()) {
        None
    } else {
        Some(format!("no {tool} here"))
    }
}

/// Builds a program; gives the executable.
pub fn executable(
    root: &Path,
    cache: &Path,
    program: &Program,
    variant: Variant,
    toolchain: Option<&Toolchain>,
) -> Result<PathBuf> {
    let mut args: Vec<OsString> = Vec::new();
    let mut env: Vec<(&str, OsString)> = Vec::new();
    let compiler: OsString;
    match program.language {
        Language::C | Language::Cxx => {
            let cxx = program.language == Language::Cxx;
            let real = match (cxx, variant) {
                (true, _) => "c++",
                (false, Variant::Musl) => "musl-gcc",
                (false, _) => "cc",
            };
            compiler = match toolchain {
                Some(t) => {
                    env.push(("MV_CC_REAL", real.into()));
                    t.bin.join(if cxx { "mv-c++" } else { "mv-cc" }).into()
                }
                None => real.into(),
            };
            // The programs pass bad pointers and leave results unused on purpose.
            args.extend(["-O1", "-g", "-Wall", "-Wextra", "-Werror"].map(Into::into));
            args.extend(
                [
                    "unused-result",
                    "stringop-overread",
                    "stringop-overflow",
                    "maybe-uninitialized",
                    "cast-function-type",
                    "clobbered",
                ]
                .map(|w| format!("-Wno-{w}").into()),
            );
            args.extend(["-Wno-nonnull", "-Wno-array-bounds", "-I"].map(Into::into));
            args.push(root.join("include").into());
            args.extend(
                match variant {
                    Variant::DynamicPie => &["-fPIE", "-pie"][..],
                    Variant::NoPie => &["-fno-pie", "-no-pie"],
                    Variant::Static | Variant::Musl => &["-fno-pie", "-no-pie", "-static"],
                    Variant::StaticPie => &["-fPIE", "-static-pie"],
                }
                .iter()
                .map(Into::into),
            );
            args.push(program.source.clone().into());
        }
        Language::Rust => {
            compiler = "rustc".into();
            args.extend(["--edition=2021", "-O", "-D", "warnings"].map(Into::into));
            if let Some(t) = toolchain {
                let mut linker = OsString::from("-Clinker=");
                linker.push(t.bin.join("mv-cc"));
                args.push(linker);
            }
            args.extend(
                match variant {
                    Variant::DynamicPie => &[][..],
                    Variant::NoPie => &["-Crelocation-model=static"],
                    Variant::Static => {
                        &["-Crelocation-model=static", "-Ctarget-feature=+crt-static"]
                    }
                    Variant::StaticPie => &["-Ctarget-feature=+crt-static"],
                    Variant::Musl => bail!("musl: C only"),
                }
                .iter()
                .map(Into::into),
            );
            args.push(program.source.clone().into());
        }
    }
    args.extend(program.directives.flags.iter().map(Into::into));

    let key = hash_of((&program.text, &args, variant, surroundings(root, program)?));
    let kind = match toolchain {
        Some(t) => format!("hybrid-{:016x}", t.hash),
        None => "plain".to_owned(),
    };
    let out = cache.join(kind).join(format!("{key:016x}"));
    made_once(&out, |made| {
        if toolchain.is_some() && !program.directives.toml.is_empty() {
            let config = made.with_extension("toml");
            std::fs::write(&config, &program.directives.toml)?;
            env.push(("MV_CONFIG", config.into()));
        }
        checked(
            Command::new(&compiler)
                .args(&args)
                .arg("-o")
                .arg(made)
                .envs(env.iter().map(|(k, v)| (k, v))),
        )
    })?;
    Ok(out)
}

/// Builds the helpers of a program; gives their names and files.
pub fn helpers(root: &Path, cache: &Path, program: &Program) -> Result<Vec<(String, PathBuf)>> {
    let mut built = Vec::new();
    for helper in &program.directives.with {
        let source = root.join("lib").join(&helper.source);
        let text = std::fs::read(&source)?;
        let key = hash_of((&text, &helper.flags));
        let out = cache.join("helper").join(format!("{key:016x}"));
        made_once(&out, |made| {
            checked(
                Command::new("cc")
                    .args(["-O1", "-g", "-fPIC"])
                    .args(helper.out.ends_with(".so").then_some("-shared"))
                    .arg("-I")
                    .arg(root.join("include"))
                    .arg(&source)
                    .args(&helper.flags)
                    .arg("-o")
                    .arg(made),
            )
        })?;
        built.push((helper.out.clone(), out));
    }
    Ok(built)
}
