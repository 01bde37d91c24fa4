//! Which configuration file a link takes that was told of none: `multiverse.toml` in the directory in which the link runs, or in the
//! nearest one above it.
//!
//! The search ends at the first directory that has a `.git` or `.hg` (the top of a project), and before one that belongs to
//! somebody else than the user or root: nobody else has a say in a build.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file's name.
pub const NAME: &str = "multiverse.toml";
/// Marks of a project's top.
const TOPS: [&str; 2] = [".git", ".hg"];

/// The configuration file for a link in `directory`, if there is one.
#[must_use]
pub fn config(directory: &Path) -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let ours = |m: &Metadata| [user, 0].contains(&m.uid());
    for dir in directory.ancestors() {
        // Who may write into a directory may plant a file there, but not one that is the user's own.
        if !std::fs::metadata(dir).is_ok_and(|m| ours(&m)) {
            return None;
        }
        let file = dir.join(NAME);
        if std::fs::metadata(&file).is_ok_and(|m| m.is_file() && ours(&m)) {
            return Some(file);
        }
        if TOPS.iter().any(|top| dir.join(top).exists()) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nearest_within_the_project() {
        let dir = tempfile::tempdir().expect("tempdir");
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).expect("mkdir");
        fs::create_dir(dir.path().join(".git")).expect("mkdir");
        assert_eq!(config(&inner), None);
        fs::write(dir.path().join(NAME), "").expect("write");
        assert_eq!(config(&inner), Some(dir.path().join(NAME)));
        fs::write(dir.path().join("a").join(NAME), "").expect("write");
        assert_eq!(config(&inner), Some(dir.path().join("a").join(NAME)));
        fs::create_dir(inner.join(".hg")).expect("mkdir");
        assert_eq!(config(&inner), None);
    }
}
