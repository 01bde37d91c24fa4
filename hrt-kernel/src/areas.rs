//! Areas: large private anonymous mappings that the program has made at places of its own choice, or that are too large for the arena.
//! The kernel remembers them as long as they are as they were mapped, so that it can say how far the program has come in each, and what
//! it may do with their pages.

use crate::arena::HUGE;
use core::ops::Range;

/// Areas that are remembered.
const AREAS: usize = 16;
/// Smaller ones are not.
pub const LEAST: usize = 2 * HUGE;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its first byte.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The first huge page that the program was not seen to use; a multiple of [`HUGE`].
    pub seen: usize,
    /// It is advised for huge pages from `seen` to here.
    pub advised: usize,
    /// It was mapped at once, for long; others are what the program commits when it needs it.
    pub heap: bool,
}

/// See the module.
pub struct Areas {
    /// The first `used`, in no order.
    all: [Area; AREAS],
    used: usize,
    /// Which one gives way when there is no room.
    oldest: usize,
}

impl Default for Areas {
    fn default() -> Self {
        Self::new()
    }
}

impl Areas {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        const NOTHING: Area = Area {
            start: 0,
            end: 0,
            seen: 0,
            advised: 0,
            heap: false,
        };
        Areas {
            all: [NOTHING; AREAS],
            used: 0,
            oldest: 0,
        }
    }

    /// Remembers one.
    pub fn add(&mut self, area: Area) {
        if area.end - area.start < LEAST {
            return;
        }
        if self.used < AREAS {
            self.all[self.used] = area;
            self.used += 1;
        } else {
            self.all[self.oldest] = area;
            self.oldest = (self.oldest + 1) % AREAS;
        }
    }

    /// What lies in `range` is not as it was mapped any more.
    pub fn cut(&mut self, range: &Range<usize>) {
        let overlaps = |a: &Area| a.start < range.end && range.start < a.end;
        if !self.all[..self.used].iter().any(overlaps) {
            return;
        }
        let mut i = 0;
        let mut upper = [None; AREAS];
        while i < self.used {
            let a = self.all[i];
            if a.start >= range.end || range.start >= a.end {
                i += 1;
                continue;
            }
            self.used -= 1;
            self.all[i] = self.all[self.used];
            // What is left below takes its place, what is left above comes later.
            if range.end < a.end {
                let first = range.end.next_multiple_of(HUGE);
                upper[i] = Some(Area {
                    start: range.end,
                    seen: a.seen.max(first),
                    ..a
                });
            }
            if a.start < range.start && range.start - a.start >= LEAST {
                self.all[self.used] = self.all[i];
                self.all[i] = Area {
                    end: range.start,
                    ..a
                };
                self.used += 1;
                i += 1;
            }
        }
        for area in upper.into_iter().flatten() {
            self.add(area);
        }
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// True if all of `range` lies in one.
    #[must_use]
    pub fn hold(&self, range: &Range<usize>) -> bool {
        let mut all = self.all[..self.used].iter();
        all.any(|a| a.start <= range.start && range.end <= a.end)
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Area> {
        self.all[..self.used].iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// In units of [`HUGE`].
    #[derive(Clone, Debug)]
    enum Step {
        Add(usize, usize),
        Cut(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let range = || (0..64usize, 1..12usize);
        prop_oneof![
            range().prop_map(|(at, len)| Step::Add(at, len)),
            range().prop_map(|(at, len)| Step::Cut(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn what_was_changed_is_in_none(steps in prop::collection::vec(step(), 1..60)) {
            let mut areas = Areas::new();
            let mut plain = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(at, len) => {
                        let range = at * HUGE..(at + len) * HUGE;
                        // Whatever was there is replaced.
                        areas.cut(&range);
                        areas.add(Area { start: range.start, end: range.end, seen: range.start, advised: range.end, heap: false });
                        plain.extend(at..at + len);
                    }
                    Step::Cut(at, len) => {
                        areas.cut(&(at * HUGE..(at + len) * HUGE));
                        (at..at + len).for_each(|page| { plain.remove(&page); });
                    }
                }
                let all: Vec<Area> = areas.iter_mut().map(|a| *a).collect();
                for (i, a) in all.iter().enumerate() {
                    prop_assert!(a.end - a.start >= LEAST && a.seen.is_multiple_of(HUGE) && a.seen >= a.start);
                    prop_assert!((a.start / HUGE..a.end / HUGE).all(|page| plain.contains(&page)));
                    prop_assert!(areas.hold(&(a.start..a.end)));
                    prop_assert!(all[..i].iter().all(|b| b.end <= a.start || a.end <= b.start));
                }
            }
        }
    }

    #[test]
    fn both_sides_are_left() {
        let mut areas = Areas::new();
        areas.add(Area {
            start: 0,
            end: 16 * HUGE,
            seen: 0,
            advised: 0,
            heap: true,
        });
        areas.cut(&(6 * HUGE..7 * HUGE));
        assert!(areas.hold(&(0..6 * HUGE)) && areas.hold(&(7 * HUGE..16 * HUGE)));
        assert!(!areas.hold(&(5 * HUGE..8 * HUGE)));
    }
}
