//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong; the text names what is wrong with what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on a file failed.
    #[error("{}: {action}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried, as "cannot …".
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is not an ELF file that can be worked on; the text says why.
    #[error("{0}")]
    Elf(String),
    /// The file is fine, but this operation is refused; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The payload that was built into this program is broken.
    #[error("internal error: {0}")]
    Blob(&'static str),
    /// The configuration file says something wrong.
    #[error("{}:{mistake}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong, and where.
        mistake: crate::options::Mistake,
    },
    /// There is no linker of that name.
    #[error("cannot find the linker '{}'", name.display())]
    NoLinker {
        /// The name that was looked for.
        name: PathBuf,
    },
    /// The linker was found and could not be started.
    #[error("cannot run the linker '{}'", path.display())]
    RunLinker {
        /// The linker.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Linker calls this program, which calls the linker, and so on.
    #[error("'{}' leads back to mv-link; set MV_LINK_REAL to the real linker", name.display())]
    Loop {
        /// The name that was looked for.
        name: PathBuf,
    },
    /// The program that was to be watched cannot be executed.
    #[error("cannot run '{}'", program.display())]
    Execute {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A prediction cannot be made; the text says why.
    #[error("{0}")]
    Predict(String),
    /// An operation without a file failed.
    #[error("{action}")]
    Io {
        /// What was tried, as "cannot …".
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Makes a function for `map_err` that adds the file and what was tried.
    pub fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::File {
            path,
            action,
            source,
        }
    }
}
