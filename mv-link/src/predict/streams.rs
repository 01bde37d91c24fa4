//! Standard streams for a run that nobody is to see: of the same kinds as the real ones, so that the program behaves the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Error, Read, Result, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Where the real standard input stands, before the first run.
pub enum Input {
    /// A file, and the offset in it: can be read again.
    File(u64),
    /// What gives the same in every run, or is the user's own (a terminal).
    Same,
    /// What has been read is gone: a pipe, a socket.
    Once,
}

fn status(fd: BorrowedFd<'_>) -> Result<File> {
    fd.try_clone_to_owned().map(File::from)
}

impl Input {
    /// Looks at this process's standard input.
    pub fn look() -> Input {
        let stdin = io::stdin();
        let Ok(mut file) = status(stdin.as_fd()) else {
            return Input::Same; // closed
        };
        match file.metadata() {
            Ok(m) if m.is_file() => file.stream_position().map_or(Input::Once, Input::File),
            Ok(m) if m.file_type().is_fifo() || m.file_type().is_socket() => Input::Once,
            _ => Input::Same,
        }
    }
}

/// The three streams of the unseen run; `None`: the real one.
pub struct Unseen([Option<OwnedFd>; 3]);

impl Unseen {
    /// Makes them. What the program writes is read and dropped by threads of this process.
    ///
    /// # Errors
    /// What could not be made or opened.
    pub fn new(input: &Input) -> Result<Unseen> {
        let stdin = match input {
            Input::File(offset) => {
                let mut file = File::open("/proc/self/fd/0")?;
                file.seek(SeekFrom::Start(*offset))?;
                Some(file.into())
            }
            Input::Same | Input::Once => None,
        };
        let (out, err) = (io::stdout(), io::stderr());
        let real_out = status(out.as_fd())?;
        let real_err = status(err.as_fd())?;
        let stdout = like(&real_out)?;
        let (a, b) = (real_out.metadata()?, real_err.metadata()?);
        // `2>&1` stays that.
        let same = (a.dev(), a.ino(), a.rdev()) == (b.dev(), b.ino(), b.rdev());
        let stderr = match &stdout {
            Some(fd) if same => Some(fd.try_clone()?),
            _ => like(&real_err)?,
        };
        Ok(Unseen([stdin, stdout, stderr]))
    }

    /// As descriptors for a program to start with.
    pub fn borrow(&self) -> [Option<BorrowedFd<'_>>; 3] {
        std::array::from_fn(|i| self.0[i].as_ref().map(AsFd::as_fd))
    }
}

/// A stream of the same kind as `real` that leads nowhere; `None` for one that does so already.
fn like(real: &File) -> Result<Option<OwnedFd>> {
    let kind = real.metadata()?.file_type();
    if kind.is_file() {
        return Ok(Some(tempfile::tempfile()?.into()));
    }
    if kind.is_fifo() || kind.is_socket() {
        let (from, to) = io::pipe()?;
        drain(from);
        return Ok(Some(to.into()));
    }
    // SAFETY: asks whether it is a terminal.
    if unsafe { libc::isatty(real.as_raw_fd()) } == 1 {
        return terminal(real).map(Some);
    }
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    let own = null.metadata()?;
    Ok((own.rdev() != real.metadata()?.rdev()).then(|| null.into()))
}

/// A terminal with the settings and the size of `real`.
fn terminal(real: &File) -> Result<OwnedFd> {
    // SAFETY: plain integers.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: plain integers.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: room for each result; the name is not asked for.
    let r = unsafe {
        libc::tcgetattr(real.as_raw_fd(), &mut settings);
        libc::ioctl(real.as_raw_fd(), libc::TIOCGWINSZ, &mut size);
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            &settings,
            &size,
        )
    };
    if r != 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: two descriptors that are nobody else's.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    for fd in [&ours, &theirs] {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    drain(File::from(ours));
    Ok(theirs)
}

/// Reads to the end, in a thread of its own; it ends with the last writer, or with this process.
fn drain(mut from: impl Read + Send + 'static) {
    std::thread::spawn(move || io::copy(&mut from, &mut io::sink()));
}
