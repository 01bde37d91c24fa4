//! Which real compiler a call of mv-cc means, and where it is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::plan::{Reason, target_is_ours};
use crate::{Error, response};

/// How often one compiler may be reached again through mv-cc before that is called a loop. More than once is right
/// where wrappers of the compiler search `PATH` themselves.
const REPEAT_LIMIT: usize = 4;

/// Compilers that do not run an `ld` that `-B` could replace, or take `-B` for something else.
const FOREIGN: &[&str] = &[
    "clang-cl", "em++", "emcc", "nvc", "nvc++", "nvcc", "pcc", "tcc", "zig",
];

/// Machine names that start the name of a cross compiler.
const MACHINES: &[&str] = &[
    "aarch64",
    "alpha",
    "amd64",
    "arc",
    "arm",
    "avr",
    "bpf",
    "hppa",
    "i386",
    "i486",
    "i586",
    "i686",
    "ia64",
    "loongarch",
    "m68k",
    "microblaze",
    "mips",
    "msp430",
    "nios2",
    "or1k",
    "powerpc",
    "ppc",
    "riscv",
    "rx",
    "s390",
    "sh4",
    "sparc",
    "wasm",
    "x86_64",
    "xtensa",
];

/// Which driver is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `cc`
    C,
    /// `c++`
    Cxx,
}

impl Driver {
    /// Chooses by the name that mv-cc was called by: `mv-c++`, `g++`, `clang++-14` and the like are C++.
    #[must_use]
    pub fn of(name: &OsStr) -> Driver {
        if without_version(name.as_bytes()).ends_with(b"++") {
            Driver::Cxx
        } else {
            Driver::C
        }
    }
}

/// The real compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// File to execute.
    pub program: PathBuf,
    /// Its `argv[0]`.
    pub arg0: OsString,
    /// Words that come before the arguments: `gcc` in `ccache gcc`.
    pub words: Vec<OsString>,
}

impl Compiler {
    /// Finds the compiler that a call by the name `argv0` means.
    ///
    /// `MV_CC_REAL` or `MV_CXX_REAL` decide, else the name itself: `mv-cc` means `cc`, and a link called `gcc` to mv-cc
    /// means the next `gcc` on `PATH`. mv-cc never finds itself.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] if there is none, [`Error::Loop`] if the compiler is mv-cc, or leads back to it.
    pub fn find(argv0: &OsStr, env: &Environment) -> Result<Compiler, Error> {
        let name = base(argv0);
        let (variable, real) = match Driver::of(name) {
            Driver::C => ("MV_CC_REAL", &env.cc_real),
            Driver::Cxx => ("MV_CXX_REAL", &env.cxx_real),
        };
        let mut words = real
            .as_ref()
            .map_or_else(Vec::new, |real| response::split(real.as_bytes()))
            .into_iter();
        let word = match words.next() {
            Some(word) => OsString::from_vec(word),
            None => default_name(name),
        };
        let words = words.map(OsString::from_vec).collect();
        if word.as_bytes().contains(&b'/') {
            let program = PathBuf::from(&word);
            if program
                .metadata()
                .is_ok_and(|metadata| env.is_self(&metadata))
                || repeats(env, &program) >= REPEAT_LIMIT
            {
                return Err(Error::Loop {
                    compiler: program,
                    variable,
                });
            }
            return Ok(Compiler {
                arg0: word,
                program,
                words,
            });
        }
        let (program, skipped) = search(&word, env, variable)?;
        // GCC finds its own parts by argv[0], on PATH if need be; there it would find us.
        let arg0 = if skipped {
            program.clone().into_os_string()
        } else {
            word
        };
        Ok(Compiler {
            program,
            arg0,
            words,
        })
    }

    /// The options among [`Compiler::words`], as in `MV_CC_REAL="gcc -m32"`.
    #[must_use]
    pub fn preset(&self) -> &[OsString] {
        let first = self
            .words
            .iter()
            .position(|word| word.as_bytes().starts_with(b"-"));
        &self.words[first.unwrap_or(self.words.len())..]
    }

    /// Says why links of this compiler cannot go through mv-link, going by its name.
    #[must_use]
    pub fn foreign(&self) -> Option<Reason> {
        let preset = self.preset().len();
        let names = &self.words[..self.words.len() - preset];
        std::iter::once(&self.arg0)
            .chain(names)
            .find(|word| is_foreign(base(word)))
            .map(|word| Reason::Compiler(word.clone()))
    }
}

fn is_foreign(name: &OsStr) -> bool {
    let name = without_version(name.as_bytes());
    if FOREIGN.iter().any(|foreign| foreign.as_bytes() == name) {
        return true;
    }
    let Some(dash) = name.iter().rposition(|&byte| byte == b'-') else {
        return false;
    };
    let triple = &name[..dash];
    triple.contains(&b'-')
        && MACHINES
            .iter()
            .any(|machine| triple.starts_with(machine.as_bytes()))
        && !target_is_ours(triple)
}

/// `gcc-12` is `gcc`, `clang++-14` is `clang++`.
fn without_version(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|&byte| byte == b'-') {
        Some(dash)
            if dash + 1 < name.len()
                && name[dash + 1..]
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'.') =>
        {
            &name[..dash]
        }
        _ => name,
    }
}

fn base(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or(path)
}

fn default_name(name: &OsStr) -> OsString {
    match name
        .as_bytes()
        .strip_prefix(b"mv-")
        .unwrap_or(name.as_bytes())
    {
        b"" => "cc".into(),
        name => OsString::from_vec(name.to_vec()),
    }
}

fn repeats(env: &Environment, program: &Path) -> usize {
    env.seen.iter().filter(|seen| *seen == program).count()
}

/// Searches `PATH` as execvp(3) does, passing over mv-cc itself and, if it can, what led here.
fn search(
    word: &OsStr,
    env: &Environment,
    variable: &'static str,
) -> Result<(PathBuf, bool), Error> {
    let mut skipped = false;
    let mut candidates = BTreeMap::new();
    for (rank, directory) in std::env::split_paths(&env.path).enumerate() {
        let file = if directory.as_os_str().is_empty() {
            Path::new(".").join(word)
        } else {
            directory.join(word)
        };
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
            continue;
        }
        if env.is_self(&metadata) {
            skipped = true;
            continue;
        }
        let times = repeats(env, &file);
        if times == 0 {
            return Ok((file, skipped));
        }
        skipped = true;
        candidates.insert((times, rank), file);
    }
    match candidates.into_iter().next() {
        Some(((times, _), file)) if times < REPEAT_LIMIT => Ok((file, skipped)),
        Some((_, file)) => Err(Error::Loop {
            compiler: file,
            variable,
        }),
        None => Err(Error::NoCompiler {
            name: word.to_owned(),
            variable,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, driver) in [
            ("mv-cc", Driver::C),
            ("mv-c++", Driver::Cxx),
            ("x86_64-linux-gnu-g++-12", Driver::Cxx),
            ("clang++-14", Driver::Cxx),
            ("gcc-12", Driver::C),
        ] {
            assert_eq!(Driver::of(OsStr::new(name)), driver, "{name}");
        }
        assert_eq!(default_name(OsStr::new("mv-cc")), "cc");
        assert_eq!(default_name(OsStr::new("mv-c++")), "c++");
        assert_eq!(default_name(OsStr::new("gcc-12")), "gcc-12");
        assert_eq!(default_name(OsStr::new("mv-clang")), "clang");
    }

    #[test]
    fn foreign_compilers() {
        for name in [
            "aarch64-linux-gnu-gcc",
            "arm-none-eabi-gcc-12",
            "x86_64-w64-mingw32-g++",
            "tcc",
            "i686-linux-gnu-cc",
        ] {
            assert!(is_foreign(OsStr::new(name)), "{name}");
        }
        for name in [
            "cc",
            "gcc-12",
            "x86_64-linux-gnu-gcc-12",
            "x86_64-pc-linux-gnu-clang",
            "musl-gcc",
            "afl-clang-fast",
        ] {
            assert!(!is_foreign(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn options_that_come_with_the_compiler() {
        let compiler = Compiler {
            program: "/usr/bin/ccache".into(),
            arg0: "ccache".into(),
            words: vec!["gcc".into(), "-m32".into(), "x".into()],
        };
        assert_eq!(compiler.preset(), ["-m32", "x"]);
        assert_eq!(compiler.foreign(), None);
    }
}
