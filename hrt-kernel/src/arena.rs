//! The arena: where the kernel takes anonymous memory from that the program maps. The kernel decides *where* a mapping lies, so that
//! huge pages fit, and maps ahead; Linux stays the owner of what is mapped.
//!
//! The arena consists of *chunks*, advised for huge pages. What no mapping of the program's has in a chunk is a free *extent*:
//! *clean* (mapped ahead, and zero), *kept* (unmapped by the program: its pages are still there, out of reach, and are reused after they were
//! zeroed), or a *hole* (not mapped).
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
    /// Maps `len` bytes of private anonymous memory: at `at`, if nothing is there, or (`None`) anywhere, at a multiple of [`HUGE`].
    /// `None` if that cannot be.
    fn map(&mut self, at: Option<usize>, len: usize) -> Option<usize>;
    /// Clean memory is about to be used: `range` of it first, then what goes on to `end`.
    fn ready(&mut self, range: Range<usize>, end: usize);
    /// Unmaps.
    fn unmap(&mut self, range: Range<usize>);
    /// Puts memory out of the program's reach, with its pages; false if that cannot be, or is not worth it.
    fn keep(&mut self, range: Range<usize>) -> bool;
    /// Makes kept memory as new; false if that cannot be.
    fn renew(&mut self, range: Range<usize>) -> bool;
    /// True if more may be mapped than is asked for.
    fn ahead(&self) -> bool {
        true
    }
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
    /// Mappings made of memory that was mapped already.
    pub local: u64,
    /// Mappings made of memory that was mapped for them.
    pub mapped: u64,
    /// How often memory that the program has unmapped was kept.
    pub keeps: u64,
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
    /// From the lowest chunk's start to the highest one's end.
    span: Range<usize>,
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
            span: 0..0,
            asked: 0,
            counts: Counts {
                local: 0,
                mapped: 0,
                keeps: 0,
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

    /// Begins to count anew, as in the child of a fork.
    pub fn recount(&mut self) {
        (self.counts.local, self.counts.mapped, self.counts.keeps) = (0, 0, 0);
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
                State::Clean => linux.ready(taken.clone(), e.end),
                State::Kept => {
                    if !linux.renew(taken.clone()) {
                        self.cut(&taken, true, linux);
                        continue;
                    }
                    self.counts.kept -= len;
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
        let size = if linux.ahead() {
            len.max(step).next_multiple_of(HUGE)
        } else {
            len
        };
        let at = self.grow(size, linux)?;
        self.span = if self.span.is_empty() {
            at..at + size
        } else {
            self.span.start.min(at)..self.span.end.max(at + size)
        };
        self.counts.mapped += 1;
        linux.ready(at..at + len, at + size);
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

    /// True if all of `range` was given out by the arena, or mapped by the program in its place.
    #[must_use]
    pub fn gave(&self, range: &Range<usize>) -> bool {
        let inside = |c: &Extent| c.start <= range.start && range.end <= c.end;
        self.chunks[..self.chunks_used].iter().any(inside)
            && !self.extents[..self.used].iter().any(|e| e.overlaps(range))
    }

    /// The program unmaps `range`: true if its pages are kept, so that Linux is not to unmap them. All of it must have been given out
    /// by the arena. The caller says that it is still mapped as the arena did.
    pub fn keep(&mut self, range: &Range<usize>, linux: &mut impl Linux) -> bool {
        if !self.gave(range) {
            return false;
        }
        let kept = linux.keep(range.clone());
        if kept {
            self.counts.keeps += 1;
            self.add(range.clone(), State::Kept, linux);
        }
        kept
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

    /// True if memory is kept in `range`.
    #[must_use]
    pub fn keeps(&self, range: &Range<usize>) -> bool {
        let mut free = self.extents[..self.used].iter();
        free.any(|e| e.state == State::Kept && e.overlaps(range))
    }

    /// True if a chunk lies in `range`, or a part of one.
    #[inline]
    #[must_use]
    pub fn overlaps(&self, range: &Range<usize>) -> bool {
        if range.start >= self.span.end || self.span.start >= range.end {
            return false;
        }
        let chunks = &self.chunks[..self.chunks_used];
        chunks.iter().any(|c| c.overlaps(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What a page of the model is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Page {
        /// Mapped by the arena, and zero.
        New,
        /// The program's.
        Program,
        /// Out of the program's reach, with what it has left.
        Kept,
        /// Another mapping of the program's, made by Linux.
        Other,
    }

    /// A machine with an address space of pages, mapped from the top.
    struct Model {
        pages: BTreeMap<usize, Page>,
        keeps: bool,
    }

    impl Model {
        const TOP: usize = 1 << 40;

        fn free(&self, at: usize, len: usize) -> bool {
            self.pages
                .range(at / PAGE..(at + len) / PAGE)
                .next()
                .is_none()
        }

        fn set(&mut self, range: &Range<usize>, page: Page) {
            for p in range.start / PAGE..range.end / PAGE {
                self.pages.insert(p, page);
            }
        }

        fn clear(&mut self, range: &Range<usize>) {
            for p in range.start / PAGE..range.end / PAGE {
                self.pages.remove(&p);
            }
        }

        fn all(&self, range: &Range<usize>, page: Page) -> bool {
            (range.start / PAGE..range.end / PAGE).all(|p| self.pages.get(&p) == Some(&page))
        }

        /// Where Linux would map: below everything.
        fn below(&self, len: usize, align: usize) -> usize {
            let lowest = self.pages.keys().next().map_or(Self::TOP, |p| p * PAGE);
            (lowest - len) & !(align - 1)
        }
    }

    impl Linux for Model {
        fn map(&mut self, at: Option<usize>, len: usize) -> Option<usize> {
            let at = at.unwrap_or_else(|| self.below(len, HUGE));
            self.free(at, len).then(|| {
                self.set(&(at..at + len), Page::New);
                at
            })
        }

        fn ready(&mut self, range: Range<usize>, end: usize) {
            assert!(self.all(&(range.start..end), Page::New));
        }

        fn unmap(&mut self, range: Range<usize>) {
            assert!(self.all(&range, Page::New) || self.all(&range, Page::Kept));
            self.clear(&range);
        }

        fn keep(&mut self, range: Range<usize>) -> bool {
            if self.keeps {
                self.set(&range, Page::Kept);
            }
            self.keeps
        }

        fn renew(&mut self, range: Range<usize>) -> bool {
            assert!(self.all(&range, Page::Kept));
            self.set(&range, Page::New);
            true
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Map(usize),
        /// Unmap a part, in 16ths, of the mapping of this index.
        Unmap(usize, u8, u8),
        Keep(usize, u8, u8),
        Fixed(usize, u8, u8),
        Claim(usize, u8, u8),
        Other(usize),
        Trim(usize),
        Release,
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = prop_oneof![4 => 1..64usize, 1 => 500..1200usize].prop_map(|pages| pages * PAGE);
        let part = || (any::<usize>(), 0..16u8, 1..=16u8);
        prop_oneof![
            6 => len.clone().prop_map(Step::Map),
            2 => part().prop_map(|(i, a, b)| Step::Unmap(i, a, b)),
            3 => part().prop_map(|(i, a, b)| Step::Keep(i, a, b)),
            1 => part().prop_map(|(i, a, b)| Step::Fixed(i, a, b)),
            1 => part().prop_map(|(i, a, b)| Step::Claim(i, a, b)),
            1 => len.prop_map(Step::Other),
            1 => (0..8usize).prop_map(|huge| Step::Trim(huge * HUGE)),
            1 => Just(Step::Release),
        ]
    }

    fn run(steps: &[Step], keeps: bool) {
        let mut model = Model {
            pages: BTreeMap::new(),
            keeps,
        };
        let mut arena = Arena::new();
        arena.asked = WARM;
        let mut given: Vec<Range<usize>> = Vec::new();
        let part = |given: &[Range<usize>], i: usize, a: u8, b: u8| -> Option<Range<usize>> {
            let whole = given.get(i.checked_rem(given.len())?)?;
            let at = |sixteenths: u8| {
                whole.start + whole.len() / PAGE * usize::from(sixteenths) / 16 * PAGE
            };
            let (from, to) = (at(a.min(b)), at(a.max(b)));
            (from < to).then_some(from..to)
        };
        for step in steps {
            match *step {
                Step::Map(len) => {
                    if let Some(at) = arena.map(len, &mut model) {
                        let range = at..at + len;
                        assert!(model.all(&range, Page::New), "not new memory: {range:x?}");
                        model.set(&range, Page::Program);
                        given.push(range);
                    }
                }
                Step::Unmap(i, a, b) => {
                    if let Some(range) = part(&given, i, a, b) {
                        // Whatever it is now, Linux has it no more.
                        model.clear(&range);
                        arena.unmapped(&range, &mut model);
                    }
                }
                Step::Keep(i, a, b) => {
                    if let Some(range) = part(&given, i, a, b) {
                        if model.all(&range, Page::Program) {
                            let kept = arena.keep(&range, &mut model);
                            assert_eq!(kept, keeps, "{range:x?}");
                        } else {
                            assert!(
                                !arena.keep(&range, &mut model) || model.all(&range, Page::Kept)
                            );
                        }
                    }
                }
                Step::Fixed(i, a, b) => {
                    if let Some(range) = part(&given, i, a, b) {
                        arena.claim(&range, true, &mut model);
                        model.set(&range, Page::Program);
                    }
                }
                Step::Claim(i, a, b) => {
                    if let Some(range) = part(&given, i, a, b) {
                        arena.claim(&range, false, &mut model);
                        for p in range.start / PAGE..range.end / PAGE {
                            let page = model.pages.get(&p);
                            assert!(!matches!(page, Some(Page::New | Page::Kept)));
                        }
                    }
                }
                Step::Other(len) => {
                    let at = model.below(len, PAGE);
                    model.set(&(at..at + len), Page::Other);
                }
                Step::Trim(most) => {
                    arena.trim(most, &mut model);
                    assert!(arena.counts.kept <= most);
                }
                Step::Release => {
                    arena.release(&mut model);
                    assert!(
                        !model
                            .pages
                            .values()
                            .any(|p| matches!(p, Page::New | Page::Kept))
                    );
                    assert_eq!(arena.counts.kept, 0);
                }
            }
            let kept = model.pages.values().filter(|p| **p == Page::Kept).count();
            assert_eq!(arena.counts.kept, kept * PAGE);
            let free = &arena.extents[..arena.used];
            for (i, e) in free.iter().enumerate() {
                assert!(e.len() > 0);
                assert!(free[..i].iter().all(|o| !o.overlaps(&(e.start..e.end))));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn memory_is_new_and_nobodys(steps in prop::collection::vec(step(), 1..80), keeps: bool) {
            run(&steps, keeps);
        }
    }

    #[test]
    fn many_extents() {
        let mut steps = vec![Step::Map(64 * PAGE); 600];
        steps.extend((0..600).map(|i| Step::Keep(i, 4, 8)));
        steps.extend((0..600).map(|i| Step::Unmap(i, 10, 12)));
        steps.extend(vec![Step::Map(16 * PAGE); 600]);
        steps.push(Step::Release);
        run(&steps, true);
    }

    #[test]
    fn small_programs_and_large_requests_are_left_alone() {
        let mut model = Model {
            pages: BTreeMap::new(),
            keeps: false,
        };
        let mut arena = Arena::new();
        assert_eq!(arena.map(WARM - PAGE, &mut model), None);
        assert!(arena.map(PAGE, &mut model).is_some());
        assert_eq!(arena.map(LARGEST + PAGE, &mut model), None);
    }
}
