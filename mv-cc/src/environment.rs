//! The part of the process environment that mv-cc looks at, taken once.

use std::env::{split_paths, var_os};
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Name of the variable that holds [`Environment::seen`].
pub const SEEN: &str = "MV_CC_SEEN";

/// What [`std::env`] says, so that tests can say something else.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `MV_CC_REAL`: the real C compiler, perhaps several words.
    pub cc_real: Option<OsString>,
    /// `MV_CXX_REAL`: the real C++ compiler.
    pub cxx_real: Option<OsString>,
    /// `MV_LINK`: the mv-link to use.
    pub link: Option<OsString>,
    /// `MV_LINK_REAL`: the real linker. Read by mv-link; here only not to be overwritten.
    pub link_real: Option<OsString>,
    /// `MV_CONFIG`: the configuration file.
    pub config: Option<OsString>,
    /// `MV_OFF`: be the plain compiler.
    pub off: bool,
    /// `PATH`.
    pub path: OsString,
    /// `XDG_CACHE_HOME`, `HOME/.cache`, `XDG_RUNTIME_DIR`: places for a directory of the user's own, best first.
    pub private: Vec<PathBuf>,
    /// `TMPDIR` or `/tmp`.
    pub temporary: PathBuf,
    /// Compilers through which this process was reached from another mv-cc.
    pub seen: Vec<PathBuf>,
    /// mv-cc's own executable, links resolved.
    pub exe: PathBuf,
    /// Its device and inode numbers.
    pub exe_id: Option<(u64, u64)>,
}

impl Environment {
    /// Takes the environment of this process.
    #[must_use]
    pub fn of_process() -> Environment {
        // An empty variable is as good as none: `MV_CC_REAL= make` switches it off.
        let set = |name| var_os(name).filter(|value| !value.is_empty());
        // The XDG specification has relative paths ignored.
        let absolute = |name| {
            set(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let exe = std::env::current_exe().unwrap_or_default();
        Environment {
            cc_real: set("MV_CC_REAL"),
            cxx_real: set("MV_CXX_REAL"),
            link: set("MV_LINK"),
            link_real: set("MV_LINK_REAL"),
            config: set("MV_CONFIG"),
            off: set("MV_OFF").is_some_and(|value| value != "0"),
            path: var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into()),
            private: [
                absolute("XDG_CACHE_HOME"),
                absolute("HOME").map(|home| home.join(".cache")),
                absolute("XDG_RUNTIME_DIR"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            temporary: absolute("TMPDIR").unwrap_or_else(|| "/tmp".into()),
            seen: set(SEEN).map_or_else(Vec::new, |seen| split_paths(&seen).collect()),
            exe_id: exe
                .metadata()
                .ok()
                .map(|metadata| (metadata.dev(), metadata.ino())),
            exe,
        }
    }

    /// Whether `metadata` is that of mv-cc's own executable.
    #[must_use]
    pub fn is_self(&self, metadata: &Metadata) -> bool {
        self.exe_id == Some((metadata.dev(), metadata.ino()))
    }
}
