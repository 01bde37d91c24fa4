//! The real linker.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which linker is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `MV_LINK_REAL`: a path, or a name to look for on `PATH`.
    pub real: Option<OsString>,
    /// `-fuse-ld=`: a linker's short name, or a path.
    pub use_linker: Option<OsString>,
    /// The name under which this program was called.
    pub argv0: OsString,
    /// `PATH`.
    pub path: OsString,
}

/// Directories that are searched after `PATH`, which may be empty.
const LAST_RESORT: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin"];

impl Wanted {
    /// The names to look for, best first.
    fn names(&self) -> Vec<OsString> {
        if let Some(real) = self.real.as_ref().filter(|r| !r.is_empty()) {
            return vec![real.clone()];
        }
        let mut names = Vec::new();
        if let Some(x) = &self.use_linker {
            if x.as_bytes().contains(&b'/') {
                return vec![x.clone()];
            }
            let mut name = OsString::from("ld.");
            name.push(x);
            names.push(name);
            // mold and lld may be installed under these names alone; -fuse-ld=ld is the default linker.
            names.push(x.clone());
            return names;
        }
        let base = Path::new(&self.argv0)
            .file_name()
            .unwrap_or_default()
            .to_owned();
        if crate::args::is_linker_name(&base) {
            // x86_64-linux-gnu-ld.gold: without the target next.
            let short = base
                .as_bytes()
                .rsplit(|&b| b == b'-')
                .next()
                .map(|s| OsString::from_vec(s.to_vec()));
            names.push(base);
            names.extend(short.filter(|s| s.as_bytes().starts_with(b"ld")));
        }
        if names
            .iter()
            .all(|n| n == "ld" || n.as_bytes().ends_with(b"-ld"))
        {
            names.push("ld".into());
        }
        names.dedup();
        names
    }

    /// Finds the linker, skipping this program itself under whatever name.
    ///
    /// # Errors
    /// [`Error::NoLinker`].
    pub fn find(&self) -> Result<PathBuf> {
        let own = std::fs::metadata("/proc/self/exe")
            .ok()
            .map(|m| (m.dev(), m.ino()));
        let usable = |p: &Path| {
            std::fs::metadata(p).is_ok_and(|m| {
                m.is_file() && m.mode() & 0o111 != 0 && Some((m.dev(), m.ino())) != own
            })
        };
        let names = self.names();
        for name in &names {
            if name.as_bytes().contains(&b'/') {
                if usable(Path::new(name)) {
                    return Ok(name.into());
                }
                continue;
            }
            let dirs =
                std::env::split_paths(&self.path).chain(LAST_RESORT.iter().map(PathBuf::from));
            for dir in dirs.filter(|d| !d.as_os_str().is_empty()) {
                let file = dir.join(name);
                if usable(&file) {
                    return Ok(file);
                }
            }
        }
        Err(Error::NoLinker {
            name: names
                .into_iter()
                .next()
                .unwrap_or_else(|| "ld".into())
                .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(argv0: &str, use_linker: Option<&str>) -> Vec<OsString> {
        Wanted {
            argv0: argv0.into(),
            use_linker: use_linker.map(Into::into),
            ..Wanted::default()
        }
        .names()
    }

    #[test]
    fn which() {
        assert_eq!(names("/x/ld", None), ["ld"]);
        assert_eq!(names("/x/ld.gold", None), ["ld.gold"]);
        assert_eq!(
            names("x86_64-linux-gnu-ld", None),
            ["x86_64-linux-gnu-ld", "ld"]
        );
        assert_eq!(names("mv-link", None), ["ld"]);
        assert_eq!(names("/x/ld", Some("mold")), ["ld.mold", "mold"]);
        assert_eq!(names("/x/ld", Some("/y/ld.z")), ["/y/ld.z"]);
    }

    #[test]
    fn skips_itself() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&a).expect("mkdir");
        std::fs::create_dir(&b).expect("mkdir");
        symlink(std::env::current_exe().expect("exe"), a.join("ld.mvtest")).expect("symlink");
        let mut wanted = Wanted {
            use_linker: Some("mvtest".into()),
            path: std::env::join_paths([&a, &b]).expect("join"),
            ..Wanted::default()
        };
        assert!(matches!(wanted.find(), Err(Error::NoLinker { .. })));
        let real = b.join("ld.mvtest");
        std::fs::write(&real, "").expect("write");
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        assert_eq!(wanted.find().expect("found"), real);
        wanted.real = Some(real.clone().into());
        assert_eq!(wanted.find().expect("found"), real);
    }
}
