//! What the monitor decides when it looks at the execution groups from time to time: which of them has stopped switching threads
//! although some could execute (its thread computes, or waits in Linux), what is to be done then, and when to look next.

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
/// Looks that a thread which is to be preempted has beside those of its slice: Linux lets a timer of processor time go off at its
/// tick, which is 10 ms at most, and a thread may be inside the kernel at one.
pub const GRACE: u32 = 2 * COMPUTES;

/// Looks at which a thread that is to be preempted, and has computed, may be found to have used no time: Linux may have given the processor to others.
pub const PATIENCE: u32 = 5;

/// What is to be done for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Its thread has had its slice: others are to get its carrier.
    Preempt,
    /// Its carrier does not come back: it needs another one.
    Stuck,
}

/// The monitor's memory of one group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    switches: u64,
    time: u64,
    looks: u32,
    /// Of these, those in a row at which no time had been used; none as long as some had never been.
    idle: Option<u32>,
}

impl Watched {
    /// Never looked at.
    #[must_use]
    pub const fn new() -> Self {
        Watched {
            switches: 0,
            time: 0,
            looks: 0,
            idle: None,
        }
    }

    /// Takes in what was seen. `time` tells the processor time that the group's carrier has used; `slice` is that of its thread, in
    /// looks, if it can be preempted.
    ///
    /// Stuck: the carrier has not switched since the last look although threads wait; and either it has used no time, so it waits in Linux
    /// (if it is to be preempted, and has computed, only after [`PATIENCE`]), or it has been so at [`COMPUTES`] looks, or at [`GRACE`] after the slice.
    pub fn look(&mut self, seen: Seen, slice: Option<u32>, time: impl FnOnce() -> u64) -> Verdict {
        if !seen.busy || seen.queued == 0 {
            self.looks = 0;
            return Verdict::Fine;
        }
        let same = self.looks > 0 && seen.switches == self.switches;
        let time = time();
        let used = time != self.time;
        self.switches = seen.switches;
        self.time = time;
        self.looks = if same { self.looks + 1 } else { 1 };
        self.idle = match self.idle {
            _ if !same => None,
            _ if used => Some(0),
            idle => idle.map(|n| n + 1),
        };
        let waits = !used
            && match (slice, self.idle) {
                (Some(_), Some(looks)) => looks > PATIENCE,
                _ => true,
            };
        let most = slice.map_or(COMPUTES, |s| s.saturating_add(GRACE));
        if same && (waits || self.looks > most) {
            // Its next thread gets its time.
            self.looks = 0;
            return Verdict::Stuck;
        }
        match slice {
            Some(slice) if same && self.looks > slice => Verdict::Preempt,
            _ => Verdict::Fine,
        }
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

    fn stuck(w: &mut Watched, seen: Seen, time: impl FnOnce() -> u64) -> bool {
        w.look(seen, None, time) == Verdict::Stuck
    }

    #[test]
    fn a_group_whose_carrier_waits_is_stuck() {
        let mut w = Watched::new();
        assert!(
            !stuck(&mut w, seen(0, 3, true), || 5),
            "the first look tells nothing"
        );
        assert!(stuck(&mut w, seen(0, 3, true), || 5));
        assert!(
            !stuck(&mut w, seen(0, 3, true), || 7),
            "its new carrier gets its time"
        );
        assert!(stuck(&mut w, seen(0, 2, true), || 7));
        assert!(!stuck(&mut w, seen(9, 2, true), || 7));
        assert!(!stuck(&mut w, seen(10, 2, true), || 7), "it switches");
        assert!(!stuck(&mut w, seen(10, 0, true), || 7), "nobody waits");
        assert!(
            !stuck(&mut w, seen(10, 1, true), || 7),
            "somebody has just come"
        );
        assert!(
            !stuck(&mut w, seen(10, 1, false), || 7),
            "it sleeps, and is woken otherwise"
        );
    }

    #[test]
    fn one_that_computes_is_after_a_while() {
        let mut w = Watched::new();
        for look in 0..COMPUTES {
            assert!(!stuck(&mut w, seen(4, 1, true), || u64::from(look)));
        }
        assert!(stuck(&mut w, seen(4, 1, true), || 99));
        assert!(!stuck(&mut w, seen(4, 1, true), || 100));
    }

    #[test]
    fn one_that_can_be_preempted_is_asked_first() {
        let mut w = Watched::new();
        let mut look = |switches, time| w.look(seen(switches, 1, true), Some(3), || time);
        for time in 0..3 {
            assert_eq!(look(4, time), Verdict::Fine, "its slice");
        }
        for time in 0..GRACE {
            assert_eq!(look(4, 10 + u64::from(time)), Verdict::Preempt);
        }
        assert_eq!(look(4, 90), Verdict::Stuck, "it cannot be, after all");
        assert_eq!(look(5, 91), Verdict::Fine, "it has given way");
        assert_eq!(look(5, 91), Verdict::Stuck, "it waits in Linux");
        assert_eq!(look(6, 91), Verdict::Fine);
        assert_eq!(look(6, 92), Verdict::Fine, "it computes");
        for _ in 0..PATIENCE {
            assert_ne!(
                look(6, 92),
                Verdict::Stuck,
                "the processor is busy, perhaps"
            );
        }
        assert_eq!(look(6, 92), Verdict::Stuck, "no: it waits in Linux");
    }

    #[test]
    fn looks_are_rare_when_nothing_waits() {
        assert_eq!(next(SHORT, true, true), Some(SHORT));
        assert_eq!(next(SHORT, false, true), Some(2 * SHORT));
        assert_eq!(next(LONG, false, true), Some(LONG));
        assert_eq!(next(LONG, false, false), None);
    }
}
