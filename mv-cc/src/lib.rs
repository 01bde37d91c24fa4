//! mv-cc: a drop-in `cc` and `c++` whose final links of executables go through mv-link.
//!
//! A call is taken apart by [`plan`] with the table of options in [`flags`] and [`response`] files read on the way.
//! [`compiler`] finds the real compiler, [`linkdir`] the directory whose `ld` is mv-link, and [`invocation`] puts the
//! command line together that replaces this process. Everything that is no final link of an executable for x86-64
//! Linux is executed with its arguments unchanged.

pub mod compiler;
pub mod environment;
pub mod flags;
pub mod invocation;
pub mod linkdir;
pub mod options;
pub mod plan;
pub mod response;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// What can go wrong before the compiler runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `--mv-` option that does not exist, or lacks its value.
    #[error("{0}; see mv-cc --mv-help")]
    Usage(String),
    /// No such compiler on `PATH`.
    #[error("cannot run '{}': not found on PATH; set {variable} to the real compiler", name.display())]
    NoCompiler {
        /// Name looked for.
        name: OsString,
        /// Variable that would say otherwise.
        variable: &'static str,
    },
    /// The real compiler is mv-cc.
    #[error("'{}' leads back to mv-cc; set {variable} to the real compiler", compiler.display())]
    Loop {
        /// The compiler that does.
        compiler: PathBuf,
        /// Variable to set.
        variable: &'static str,
    },
    /// No mv-link.
    #[error("cannot find mv-link: '{}' {}", path.display(), if *named {
        "(from MV_LINK) is no program; correct or unset MV_LINK, or use --mv-off for a plain link"
    } else {
        "is no program; install it there, set MV_LINK, or use --mv-off for a plain link"
    })]
    NoLinker {
        /// Where it should be.
        path: PathBuf,
        /// Whether `MV_LINK` named it.
        named: bool,
    },
    /// No place for the directory of mv-link's names.
    #[error("cannot prepare '{}' for the linker: {cause}; set XDG_CACHE_HOME to a directory of your own", path.display())]
    LinkDirectory {
        /// The last place tried.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// The compiler could not be executed.
    #[error("cannot run '{}': {cause}; set MV_CC_REAL or MV_CXX_REAL to the real compiler", program.display())]
    Exec {
        /// The compiler.
        program: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
}
