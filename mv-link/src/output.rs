//! Whole files in and out.

use crate::error::{Error, Result};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A file's bytes and its permission bits.
pub struct Input {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The permission bits: `rwx` of user, group and others. Set-user-ID and set-group-ID are left out: a compiler's output has neither.
    pub mode: u32,
}

/// Reads a regular file.
///
/// # Errors
/// [`Error::File`] if it cannot be read, [`Error::Refused`] if it is something else than a regular file.
pub fn read(path: &Path) -> Result<Input> {
    let meta = fs::metadata(path).map_err(Error::file(path, "cannot read"))?;
    if !meta.is_file() {
        return Err(Error::Refused(format!(
            "{}: not a regular file",
            path.display()
        )));
    }
    Ok(Input {
        bytes: fs::read(path).map_err(Error::file(path, "cannot read"))?,
        mode: meta.permissions().mode() & 0o777,
    })
}

/// The directory in which the file at `path` will be written.
///
/// # Errors
/// [`Error::Refused`] if `path` is there and no regular file.
pub fn folder(path: &Path) -> Result<&Path> {
    if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        return Err(Error::Refused(format!(
            "{}: not a regular file",
            path.display()
        )));
    }
    Ok(match path.parent() {
        Some(d) if !d.as_os_str().is_empty() => d,
        _ => Path::new("."),
    })
}

/// Writes a file so that it is there whole or not at all: to a temporary file in the same directory, which then takes its name.
/// A symbolic link of that name is replaced, as the linkers do.
///
/// # Errors
/// [`Error::File`] if it cannot be written, [`Error::Refused`] if `path` is there and no regular file.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let dir = folder(path)?;
    let mut file = tempfile::Builder::new()
        .prefix(".mv-link-")
        .tempfile_in(dir)
        .map_err(Error::file(path, "cannot write"))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().set_permissions(Permissions::from_mode(mode)))
        .map_err(Error::file(path, "cannot write"))?;
    file.persist(path)
        .map_err(|e| Error::file(path, "cannot write")(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("f");
        write(&file, b"one", 0o750).expect("written");
        write(&file, b"two", 0o711).expect("written");
        let back = read(&file).expect("read");
        assert_eq!((&back.bytes[..], back.mode), (&b"two"[..], 0o711));
        assert!(matches!(
            write(dir.path(), b"", 0o755),
            Err(Error::Refused(_))
        ));
        assert!(matches!(
            write(Path::new("/dev/null"), b"", 0o755),
            Err(Error::Refused(_))
        ));
        assert!(matches!(
            write(&dir.path().join("no/f"), b"", 0o755),
            Err(Error::File { .. })
        ));
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(Error::Refused(_))
        ));
        assert_eq!(
            fs::read_dir(dir.path()).expect("dir").count(),
            1,
            "no temporary file stays"
        );
    }
}
