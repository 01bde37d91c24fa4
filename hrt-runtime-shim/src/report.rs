//! What the payload says to a person: on stderr, and only when it was asked to or cannot go on.

use crate::kernel::{CONFINED, IMAGE, IMAGE_SIZE};
use crate::raw::{self, nr};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

/// Exit status when a platform asked for by name cannot run.
pub const EXIT_CANNOT_RUN: i32 = 125;

/// A line under construction; what exceeds the buffer is cut.
pub struct Line<const N: usize = 512> {
    buf: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Line {
            buf: [0; N],
            len: 0,
        }
    }

    /// What has been written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or(&[])
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds raw bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for b in bytes {
            if let Some(slot) = self.buf.get_mut(self.len) {
                *slot = *b;
                self.len += 1;
            }
        }
    }
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}

/// What a report holds.
pub type Report = Line<4096>;

/// Says why the payload cannot go on, and where, and ends the process by SIGABRT, with a core dump where Linux makes one.
pub fn die(what: &dyn fmt::Display) -> ! {
    let frame: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    panic(what, |out| backtrace(out, "kernel", None, frame))
}

/// [`die`], with what `details` adds to the report.
pub fn panic(what: &dyn fmt::Display, details: impl FnOnce(&mut Report)) -> ! {
    static ONCE: AtomicBool = AtomicBool::new(false);
    let mut out = Report::new();
    let _ = writeln!(out, "multiverse: HRT kernel panic: {what}");
    // Not for what goes wrong in a report, nor for two threads at once.
    if !ONCE.swap(true, Ordering::AcqRel) {
        details(&mut out);
    }
    raw::write_all(2, out.bytes());
    abort()
}

/// Ends the process by SIGABRT's default action.
fn abort() -> ! {
    const SIGABRT: usize = 6;
    let (pid, tid) = raw::ids();
    // `struct sigaction`: SIG_DFL.
    let default = [0usize; 4];
    // SAFETY: the process ends here; the action is a complete structure.
    unsafe {
        let at = default.as_ptr() as usize;
        raw::syscall4(nr::RT_SIGACTION, SIGABRT, at, 0, 8);
        raw::sigmask(raw::SIG_UNBLOCK, 1 << (SIGABRT - 1));
        raw::syscall4(nr::TGKILL, pid as usize, tid as usize, SIGABRT, 0);
    }
    // A jail forbids it.
    raw::exit_group(128 + SIGABRT as i32)
}

/// Adds registers by their names, four a line.
pub fn registers(out: &mut Report, whose: &str, values: &[(&str, u64)]) {
    let _ = write!(out, "  {whose}");
    for (i, (name, value)) in values.iter().enumerate() {
        let break_before = if i % 4 == 0 { "\n    " } else { " " };
        let _ = write!(out, "{break_before}{name:>6} {value:016x}");
    }
    let _ = writeln!(out);
}

/// Adds where execution is, `at`, and where it came from, by the frame pointers from `frame` on, as far as they can be read.
pub fn backtrace(out: &mut Report, whose: &str, at: Option<usize>, mut frame: usize) {
    const FRAMES: usize = 16;
    let _ = writeln!(out, "  {whose}: backtrace");
    if let Some(at) = at {
        place(out, at);
    }
    for _ in 0..FRAMES {
        let mut pair = [0usize; 2];
        if frame == 0 || !frame.is_multiple_of(8) || !peek(frame, &mut pair) || pair[1] == 0 {
            break;
        }
        place(out, pair[1]);
        // Stacks grow down: who called has the higher frame.
        if pair[0] <= frame {
            break;
        }
        frame = pair[0];
    }
}

/// Adds an address; one in the payload is also told as a distance from its start, as it is in the payload's file.
fn place(out: &mut Report, at: usize) {
    let from = at.wrapping_sub(IMAGE.load(Ordering::Relaxed));
    let _ = if from < IMAGE_SIZE.load(Ordering::Relaxed) {
        writeln!(out, "    {at:016x} payload+{from:#x}")
    } else {
        writeln!(out, "    {at:016x}")
    };
}

/// Reads two words of this process's memory, if they can be read.
fn peek(at: usize, into: &mut [usize; 2]) -> bool {
    if CONFINED.load(Ordering::Relaxed) {
        return false;
    }
    let size = size_of_val(into);
    let (local, remote) = ([into.as_mut_ptr() as usize, size], [at, size]);
    let (local, remote) = (local.as_ptr() as usize, remote.as_ptr() as usize);
    let pid = raw::ids().0 as usize;
    // SAFETY: writes `into` only, or nothing.
    let n = unsafe { raw::syscall6(nr::PROCESS_VM_READV, [pid, local, 1, remote, 1, 0]) };
    n == size as isize
}

/// [`die`] with a fixed text.
pub fn fatal(what: &str) -> ! {
    die(&what)
}

/// Says why a platform asked for by name cannot run and ends the process with status 125.
pub fn cannot_run(platform: &str, why: &str) -> ! {
    let mut line: Line = Line::new();
    let _ = writeln!(
        line,
        "multiverse: HRT_PLATFORM={platform} cannot run: {why} (HRT_PLATFORM=auto takes what can)"
    );
    raw::write_all(2, line.bytes());
    raw::exit_group(EXIT_CANNOT_RUN)
}
