//! The directory whose `ld` is mv-link.
//!
//! A compiler that is given `-B<directory>/` runs the `ld` it finds there; with `-fuse-ld=NAME`, `ld.NAME`. All of
//! these are symbolic links to mv-link, which sees by its `argv[0]` which linker is meant. The directory holds nothing
//! else, because `-B` is searched for the compiler's other parts as well.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::environment::Environment;

/// The linkers that GCC and Clang know by name.
pub const LINKER_NAMES: &[&str] = &["ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold"];

/// Name of the directory next to mv-cc.
pub const NAME: &str = "multiverse-ld";

/// Finds mv-link: `MV_LINK`, else the one next to mv-cc.
///
/// # Errors
/// [`Error::NoLinker`] if there is none.
pub fn find_mv_link(env: &Environment) -> Result<PathBuf, Error> {
    let (path, from_path) = match &env.link {
        Some(link) if !link.as_bytes().contains(&b'/') => {
            let found = std::env::split_paths(&env.path)
                .map(|directory| directory.join(link))
                .find(|file| is_program(file));
            (found.unwrap_or_else(|| link.into()), true)
        }
        Some(link) => (link.into(), false),
        None => (env.exe.with_file_name("mv-link"), false),
    };
    if !is_program(&path)
        || (from_path
            && path
                .parent()
                .is_none_or(|parent| parent.as_os_str().is_empty()))
    {
        return Err(Error::NoLinker {
            path,
            named: env.link.is_some(),
        });
    }
    std::path::absolute(&path).map_err(|cause| Error::LinkDirectory { path, cause })
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
}

/// Finds or makes the directory for `mv_link`.
///
/// The first choice lies next to mv-cc. Where that cannot be written (an installed mv-cc), a directory of the user's:
/// in the cache directory, else the runtime directory, else the temporary one. Any number of processes may do this at
/// a time.
///
/// # Errors
/// [`Error::LinkDirectory`] if no place will do; it names the last one tried.
pub fn provide(mv_link: &Path, env: &Environment) -> Result<PathBuf, Error> {
    let mut failure = None;
    if env.link.is_none() {
        let directory = env.exe.with_file_name(NAME);
        // Relative links, so that an installation can be moved.
        match fill(&directory, Path::new("../mv-link"), 0o755) {
            Ok(()) => return Ok(directory),
            Err(cause) => failure = Some((directory, cause)),
        }
    }
    let key = format!("ld-{:016x}", fnv1a(mv_link.as_os_str().as_bytes()));
    let user = rustix::process::geteuid().as_raw();
    let places = env
        .private
        .iter()
        .map(|place| place.join("multiverse"))
        .chain([env.temporary.join(format!("multiverse-{user}"))]);
    for place in places {
        let directory = place.join(&key);
        match make_private(&place, user)
            .and_then(|()| make_private(&directory, user))
            .and_then(|()| fill(&directory, mv_link, 0o700))
        {
            Ok(()) => return Ok(directory),
            Err(cause) => failure = Some((directory, cause)),
        }
    }
    let (path, cause) = failure.unwrap_or_else(|| (NAME.into(), io::ErrorKind::NotFound.into()));
    Err(Error::LinkDirectory { path, cause })
}

/// Makes `path`, or accepts what is there if it is a directory that nobody but `user` can write.
fn make_private(path: &Path, user: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // ~/.cache itself may not exist yet; a home directory that does not exist is left alone.
            let parent = path.parent().ok_or(error)?;
            DirBuilder::new().mode(0o700).create(parent)?;
            DirBuilder::new().mode(0o700).create(path)?;
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Not through a link: whoever could put one there chooses the linker.
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "not a directory that only its user can write",
    ))
}

/// Makes sure that `directory` has all links to `target`. Each appears at once (rename), so who finds one has a good one.
fn fill(directory: &Path, target: &Path, mode: u32) -> io::Result<()> {
    // The compilers keep such directories in lists separated by colons.
    if directory.as_os_str().as_bytes().contains(&b':') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a colon in its name",
        ));
    }
    let mut created = false;
    for name in LINKER_NAMES {
        let link = directory.join(name);
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        if !created {
            match DirBuilder::new().mode(mode).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => created = true,
            }
        }
        replace_link(directory, target, &link)?;
    }
    Ok(())
}

fn replace_link(directory: &Path, target: &Path, link: &Path) -> io::Result<()> {
    let temporary = directory.join(format!(".new-{}", std::process::id()));
    match symlink(target, &temporary) {
        // Left by a process that had our number and was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary)?;
            symlink(target, &temporary)?;
        }
        other => other?,
    }
    fs::rename(&temporary, link).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// The name under which mv-link stands for the linker `path`.
#[must_use]
pub fn name_for(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or(OsStr::new("ld"));
    LINKER_NAMES
        .iter()
        .copied()
        .find(|known| *known == name)
        .unwrap_or("ld")
}

/// FNV-1a: a name for a path, the same on every run.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    fn environment(root: &Path) -> Environment {
        Environment {
            exe: root.join("bin/mv-cc"),
            private: vec![root.join("home/.cache")],
            temporary: root.join("tmp"),
            ..Environment::default()
        }
    }

    fn installation() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        for name in ["bin", "home", "tmp"] {
            fs::create_dir(root.path().join(name)).expect("mkdir");
        }
        let file = root.path().join("bin/mv-link");
        fs::write(&file, "#!/bin/sh\n").expect("write");
        set_permissions(file, Permissions::from_mode(0o755)).expect("chmod");
        root
    }

    #[test]
    fn next_to_mv_cc_by_any_number_of_processes() {
        let root = installation();
        let env = environment(root.path());
        let link = find_mv_link(&env).expect("mv-link");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| provide(&link, &env).expect("directory"));
            }
        });
        let directory = provide(&link, &env).expect("directory");
        assert_eq!(directory, root.path().join("bin/multiverse-ld"));
        for name in LINKER_NAMES {
            assert_eq!(
                directory.join(name).canonicalize().expect("link"),
                link.canonicalize().expect("file")
            );
        }
    }

    #[test]
    fn a_stale_link_is_replaced() {
        let root = installation();
        let env = environment(root.path());
        let link = find_mv_link(&env).expect("mv-link");
        let directory = provide(&link, &env).expect("directory");
        fs::remove_file(directory.join("ld")).expect("remove");
        symlink("/nonexistent", directory.join("ld")).expect("symlink");
        provide(&link, &env).expect("directory");
        assert_eq!(
            fs::read_link(directory.join("ld")).expect("link"),
            Path::new("../mv-link")
        );
    }

    #[test]
    fn another_mv_link_goes_to_the_cache() {
        let root = installation();
        let mut env = environment(root.path());
        env.link = Some(root.path().join("bin/mv-link").into_os_string());
        let directory = provide(&find_mv_link(&env).expect("mv-link"), &env).expect("directory");
        assert!(
            directory.starts_with(root.path().join("home/.cache/multiverse")),
            "{}",
            directory.display()
        );
        assert_eq!(
            directory.metadata().expect("metadata").mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let root = installation();
        let mut env = environment(root.path());
        env.link = Some(root.path().join("bin/mv-link").into_os_string());
        let open = root.path().join("home/.cache/multiverse");
        fs::create_dir_all(&open).expect("mkdir");
        set_permissions(&open, Permissions::from_mode(0o777)).expect("chmod");
        let link = find_mv_link(&env).expect("mv-link");
        let directory = provide(&link, &env).expect("directory");
        assert!(
            directory.starts_with(root.path().join("tmp")),
            "{}",
            directory.display()
        );
        // A link in place of the directory is refused as well; then nothing is left.
        fs::remove_dir_all(directory.parent().expect("parent")).expect("remove");
        symlink(
            root.path().join("home"),
            directory.parent().expect("parent"),
        )
        .expect("symlink");
        assert!(matches!(
            provide(&link, &env),
            Err(Error::LinkDirectory { .. })
        ));
    }

    #[test]
    fn no_mv_link() {
        let root = installation();
        let mut env = environment(root.path());
        fs::remove_file(root.path().join("bin/mv-link")).expect("remove");
        assert!(matches!(
            find_mv_link(&env),
            Err(Error::NoLinker { named: false, .. })
        ));
        env.link = Some("no-such-mv-link".into());
        assert!(matches!(
            find_mv_link(&env),
            Err(Error::NoLinker { named: true, .. })
        ));
    }
}
