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

/// The monitor's memory of one group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    switches: u64,
    waited: bool,
}

impl Watched {
    /// Never looked at.
    #[must_use]
    pub const fn new() -> Self {
        Watched {
            switches: 0,
            waited: false,
        }
    }

    /// Takes in what was seen; true if the group needs another Linux thread: at two looks in a row the same thread was executing, and
    /// others waited.
    pub fn stuck(&mut self, seen: Seen) -> bool {
        let same = seen.switches == self.switches && self.waited;
        self.switches = seen.switches;
        self.waited = seen.busy && seen.queued > 0;
        if same && self.waited {
            // Its next thread gets its time.
            self.waited = false;
            return true;
        }
        false
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
    fn only_a_group_that_keeps_others_waiting_is_stuck() {
        let mut w = Watched::default();
        assert!(!w.stuck(seen(0, 3, true)), "the first look tells nothing");
        assert!(w.stuck(seen(0, 3, true)));
        assert!(!w.stuck(seen(0, 3, true)), "its new thread gets its time");
        assert!(w.stuck(seen(0, 2, true)));
        assert!(!w.stuck(seen(9, 2, true)));
        assert!(!w.stuck(seen(10, 2, true)), "it switches");
        assert!(!w.stuck(seen(10, 0, true)), "nobody waits");
        assert!(!w.stuck(seen(10, 1, true)), "somebody has just come");
        assert!(
            !w.stuck(seen(10, 1, false)),
            "it sleeps, and is woken otherwise"
        );
    }

    #[test]
    fn looks_are_rare_when_nothing_waits() {
        assert_eq!(next(SHORT, true, true), Some(SHORT));
        assert_eq!(next(SHORT, false, true), Some(2 * SHORT));
        assert_eq!(next(LONG, false, true), Some(LONG));
        assert_eq!(next(LONG, false, false), None);
    }
}
