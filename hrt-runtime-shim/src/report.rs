//! What the payload says to a person: on stderr, and only when it was asked to or cannot go on.

use crate::raw;
use core::fmt::{self, Write};

/// Exit status when a platform asked for by name cannot run, and when the payload cannot go on.
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

/// Says why the payload cannot go on and ends the process with status 125.
pub fn die(what: &dyn fmt::Display) -> ! {
    let mut line: Line = Line::new();
    let _ = writeln!(line, "multiverse: HRT kernel panic: {what}");
    raw::write_all(2, line.bytes());
    raw::exit_group(EXIT_CANNOT_RUN)
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
