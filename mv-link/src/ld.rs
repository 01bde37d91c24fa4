//! The drop-in linker.

use crate::args::LinkArgs;
use crate::blobs::Blobs;
use crate::config_blob::Blob;
use crate::error::{Error, Result};
use crate::options::Config;
use crate::real::Wanted;
use crate::{discover, finish, object_file};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::MemfdFlags;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The real linker.
pub const VAR_REAL: &str = "MV_LINK_REAL";
/// The configuration file, unless `--mv-config=` names one; without either it is looked for ([`discover`]).
pub const VAR_CONFIG: &str = "MV_CONFIG";
/// Set for the real linker to count how often this program called itself.
const VAR_DEPTH: &str = "MV_LINK_DEPTH";
const DEPTH_MAX: u32 = 4;
/// The object's file descriptor in the linker: fixed, because its name shows in maps, and above those that are usually in use.
const OBJECT_FD: i32 = 250;

/// Links as `argv` (with the program's name) says, and makes the output a hybrid if it is an executable.
///
/// Does not return when nothing but the real linker is needed: it takes this process's place.
///
/// # Errors
/// Everything that keeps the real linker from running or its output from being finished; then the output is removed.
pub fn run(argv: &[OsString], blobs: &Blobs<'_>) -> Result<ExitStatus> {
    let (argv0, rest) = argv
        .split_first()
        .map_or((OsStr::new("ld"), &[][..]), |(a, r)| (a.as_os_str(), r));
    let args = LinkArgs::parse(rest);
    let wanted = Wanted {
        real: std::env::var_os(VAR_REAL),
        use_linker: args.use_linker.clone(),
        argv0: argv0.to_owned(),
        path: std::env::var_os("PATH").unwrap_or_default(),
    };
    let linker = wanted.find()?;
    let depth = std::env::var(VAR_DEPTH)
        .ok()
        .and_then(|d| d.parse().ok())
        .unwrap_or(0);
    if depth >= DEPTH_MAX {
        return Err(Error::Loop { name: linker });
    }
    let mut command = Command::new(&linker);
    command
        .args(&args.forwarded)
        .env(VAR_DEPTH, (depth + 1).to_string());
    if args.plain.is_some() {
        let source = command.exec();
        return Err(Error::RunLinker {
            path: linker,
            source,
        });
    }

    let named = args.config.clone().or_else(|| {
        std::env::var_os(VAR_CONFIG)
            .filter(|c| !c.is_empty())
            .map(Into::into)
    });
    let near = || discover::config(&std::env::current_dir().ok()?);
    let config = match named.or_else(near) {
        Some(file) => Config::read(&file)?.for_output(args.output()),
        None => Config::default(),
    };
    let blob = Blob::of(&config).map_or_else(Vec::new, |b| b.bytes());
    let object = ObjectFile::new(&object_file::build(blobs, &config.text(), &blob)?)?;
    if args.format_changed {
        // gold and mold know no "default", GNU ld knows no "elf"; this all but lld know.
        command.arg("--format").arg(if is_lld(&linker) {
            "default"
        } else {
            "elf64-x86-64"
        });
    }
    command.arg(object.path());
    let status = command.status().map_err(|source| Error::RunLinker {
        path: linker.clone(),
        source,
    })?;
    if !status.success() {
        return Ok(status);
    }
    if let Some(file) = &args.dependency_file {
        forget_object(file, object.path())?;
    }
    if let Err(e) = finish::finish(args.output(), &config) {
        // A linker that fails leaves no output. Only a regular file gets here.
        let _ = std::fs::remove_file(args.output());
        return Err(e);
    }
    Ok(status)
}

/// Ends this process as the linker ended: gives its exit status, or dies by the same signal.
pub fn end_as(status: ExitStatus) -> i32 {
    if let Some(signal) = status.signal() {
        // The linker has left a core file if one is wanted; one of this process would hide it.
        let none = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        // SAFETY: sets the default action, no handler. Rust's runtime has its own for SIGSEGV, SIGBUS and SIGPIPE.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn is_lld(linker: &Path) -> bool {
    linker
        .file_name()
        .is_some_and(|n| n.as_bytes().ends_with(b"lld"))
}

/// The object as a file that the linker can open by name.
enum ObjectFile {
    /// In memory, under a name that is the same for every link, so that maps and traces are reproducible.
    Memory { _file: OwnedFd, path: PathBuf },
    /// For a system without memfd or `/proc`.
    Disk {
        _dir: tempfile::TempDir,
        path: PathBuf,
    },
}

impl ObjectFile {
    fn new(bytes: &[u8]) -> Result<ObjectFile> {
        if let Some(object) = ObjectFile::in_memory(bytes) {
            return Ok(object);
        }
        let action = "cannot write the temporary object";
        let err = |source| Error::Io { action, source };
        let dir = tempfile::Builder::new()
            .prefix("mv-link-")
            .tempdir()
            .map_err(err)?;
        let path = dir.path().join("multiverse.o");
        std::fs::write(&path, bytes).map_err(err)?;
        Ok(ObjectFile::Disk { _dir: dir, path })
    }

    fn in_memory(bytes: &[u8]) -> Option<ObjectFile> {
        let memory = rustix::fs::memfd_create("multiverse.o", MemfdFlags::CLOEXEC).ok()?;
        let mut file = File::from(memory);
        file.write_all(bytes).ok()?;
        // Not close-on-exec: the linker inherits it, and opens it anew by name.
        let number = rustix::io::fcntl_dupfd_cloexec(&file, OBJECT_FD).ok()?;
        rustix::io::fcntl_setfd(&number, rustix::io::FdFlags::empty()).ok()?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", number.as_raw_fd()));
        path.exists().then_some(ObjectFile::Memory {
            _file: number,
            path,
        })
    }

    fn path(&self) -> &Path {
        match self {
            ObjectFile::Memory { path, .. } | ObjectFile::Disk { path, .. } => path,
        }
    }
}

/// Takes the object out of a dependency file (`--dependency-file`), where build tools would look for it in vain.
fn forget_object(file: &Path, object: &Path) -> Result<()> {
    if !std::fs::metadata(file).is_ok_and(|m| m.is_file()) {
        return Ok(());
    }
    let text = std::fs::read(file).map_err(Error::file(file, "cannot read"))?;
    if let Some(new) = without_object(&text, object.as_os_str().as_bytes()) {
        std::fs::write(file, new).map_err(Error::file(file, "cannot write"))?;
    }
    Ok(())
}

/// The text of a dependency file without `object`: its line `  object \` or word, and its empty rule `object:`. `None` if it is not there.
fn without_object(text: &[u8], object: &[u8]) -> Option<Vec<u8>> {
    let name = std::str::from_utf8(object).ok()?;
    // Names are bytes; Latin-1 keeps them one to one.
    let text: String = text.iter().map(|&b| b as char).collect();
    if !text.contains(name) {
        return None;
    }
    let mut lines: Vec<String> = Vec::new();
    let mut blank_follows_rule = false;
    for line in text.lines() {
        if blank_follows_rule && line.is_empty() {
            blank_follows_rule = false;
            continue;
        }
        blank_follows_rule = false;
        let bare = line.trim_end_matches('\\').trim();
        if bare == name {
            // As the last of its rule it leaves the line before without a successor.
            if !line.ends_with('\\') {
                if let Some(last) = lines.last_mut() {
                    *last = last.trim_end_matches('\\').trim_end().to_owned();
                }
            }
        } else if bare.strip_suffix(':') == Some(name) {
            blank_follows_rule = true;
        } else {
            lines.push(line.replace(&format!(" {name}"), ""));
        }
    }
    let mut out = lines.join("\n");
    out.push('\n');
    Some(out.chars().map(|c| c as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_files() {
        let without = |t: &str| {
            without_object(t.as_bytes(), b"/o").map(|v| String::from_utf8(v).expect("text"))
        };
        assert_eq!(without("out: \\\n  a.o\n\na.o:\n"), None);
        let bfd = "out: \\\n  a.o \\\n  /o\n\na.o:\n\n/o:\n";
        assert_eq!(without(bfd).expect("there"), "out: \\\n  a.o\n\na.o:\n\n");
        let middle = "out: \\\n  a.o \\\n  /o \\\n  b.o\n\na.o:\n\n/o:\n\nb.o:\n";
        assert_eq!(
            without(middle).expect("there"),
            "out: \\\n  a.o \\\n  b.o\n\na.o:\n\nb.o:\n"
        );
        assert_eq!(
            without("out: a.o /o b.o\n").expect("there"),
            "out: a.o b.o\n"
        );
    }
}
