//! Queues of posted system calls. Each thread that posts has one. Its calls are made one after the other, in the order in which they were posted,
//! by whoever holds the queue's *turn*: a server, or the thread itself, which so withdraws what nobody has begun. One exchange of a word decides.
//!
//! A place is free, then posted, then done, and free again once its thread has collected the result. A call that only the thread can make is
//! marked as its *own*: the server goes no further.

use crate::threads::wait::Waiter;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Calls that a thread can have outstanding.
pub const ROOM: u32 = 32;

/// Whose turn it is: nobody's.
pub const NOBODY: u32 = 0;
/// The server's.
pub const SERVER: u32 = 1;
/// The thread's own.
pub const OWNER: u32 = 2;

/// Nothing is there.
const FREE: u32 = 0;
/// A call is to be made.
const POSTED: u32 = 1;
/// It is to be made by its thread.
const OWN: u32 = 2;
/// It is made: the result is in the first argument's place.
const DONE: u32 = 3;

/// A call as it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number.
    pub number: u32,
    /// Its arguments.
    pub args: [usize; 6],
    /// What its thread knows it by.
    pub token: usize,
}

/// What is in a place of the queue: one cache line, so that a call goes over in one piece.
#[repr(C, align(64))]
struct Place {
    state: AtomicU32,
    number: UnsafeCell<u32>,
    token: UnsafeCell<usize>,
    args: UnsafeCell<[usize; 6]>,
}
const _: () = assert!(size_of::<Place>() == 64);

#[repr(C, align(64))]
struct Line<T>(T);

/// What the thread alone writes.
struct Posting {
    /// The thread's identity; 0: the queue is nobody's.
    owner: AtomicUsize,
    /// The next place to post to.
    tail: AtomicU32,
    /// Calls posted one soon after the other while nobody served.
    count: AtomicU32,
    /// Time stamp of the last of them.
    last: AtomicU64,
    /// 1 while the thread makes its own calls.
    at_own: AtomicU32,
}

/// What belongs to the turn.
struct Serving {
    turn: AtomicU32,
    /// The first call that is not done.
    next: AtomicU32,
}

/// See the module. All zeros: nobody's.
#[repr(C)]
pub struct Queue {
    posting: Line<Posting>,
    serving: Line<Serving>,
    /// The thread, when it has stopped until the turn is free.
    waiter: Line<AtomicPtr<Waiter>>,
    /// What the thread has to say against the server's work, in points.
    complaint: AtomicU32,
    places: [Place; ROOM as usize],
}

// SAFETY: a place's contents belong to the thread while it is free or done, and to who has the turn while it is posted or own.
unsafe impl Sync for Queue {}

impl Queue {
    /// Nobody's.
    #[must_use]
    pub const fn new() -> Self {
        Queue {
            posting: Line(Posting {
                owner: AtomicUsize::new(0),
                tail: AtomicU32::new(0),
                count: AtomicU32::new(0),
                last: AtomicU64::new(0),
                at_own: AtomicU32::new(0),
            }),
            serving: Line(Serving {
                turn: AtomicU32::new(NOBODY),
                next: AtomicU32::new(0),
            }),
            waiter: Line(AtomicPtr::new(null_mut())),
            complaint: AtomicU32::new(0),
            places: [const {
                Place {
                    state: AtomicU32::new(FREE),
                    number: UnsafeCell::new(0),
                    token: UnsafeCell::new(0),
                    args: UnsafeCell::new([0; 6]),
                }
            }; ROOM as usize],
        }
    }

    #[inline]
    fn place(&self, ticket: u32) -> &Place {
        &self.places[(ticket % ROOM) as usize]
    }

    /// Takes the queue for thread `owner`, which is not 0; false if it is another's.
    pub fn take(&self, owner: usize) -> bool {
        let word = &self.posting.0.owner;
        word.load(Ordering::Relaxed) == 0
            && word
                .compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// True if it is a thread's.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.posting.0.owner.load(Ordering::Relaxed) != 0
    }

    /// Gives the queue up with all that is in it. For its thread, which must have the turn.
    pub fn give_back(&self) {
        for p in &self.places {
            p.state.store(FREE, Ordering::Relaxed);
        }
        let s = &self.serving.0;
        s.next.store(self.tail(), Ordering::Relaxed);
        self.waiter.0.store(null_mut(), Ordering::Relaxed);
        self.at_own(false);
        self.release();
        self.posting.0.owner.store(0, Ordering::Release);
    }

    /// In the child of a fork: what the parent has not done is not the child's. The calls that are not done get `result`; without `keep` the queue is
    /// nobody's any more.
    pub fn after_fork(&self, keep: bool, result: isize) {
        self.waiter.0.store(null_mut(), Ordering::Relaxed);
        self.at_own(false);
        self.serving.0.turn.store(OWNER, Ordering::Relaxed);
        if !keep {
            self.give_back();
            return;
        }
        while self.pending().is_some() {
            self.finish(result);
        }
        self.release();
    }

    /// The ticket of the next call that is posted.
    #[inline]
    #[must_use]
    pub fn tail(&self) -> u32 {
        self.posting.0.tail.load(Ordering::Relaxed)
    }

    /// The token of the call that is still in the place that `ticket` will need, with that call's ticket; `None` if it is free. For the thread.
    #[inline]
    #[must_use]
    pub fn occupant(&self, ticket: u32) -> Option<(u32, usize)> {
        let p = self.place(ticket);
        if p.state.load(Ordering::Relaxed) == FREE {
            return None;
        }
        // SAFETY: the token is written by the thread alone.
        Some((ticket.wrapping_sub(ROOM), unsafe { *p.token.get() }))
    }

    /// Posts `count` calls, of which `request` gives each; there must be room. They can be begun all at once. Returns the first one's ticket. For
    /// the thread.
    #[inline]
    pub fn post(&self, count: u32, mut request: impl FnMut(u32) -> Request) -> u32 {
        let tail = self.tail();
        // The first one last, since nobody goes past it.
        for i in (0..count).rev() {
            let p = self.place(tail.wrapping_add(i));
            let r = request(i);
            // SAFETY: the place is free, so its contents are the thread's.
            unsafe {
                *p.number.get() = r.number;
                *p.token.get() = r.token;
                *p.args.get() = r.args;
            }
            p.state.store(POSTED, Ordering::Release);
        }
        self.posting
            .0
            .tail
            .store(tail.wrapping_add(count), Ordering::Release);
        tail
    }

    /// Counts `n` calls that were posted at time `now` while nobody served, each within `soon` of the one before. For the thread.
    pub fn unserved(&self, n: u32, now: u64, soon: u64) {
        let p = &self.posting.0;
        let recent = now.wrapping_sub(p.last.load(Ordering::Relaxed)) < soon;
        let before = if recent {
            p.count.load(Ordering::Relaxed)
        } else {
            0
        };
        p.last.store(now, Ordering::Relaxed);
        p.count.store(before.saturating_add(n), Ordering::Relaxed);
    }

    /// True if [`Queue::unserved`] has counted `many`, the last of them before `now` by at least `age`; it then counts anew. For the thread.
    pub fn many_unserved(&self, many: u32, now: u64, age: u64) -> bool {
        let p = &self.posting.0;
        let is = p.count.load(Ordering::Relaxed) >= many
            && now.wrapping_sub(p.last.load(Ordering::Relaxed)) >= age;
        if is {
            p.count.store(0, Ordering::Relaxed);
        }
        is
    }

    /// True if the call in this place is the one with this token. For the thread.
    #[must_use]
    pub fn is(&self, ticket: u32, token: usize) -> bool {
        let p = self.place(ticket);
        // SAFETY: the token is written by the thread alone.
        self.tail().wrapping_sub(ticket).wrapping_sub(1) < ROOM
            && p.state.load(Ordering::Relaxed) != FREE
            && unsafe { *p.token.get() } == token
    }

    /// True once the call is made.
    #[inline]
    #[must_use]
    pub fn is_done(&self, ticket: u32) -> bool {
        self.place(ticket).state.load(Ordering::Acquire) == DONE
    }

    /// The call's result, if it is made; its place is free then. For the thread.
    #[inline]
    pub fn collect(&self, ticket: u32) -> Option<isize> {
        if !self.is_done(ticket) {
            return None;
        }
        let p = self.place(ticket);
        // SAFETY: the call is done, so its place is the thread's.
        let r = unsafe { (*p.args.get())[0] };
        p.state.store(FREE, Ordering::Relaxed);
        Some(r as isize)
    }

    /// Whose turn it is.
    #[inline]
    #[must_use]
    pub fn turn(&self) -> u32 {
        self.serving.0.turn.load(Ordering::Acquire)
    }

    /// Takes the turn for `who` if it is nobody's.
    #[inline]
    #[must_use]
    pub fn claim(&self, who: u32) -> bool {
        let turn = &self.serving.0.turn;
        turn.load(Ordering::Relaxed) == NOBODY
            && turn
                .compare_exchange(NOBODY, who, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// The turn is nobody's again. After it the server must look for a waiter.
    #[inline]
    pub fn release(&self) {
        self.serving.0.turn.store(NOBODY, Ordering::Release);
    }

    /// True if the next call is one that the server has not seen.
    #[inline]
    #[must_use]
    pub fn has_posted(&self) -> bool {
        self.place(self.next()).state.load(Ordering::Acquire) == POSTED
    }

    /// True if the next call is one that its thread must make.
    #[must_use]
    pub fn has_own(&self) -> bool {
        self.place(self.next()).state.load(Ordering::Acquire) == OWN
    }

    /// The next call's ticket.
    #[inline]
    #[must_use]
    pub fn next(&self) -> u32 {
        self.serving.0.next.load(Ordering::Relaxed)
    }

    /// The next call, if there is one. For who has the turn.
    #[inline]
    #[must_use]
    pub fn pending(&self) -> Option<Request> {
        let p = self.place(self.next());
        if !matches!(p.state.load(Ordering::Acquire), POSTED | OWN) {
            return None;
        }
        // SAFETY: posted, so its contents are for who has the turn.
        Some(unsafe {
            Request {
                number: *p.number.get(),
                args: *p.args.get(),
                token: *p.token.get(),
            }
        })
    }

    /// The processor gets the next place and the one after it to write, while the call is made. For the server.
    #[inline]
    pub fn fetch(&self) {
        let next = self.next();
        for ticket in [next, next.wrapping_add(1)] {
            // SAFETY: only a hint; processors that do not know it ignore it.
            unsafe {
                core::arch::asm!(
                    "prefetchw [{}]", in(reg) self.place(ticket),
                    options(nostack, preserves_flags, readonly)
                );
            }
        }
    }

    /// The next call is made, with this result. For who has the turn.
    #[inline]
    pub fn finish(&self, result: isize) {
        let next = self.next();
        let p = self.place(next);
        // SAFETY: as for `pending`.
        unsafe { (*p.args.get())[0] = result as usize };
        self.serving
            .0
            .next
            .store(next.wrapping_add(1), Ordering::Relaxed);
        p.state.store(DONE, Ordering::Release);
    }

    /// The thread begins or ends to make calls of its own, which handlers of signals may interrupt.
    pub fn at_own(&self, yes: bool) {
        self.posting.0.at_own.store(yes.into(), Ordering::Relaxed);
    }

    /// True if it does so: a handler that posts has interrupted that. For the thread.
    #[inline]
    #[must_use]
    pub fn is_at_own(&self) -> bool {
        self.posting.0.at_own.load(Ordering::Relaxed) != 0
    }

    /// The next call is one that its thread must make. For who has the turn.
    pub fn refuse(&self) {
        self.place(self.next()).state.store(OWN, Ordering::Release);
    }

    /// The thread complains of the server, by so many points.
    pub fn complain(&self, points: u32) {
        self.complaint.fetch_max(points, Ordering::Relaxed);
    }

    /// What it has said since the last time.
    #[inline]
    pub fn complaint(&self) -> u32 {
        match self.complaint.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.complaint.swap(0, Ordering::Relaxed),
        }
    }

    /// True if a wait for the turn can begin: the thread does not wait already, in what a handler of signals has interrupted.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        self.waiter.0.load(Ordering::Relaxed).is_null()
    }

    /// Says that the thread waits by `w` until the server gives the turn back; false if there is nothing to wait for: then [`Queue::stay`] says
    /// whether `w` may go.
    pub fn wait(&self, w: &Waiter, ticket: u32) -> bool {
        self.waiter
            .0
            .store(core::ptr::from_ref(w).cast_mut(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.turn() == SERVER && !self.is_done(ticket)
    }

    /// The thread does not wait after all; false if the server has taken its waiter, and will wake it.
    pub fn stay(&self) -> bool {
        !self.waiter.0.swap(null_mut(), Ordering::AcqRel).is_null()
    }

    /// Who is to be woken after [`Queue::release`]. For the server.
    pub fn waiter(&self) -> Option<*const Waiter> {
        // Who waits looks at the turn after it has said so.
        fence(Ordering::SeqCst);
        if self.can_wait() {
            return None;
        }
        let w = self.waiter.0.swap(null_mut(), Ordering::AcqRel);
        (!w.is_null()).then_some(w.cast_const())
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    fn request(n: usize) -> Request {
        Request {
            number: n as u32,
            args: [n; 6],
            token: n + 1,
        }
    }

    #[test]
    fn in_order_and_out_of_order() {
        let q = Queue::new();
        assert!(q.take(7) && !q.take(8) && q.in_use());
        assert_eq!(q.post(3, |i| request(i as usize)), 0);
        assert!(q.has_posted() && q.claim(OWNER) && !q.claim(SERVER));
        for n in 0..3 {
            let r = q.pending().expect("posted");
            assert_eq!(r, request(n));
            q.finish(-(n as isize));
        }
        assert_eq!(q.pending(), None);
        q.release();
        assert!(q.is(2, 3) && !q.is(2, 2) && !q.is(3, 4));
        assert_eq!(q.collect(2), Some(-2));
        assert_eq!(q.collect(0), Some(0));
        assert_eq!(q.occupant(ROOM), None);
        assert_eq!(q.occupant(ROOM + 1), Some((1, 2)));
        assert_eq!(q.collect(3), None);
    }

    #[test]
    fn the_server_does_not_pass_what_is_not_its_own() {
        let q = Queue::new();
        assert!(q.take(1));
        q.post(2, |i| request(i as usize));
        assert!(q.claim(SERVER));
        q.refuse();
        q.release();
        assert!(!q.has_posted() && q.has_own());
        assert!(q.claim(OWNER));
        assert_eq!(q.pending(), Some(request(0)));
        q.finish(5);
        q.release();
        assert!(q.has_posted() && !q.has_own());
    }

    #[test]
    fn a_forks_child_has_nothing_outstanding() {
        let q = Queue::new();
        assert!(q.take(1));
        q.post(ROOM, |i| request(i as usize));
        assert!(q.claim(SERVER));
        q.finish(1);
        q.after_fork(true, -125);
        assert_eq!(q.collect(0), Some(1));
        assert!((1..ROOM).all(|t| q.collect(t) == Some(-125)));
        q.post(1, |_| request(9));
        q.after_fork(false, -125);
        assert!(!q.in_use() && q.take(2));
        assert!((0..ROOM).all(|i| q.occupant(i).is_none()) && q.pending().is_none());
    }

    /// A thread and a server take turns as they like: each call is made once, in order, with the right arguments.
    #[test]
    fn each_call_is_made_once() {
        const CALLS: u32 = 200_000;
        let q = Queue::new();
        let over = AtomicBool::new(false);
        assert!(q.take(1));
        // The calls, as they were made.
        let made = std::sync::Mutex::new(Vec::new());
        let serve = |who: u32, until: Option<u32>| {
            if !q.claim(who) {
                return false;
            }
            while let Some(r) = q.pending() {
                if until.is_some_and(|u| q.next().wrapping_sub(u) as i32 > 0) {
                    break;
                }
                assert_eq!(r.args, [r.number as usize; 6]);
                made.lock().expect("no panic").push(r.number);
                q.finish(r.number as isize * 2);
            }
            q.release();
            true
        };
        std::thread::scope(|s| {
            s.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if q.has_posted() {
                        serve(SERVER, None);
                        assert!(q.waiter().is_none());
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
            let mut n = 0;
            while n < CALLS {
                let count = (1 + n % 7).min(CALLS - n);
                for i in 0..count {
                    assert!(q.occupant(q.tail().wrapping_add(i)).is_none());
                }
                let first = q.post(count, |i| request((n + i) as usize));
                for i in (0..count).rev() {
                    let mut turns = 0;
                    let r = loop {
                        if let Some(r) = q.collect(first.wrapping_add(i)) {
                            break r;
                        }
                        turns += 1;
                        if turns % 3 == 2 {
                            serve(OWNER, Some(first.wrapping_add(i)));
                        }
                    };
                    assert_eq!(r, (n + i) as isize * 2);
                }
                n += count;
            }
            over.store(true, Ordering::Relaxed);
        });
        let made = made.into_inner().expect("no panic");
        assert!(made.iter().copied().eq(0..CALLS));
    }
}
