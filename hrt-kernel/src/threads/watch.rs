//! What the monitor decides when it looks at the execution groups from time to time: which of them has stopped switching threads
//! although some could execute (its thread computes, or waits in Linux), and when to look next.

/// What it saw of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often the group has switched threads.
    pub switches: u64,
    /// Threads that could execute.
    pub queued: usize,
    /// A Linux thread works for the group, and is not asleep.
    pub busy: bool,
}

/// Nanoseconds between two looks when something is to be expected.
pub const SHORT: u64 = 1_000_000;
/// At most so many when nothing is.
pub const LONG: u64 = 4_000_000;

/// Looks in a row at which a thread may be found computing before others get a carrier beside it.
pub const COMPUTES: u32 = 10;

/// The monitor's memory of one group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    switches: u64,
    time: u64,
    looks: u32,
}

impl Watched {
    /// Never looked at.
    #[must_use]
    pub const fn new() -> Self {
        Watched {
            switches: 0,
            time: 0,
            looks: 0,
        }
    }

    /// Takes in what was seen; true if the group needs another carrier. `time` tells the processor time that its carrier has used.
    ///
    /// The carrier has not switched since the last look although threads wait; and either it has used no time, so it waits in Linux,
    /// or it has been so at [`COMPUTES`] looks.
    pub fn stuck(&mut self, seen: Seen, time: impl FnOnce() -> u64) -> bool {
        if !seen.busy || seen.queued == 0 {
            self.looks = 0;
            return false;
        }
        let same = self.looks > 0 && seen.switches == self.switches;
        let time = time();
        let used = time != self.time;
        self.switches = seen.switches;
        self.time = time;
        self.looks = if same { self.looks + 1 } else { 1 };
        let stuck = same && (!used || self.looks > COMPUTES);
        if stuck {
            // Its next thread gets its time.
            self.looks = 0;
        }
        stuck
    }
}

/// How long until the next look, after one of `last` ns; `None`: until somebody wakes the monitor.
#[must_use]
pub fn next(last: u64, any_queued: bool, any_busy: bool) -> Option<u64> {
    match (any_queued, any_busy) {
        (true, _) => Some(SHORT),
        (false, true) => Some((last * 2).clamp(SHORT, LONG)),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(switches: u64, queued: usize, busy: bool) -> Seen {
        Seen {
            switches,
            queued,
            busy,
        }
    }

    #[test]
    fn a_group_whose_carrier_waits_is_stuck() {
        let mut w = Watched::new();
        assert!(
            !w.stuck(seen(0, 3, true), || 5),
            "the first look tells nothing"
        );
        assert!(w.stuck(seen(0, 3, true), || 5));
        assert!(
            !w.stuck(seen(0, 3, true), || 7),
            "its new carrier gets its time"
        );
        assert!(w.stuck(seen(0, 2, true), || 7));
        assert!(!w.stuck(seen(9, 2, true), || 7));
        assert!(!w.stuck(seen(10, 2, true), || 7), "it switches");
        assert!(!w.stuck(seen(10, 0, true), || 7), "nobody waits");
        assert!(!w.stuck(seen(10, 1, true), || 7), "somebody has just come");
        assert!(
            !w.stuck(seen(10, 1, false), || 7),
            "it sleeps, and is woken otherwise"
        );
    }

    #[test]
    fn one_that_computes_is_after_a_while() {
        let mut w = Watched::new();
        for look in 0..COMPUTES {
            assert!(!w.stuck(seen(4, 1, true), || u64::from(look)));
        }
        assert!(w.stuck(seen(4, 1, true), || 99));
        assert!(!w.stuck(seen(4, 1, true), || 100));
    }

    #[test]
    fn looks_are_rare_when_nothing_waits() {
        assert_eq!(next(SHORT, true, true), Some(SHORT));
        assert_eq!(next(SHORT, false, true), Some(2 * SHORT));
        assert_eq!(next(LONG, false, true), Some(LONG));
        assert_eq!(next(LONG, false, false), None);
    }
}
