//! The arena: where the kernel takes anonymous memory from that the program maps. The kernel decides *where* a mapping lies, so that
//! huge pages fit, and maps ahead; Linux stays the owner of what is mapped.
//!
//! The arena consists of *chunks*, advised for huge pages. What no mapping of the program's has in a chunk is a free *extent*:
//! *clean* (mapped ahead, and zero), *kept* (unmapped by the program only: its pages are reused after they were zeroed), or a *hole* (not
//! mapped). After munmap(2) there is a hole, where an access faults as on Linux, unless memory is to be kept.
//!
//! The list of extents is only a memory of what may be had: a hole that Linux has given away meanwhile is found out when it is to be
//! mapped (MAP_FIXED_NOREPLACE), and forgotten.

use core::ops::{Range, RangeInclusive};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes of a huge page.
pub const HUGE: usize = 2 << 20;
/// Bytes that a program asks for before its memory comes from the arena: a small one is not to pay for huge pages.
pub const WARM: usize = 1 << 20;
/// Larger requests are Linux's.
pub const LARGEST: usize = 64 * HUGE;
/// Bytes of a chunk for small requests; a fourth of what was asked for so far, within this.
const STEP: RangeInclusive<usize> = 2 * HUGE..=32 * HUGE;
/// Free extents that are remembered.
const EXTENTS: usize = 256;
/// Chunks there can be.
const CHUNKS: usize = 256;

/// What the arena asks of Linux.
pub trait Linux {
    /// Maps `len` bytes of private anonymous memory to read and write, advised for huge pages: at `at`, if nothing is there, or
    /// (`None`) anywhere, at a multiple of [`HUGE`]. `None` if that cannot be.
    fn map(&mut self, at: Option<usize>, len: usize) -> Option<usize>;
    /// Unmaps.
    fn unmap(&mut self, range: Range<usize>);
    /// Makes the mapped memory zero.
    fn zero(&mut self, range: Range<usize>);
}

/// How an extent is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not mapped.
    Hole,
    /// Mapped, and zero.
    Clean,
    /// Mapped, with what the program left in it.
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: usize,
    end: usize,
    state: State,
}

impl Extent {
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn overlaps(&self, range: &Range<usize>) -> bool {
        self.start < range.end && range.start < self.end
    }
}

const NOTHING: Extent = Extent {
    start: 0,
    end: 0,
    state: State::Hole,
};

/// What the arena has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Mappings made without a call of Linux's.
    pub local: u64,
    /// Mappings made with one.
    pub mapped: u64,
    /// Bytes of the chunks.
    pub chunks: usize,
    /// Bytes that are kept now.
    pub kept: usize,
}

/// See the module.
pub struct Arena {
    /// The first `used` are the free extents, in no order.
    extents: [Extent; EXTENTS],
    used: usize,
    /// The first `chunks_used` are the chunks; only `start` and `end` mean something.
    chunks: [Extent; CHUNKS],
    chunks_used: usize,
    asked: usize,
    counts: Counts,
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// One without memory.
    #[must_use]
    pub const fn new() -> Self {
        Arena {
            extents: [NOTHING; EXTENTS],
            used: 0,
            chunks: [NOTHING; CHUNKS],
            chunks_used: 0,
            asked: 0,
            counts: Counts {
                local: 0,
                mapped: 0,
                chunks: 0,
                kept: 0,
            },
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Memory for a mapping of `len` bytes, a multiple of [`PAGE`]; `None`: Linux is to choose.
    pub fn map(&mut self, len: usize, linux: &mut impl Linux) -> Option<usize> {
        self.asked = self.asked.saturating_add(len);
        if self.asked < WARM || len == 0 || len > LARGEST {
            return None;
        }
        while let Some(i) = self.best(len) {
            let e = self.extents[i];
            let taken = e.start..e.start + len;
            match e.state {
                State::Clean => {}
                State::Kept => {
                    self.counts.kept -= len;
                    linux.zero(taken.clone());
                }
                State::Hole => {
                    if linux.map(Some(e.start), len).is_none() {
                        // Another mapping is there; or there is no memory, which the chunk will show.
                        self.remove(i);
                        continue;
                    }
                    self.counts.mapped += 1;
                }
            }
            if e.state != State::Hole {
                self.counts.local += 1;
            }
            self.extents[i].start += len;
            if self.extents[i].len() == 0 {
                self.remove(i);
            }
            return Some(taken.start);
        }
        let step = (self.asked / 4).clamp(*STEP.start(), *STEP.end());
        let size = len.max(step).next_multiple_of(HUGE);
        let at = self.grow(size, linux)?;
        self.counts.mapped += 1;
        self.add(at + len..at + size, State::Clean, linux);
        Some(at)
    }

    /// A new chunk; beside the last one, if there is room, so that both are one mapping.
    fn grow(&mut self, size: usize, linux: &mut impl Linux) -> Option<usize> {
        let last = self.chunks_used.checked_sub(1);
        if let Some(last) = last.map(|i| &mut self.chunks[i]) {
            let below = last.start.checked_sub(size).filter(|at| *at >= HUGE);
            if let Some(at) = below.and_then(|at| linux.map(Some(at), size)) {
                last.start = at;
                self.counts.chunks += size;
                return Some(at);
            }
            if let Some(at) = linux.map(Some(last.end), size) {
                last.end += size;
                self.counts.chunks += size;
                return Some(at);
            }
        }
        if self.chunks_used == CHUNKS {
            return None;
        }
        let start = linux.map(None, size)?;
        self.chunks[self.chunks_used] = Extent {
            start,
            end: start + size,
            state: State::Clean,
        };
        self.chunks_used += 1;
        self.counts.chunks += size;
        Some(start)
    }

    /// The free extent to take `len` bytes from: one that is mapped already, the smallest, the lowest.
    fn best(&self, len: usize) -> Option<usize> {
        let all = self.extents[..self.used].iter().enumerate();
        all.filter(|(_, e)| e.len() >= len)
            .min_by_key(|(_, e)| (e.state == State::Hole, e.len(), e.start))
            .map(|(i, _)| i)
    }

    fn remove(&mut self, i: usize) {
        self.used -= 1;
        self.extents[i] = self.extents[self.used];
    }

    /// Adds a free extent, joined with its neighbours. Where there is no room, the smallest hole is forgotten.
    fn add(&mut self, range: Range<usize>, state: State, linux: &mut impl Linux) {
        let mut new = Extent {
            start: range.start,
            end: range.end,
            state,
        };
        if new.len() == 0 {
            return;
        }
        if state == State::Kept {
            self.counts.kept += new.len();
        }
        let neighbour = |e: &Extent, new: &Extent| {
            e.state == state && (e.end == new.start || e.start == new.end)
        };
        while let Some(i) = (0..self.used).find(|i| neighbour(&self.extents[*i], &new)) {
            new.start = new.start.min(self.extents[i].start);
            new.end = new.end.max(self.extents[i].end);
            self.remove(i);
        }
        if self.used == EXTENTS {
            let holes = (0..self.used).filter(|i| self.extents[*i].state == State::Hole);
            match holes.min_by_key(|i| self.extents[*i].len()) {
                Some(i) => self.remove(i),
                None if state == State::Hole => return,
                None => {
                    if state == State::Kept {
                        self.counts.kept -= new.len();
                    }
                    linux.unmap(new.start..new.end);
                    return;
                }
            }
        }
        self.extents[self.used] = new;
        self.used += 1;
    }

    /// Takes what lies in `range` out of the free extents; with `unmap` what of it is mapped is unmapped.
    fn cut(&mut self, range: &Range<usize>, unmap: bool, linux: &mut impl Linux) {
        while let Some(i) = (0..self.used).find(|i| self.extents[*i].overlaps(range)) {
            let e = self.extents[i];
            self.remove(i);
            if e.state == State::Kept {
                self.counts.kept -= e.len();
            }
            let part = range.start.max(e.start)..range.end.min(e.end);
            if unmap && e.state != State::Hole {
                linux.unmap(part.clone());
            }
            self.add(e.start..part.start, e.state, linux);
            self.add(part.end..e.end, e.state, linux);
        }
    }

    /// The program is about to map something at a place of its own choice. With `replace` (MAP_FIXED) Linux puts it over what is there;
    /// else what the arena has mapped ahead there must go first.
    pub fn claim(&mut self, range: &Range<usize>, replace: bool, linux: &mut impl Linux) {
        self.cut(range, !replace, linux);
    }

    /// The program has unmapped `range`, and so has Linux.
    pub fn unmapped(&mut self, range: &Range<usize>, linux: &mut impl Linux) {
        self.cut(range, false, linux);
        for i in 0..self.chunks_used {
            let chunk = self.chunks[i];
            if chunk.overlaps(range) {
                let part = range.start.max(chunk.start)..range.end.min(chunk.end);
                self.add(part, State::Hole, linux);
            }
        }
    }

    /// The program unmaps `range`: true if its pages are kept, so that Linux is not to unmap them. That is so if all of it was given
    /// out by the arena. The caller says that it is still mapped as the arena did.
    pub fn keep(&mut self, range: &Range<usize>, linux: &mut impl Linux) -> bool {
        let inside = |c: &Extent| c.start <= range.start && range.end <= c.end;
        if !self.chunks[..self.chunks_used].iter().any(inside)
            || self.extents[..self.used].iter().any(|e| e.overlaps(range))
        {
            return false;
        }
        self.add(range.clone(), State::Kept, linux);
        true
    }

    /// Unmaps kept memory until at most `most` bytes are left; of it the largest extents first.
    pub fn trim(&mut self, most: usize, linux: &mut impl Linux) {
        while self.counts.kept > most {
            let kept = (0..self.used).filter(|i| self.extents[*i].state == State::Kept);
            let Some(i) = kept.max_by_key(|i| self.extents[*i].len()) else {
                return;
            };
            let e = self.extents[i];
            self.remove(i);
            self.counts.kept -= e.len();
            linux.unmap(e.start..e.end);
            self.add(e.start..e.end, State::Hole, linux);
        }
    }

    /// Unmaps all that is mapped and not the program's; true if there was something.
    pub fn release(&mut self, linux: &mut impl Linux) -> bool {
        let mut found = false;
        while let Some(i) = (0..self.used).find(|i| self.extents[*i].state != State::Hole) {
            let e = self.extents[i];
            self.cut(&(e.start..e.end), true, linux);
            self.add(e.start..e.end, State::Hole, linux);
            found = true;
        }
        found
    }

    /// True if a chunk lies in `range`, or a part of one.
    #[must_use]
    pub fn overlaps(&self, range: &Range<usize>) -> bool {
        let chunks = &self.chunks[..self.chunks_used];
        chunks.iter().any(|c| c.overlaps(range))
    }
}
