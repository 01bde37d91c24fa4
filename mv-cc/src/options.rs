//! mv-cc's own options. clap sees only arguments that start with `--mv-`, and is not even started without one.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

use crate::Error;

/// Options of mv-cc itself; they never reach the compiler.
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(
    name = "mv-cc",
    about = "A drop-in cc and c++ whose final links of executables go through mv-link",
    override_usage = "mv-cc [--mv-OPTION]... [COMPILER ARGUMENT]...",
    after_help = AFTER_HELP,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub struct Options {
    /// Configuration of the hybrid (multiverse.toml)
    #[arg(long = "mv-config", value_name = "FILE", require_equals = true)]
    pub config: Option<PathBuf>,
    /// Usage model of the program
    #[arg(long = "mv-model", value_name = "MODEL", require_equals = true)]
    pub model: Option<Model>,
    /// Be the plain compiler
    #[arg(long = "mv-off")]
    pub off: bool,
    /// Say on standard error what is executed
    #[arg(long = "mv-verbose")]
    pub verbose: bool,
    /// Print this help
    #[arg(long = "mv-help")]
    pub help: bool,
    /// Print the version of mv-cc
    #[arg(long = "mv-version")]
    pub version: bool,
}

/// How a program uses the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// The whole program executes with the kernel
    Incremental,
    /// The program is one of Linux's until it calls hrt_init
    Accelerator,
    /// The program has hrt_main and is written for the kernel's API alone
    Native,
}

impl Model {
    /// Its name, as mv-link takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Model::Incremental => "incremental",
            Model::Accelerator => "accelerator",
            Model::Native => "native",
        }
    }
}

const AFTER_HELP: &str = "\
All other arguments go to the real compiler. Called by a name such as mv-c++ or g++ it is a C++ compiler.

Environment:
  MV_CC_REAL    the real C compiler, one word or several (default: cc, or the name called by)
  MV_CXX_REAL   the real C++ compiler (default: c++, or the name called by)
  MV_LINK       the mv-link to use (default: the one next to mv-cc)
  MV_LINK_REAL  the real linker (default: the one that the compiler would run)
  MV_CONFIG     as --mv-config
  MV_OFF        1: as --mv-off";

impl Options {
    /// Parses `own`, arguments that all start with `--mv-`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an option that does not exist or lacks its value.
    pub fn parse_own(own: Vec<OsString>) -> Result<Options, Error> {
        let words = std::iter::once(OsString::from("mv-cc")).chain(own);
        Options::try_parse_from(words).map_err(|error| {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            Error::Usage(line.trim_start_matches("error: ").to_owned())
        })
    }

    /// The text of `--mv-help`.
    #[must_use]
    pub fn help_text() -> String {
        Options::command().render_help().to_string()
    }

    /// The text of `--mv-version`.
    #[must_use]
    pub fn version_text() -> String {
        format!("mv-cc {}\n", env!("CARGO_PKG_VERSION"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, Error> {
        Options::parse_own(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn all_options() {
        Options::command().debug_assert();
        let options = parse(&["--mv-config=a", "--mv-config=b", "--mv-verbose"]).expect("good");
        assert_eq!(options.config, Some("b".into()));
        assert!(options.verbose && !options.off);
        let options = parse(&["--mv-model=native"]).expect("good");
        assert_eq!(options.model, Some(Model::Native));
        for bad in ["--mv-model=x", "--mv-nothing", "--mv-config", "--mv-off=1"] {
            assert!(
                matches!(parse(&[bad]), Err(Error::Usage(text)) if text.contains(bad.trim_end_matches("=1").trim_end_matches("=x"))),
                "{bad}"
            );
        }
    }
}
