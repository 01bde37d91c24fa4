//! The objects, used by Linux's threads.

use super::super::wait::{LATE, PARKED, WAITING, WOKEN};
use super::*;
use std::collections::HashMap;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicU64;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Threads of the standard library.
struct Std;

static THREADS: StdMutex<Option<HashMap<usize, Thread>>> = StdMutex::new(None);
static NUMBER: AtomicUsize = AtomicUsize::new(1);
static START: StdMutex<Option<Instant>> = StdMutex::new(None);

thread_local! {
    static ME: usize = {
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        THREADS.lock().unwrap().get_or_insert_default().insert(n, thread::current());
        n
    };
}

fn now() -> u64 {
    START
        .lock()
        .unwrap()
        .get_or_insert_with(Instant::now)
        .elapsed()
        .as_nanos() as u64
}

impl Host for Std {
    fn current() -> usize {
        ME.with(|n| *n)
    }

    fn patience() -> u32 {
        20
    }

    fn relax(turns: u32) {
        match turns % 64 {
            0 => thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }

    fn give_way() {
        thread::yield_now();
    }

    unsafe fn park(w: &Waiter, deadline: u64) {
        if w.state
            .compare_exchange(WAITING, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        while ![WOKEN, LATE].contains(&w.state.load(Ordering::Acquire)) {
            if deadline == NEVER {
                thread::park();
                continue;
            }
            match deadline.checked_sub(now()) {
                Some(left) if left > 0 => thread::park_timeout(Duration::from_nanos(left)),
                // SAFETY: alive until woken.
                _ => unsafe { Waiter::expire::<Std>(w) },
            }
        }
    }

    fn ready(thread: usize, _: *const AtomicU32) {
        let t = THREADS.lock().unwrap().as_ref().unwrap()[&thread].clone();
        t.unpark();
    }
}

fn together(threads: usize, body: impl Fn(usize) + Sync) {
    thread::scope(|s| {
        for i in 0..threads {
            let body = &body;
            s.spawn(move || body(i));
        }
    });
}

struct Shared(UnsafeCell<u64>);
// SAFETY: the tests' locks guard it.
unsafe impl Sync for Shared {}

impl Shared {
    #[allow(clippy::mut_from_ref)]
    fn value(&self) -> &mut u64 {
        // SAFETY: the caller holds the lock that is tested.
        unsafe { &mut *self.0.get() }
    }

    fn add(&self) {
        *self.value() += 1;
    }
}

#[test]
fn a_mutex_excludes_and_times_out() {
    for k in [kind::NORMAL, kind::RECURSIVE, kind::ERRORCHECK] {
        let m = Mutex::new(k);
        let (n, misses) = (Shared(UnsafeCell::new(0)), AtomicU64::new(0));
        together(4, |i| {
            for turn in 0..20_000 {
                if i == 0 && turn % 7 == 0 {
                    match m.lock::<Std>(now() + 1000) {
                        Err(Error::TimedOut) => {
                            misses.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        r => r.unwrap(),
                    }
                } else {
                    m.lock::<Std>(NEVER).unwrap();
                }
                n.add();
                m.unlock::<Std>().unwrap();
            }
        });
        assert_eq!(n.0.into_inner() + misses.into_inner(), 80_000);
        assert!(!m.is_locked());
    }
}

#[test]
fn kinds_of_mutexes() {
    let m = Mutex::new(kind::RECURSIVE);
    m.lock::<Std>(NEVER).unwrap();
    m.lock::<Std>(NEVER).unwrap();
    m.try_lock::<Std>().unwrap();
    together(1, |_| {
        assert_eq!(m.try_lock::<Std>(), Err(Error::Busy));
        assert_eq!(m.unlock::<Std>(), Err(Error::NotOwner));
        assert_eq!(m.lock::<Std>(0), Err(Error::TimedOut));
    });
    for _ in 0..3 {
        m.unlock::<Std>().unwrap();
    }
    assert_eq!(m.unlock::<Std>(), Err(Error::NotOwner));

    let m = Mutex::new(kind::ERRORCHECK);
    m.lock::<Std>(NEVER).unwrap();
    assert_eq!(m.lock::<Std>(NEVER), Err(Error::Deadlock));
    assert_eq!(m.try_lock::<Std>(), Err(Error::Busy));
    m.unlock::<Std>().unwrap();

    let m = Mutex::new(kind::NORMAL);
    m.lock::<Std>(NEVER).unwrap();
    assert_eq!(m.lock::<Std>(now() + 1_000_000), Err(Error::TimedOut));
    m.unlock::<Std>().unwrap();
    m.try_lock::<Std>().unwrap();
}

#[test]
fn a_condition_wakes_whom_it_should() {
    let (m, filled, emptied) = (Mutex::new(0), Condition::new(), Condition::new());
    let (slot, sum) = (Shared(UnsafeCell::new(0)), AtomicU64::new(0));
    together(4, |i| {
        for k in 1..=5_000u64 {
            m.lock::<Std>(NEVER).unwrap();
            if i < 2 {
                while *slot.value() != 0 {
                    let _ = emptied.wait::<Std>(&m, if k % 5 == 0 { now() + 2000 } else { NEVER });
                }
                *slot.value() = k;
                filled.signal::<Std>();
            } else {
                while *slot.value() == 0 {
                    let _ = filled.wait::<Std>(&m, if k % 3 == 0 { now() + 2000 } else { NEVER });
                }
                sum.fetch_add(*slot.value(), Ordering::Relaxed);
                *slot.value() = 0;
                match k % 2 {
                    0 => emptied.broadcast::<Std>(),
                    _ => emptied.signal::<Std>(),
                }
            }
            m.unlock::<Std>().unwrap();
        }
    });
    assert_eq!(sum.into_inner(), 2 * (5_000 * 5_001 / 2));

    let m = Mutex::new(kind::RECURSIVE);
    assert_eq!(filled.wait::<Std>(&m, NEVER), Err(Error::NotOwner));
    m.lock::<Std>(NEVER).unwrap();
    m.lock::<Std>(NEVER).unwrap();
    assert_eq!(filled.wait::<Std>(&m, now() + 1000), Err(Error::TimedOut));
    m.unlock::<Std>().unwrap();
    m.unlock::<Std>().unwrap();
    assert!(!m.is_locked());
}

#[test]
fn a_semaphore_loses_no_unit() {
    let s = Semaphore::new(3);
    let got = AtomicU64::new(0);
    together(4, |i| {
        for k in 0..10_000u64 {
            if i % 2 == 0 {
                s.post::<Std>().unwrap();
            } else {
                let r = s.wait::<Std>(if k % 3 == 0 { now() + 500 } else { NEVER });
                got.fetch_add(u64::from(r.is_ok()), Ordering::Relaxed);
            }
        }
    });
    assert_eq!(u64::from(s.value()) + got.into_inner(), 20_003);
    let full = Semaphore::new(Semaphore::MAX);
    assert_eq!(full.post::<Std>(), Err(Error::Overflow));
    assert_eq!(Semaphore::new(0).try_wait(), Err(Error::Again));
}

#[test]
fn events_let_one_or_all_pass() {
    let (auto, manual) = (Event::new(false, false), Event::new(true, false));
    assert_eq!(auto.wait::<Std>(now() + 1000), Err(Error::TimedOut));
    auto.set::<Std>();
    auto.set::<Std>();
    auto.wait::<Std>(NEVER).unwrap();
    assert_eq!(auto.wait::<Std>(0), Err(Error::TimedOut));
    let passed = AtomicU64::new(0);
    together(4, |i| {
        if i == 0 {
            manual.set::<Std>();
            return;
        }
        manual.wait::<Std>(NEVER).unwrap();
        passed.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(passed.into_inner(), 3);
    manual.wait::<Std>(0).unwrap();
    manual.reset();
    assert_eq!(manual.wait::<Std>(0), Err(Error::TimedOut));
    // Ping and pong.
    let (ping, pong) = (Event::new(false, false), Event::new(false, false));
    together(2, |i| {
        for _ in 0..5_000 {
            if i == 0 {
                ping.set::<Std>();
                pong.wait::<Std>(NEVER).unwrap();
            } else {
                ping.wait::<Std>(NEVER).unwrap();
                pong.set::<Std>();
            }
        }
    });
}

#[test]
fn a_barrier_holds_back_until_all_are_there() {
    let (b, n, serial) = (Barrier::new(4), AtomicU64::new(0), AtomicU64::new(0));
    together(4, |_| {
        for turn in 1..=2_000 {
            n.fetch_add(1, Ordering::Relaxed);
            let last = b.wait::<Std>().unwrap();
            serial.fetch_add(u64::from(last), Ordering::Relaxed);
            assert!(n.load(Ordering::Relaxed) >= 4 * turn);
            b.wait::<Std>().unwrap();
        }
    });
    assert_eq!(serial.into_inner(), 2_000);
    assert!(!b.is_busy());
    assert_eq!(Barrier::new(0).wait::<Std>(), Err(Error::Invalid));
}

#[test]
fn many_read_or_one_writes() {
    let l = RwLock::new();
    let (n, inside) = (Shared(UnsafeCell::new(0)), AtomicU64::new(0));
    together(4, |i| {
        for k in 0..5_000u64 {
            let deadline = if k % 9 == 0 { now() + 2000 } else { NEVER };
            if i == 0 {
                if l.write::<Std>(deadline).is_ok() {
                    assert_eq!(inside.load(Ordering::Relaxed), 0);
                    n.add();
                    l.unlock::<Std>().unwrap();
                }
            } else if l.read::<Std>(deadline).is_ok() {
                inside.fetch_add(1, Ordering::Relaxed);
                inside.fetch_sub(1, Ordering::Relaxed);
                l.unlock::<Std>().unwrap();
            }
        }
    });
    assert!(!l.is_locked());
    assert_eq!(l.unlock::<Std>(), Err(Error::NotOwner));
    l.write::<Std>(0).unwrap();
    assert_eq!(l.read::<Std>(0), Err(Error::Deadlock));
    assert_eq!(l.write::<Std>(NEVER), Err(Error::Deadlock));
    together(1, |_| {
        assert_eq!(l.unlock::<Std>(), Err(Error::NotOwner));
        assert_eq!(l.read::<Std>(0), Err(Error::TimedOut));
        assert_eq!(l.write::<Std>(0), Err(Error::TimedOut));
    });
    l.unlock::<Std>().unwrap();
    l.read::<Std>(0).unwrap();
    l.read::<Std>(0).unwrap();
}

#[test]
fn once_is_once() {
    let (o, n) = (Once::new(), AtomicU64::new(0));
    together(4, |_| {
        if o.begin::<Std>() {
            n.fetch_add(1, Ordering::Relaxed);
            o.done(true);
        }
        assert_eq!(n.load(Ordering::Relaxed), 1);
    });
}

/// Threads that execute one another's nodes through run queues.
#[test]
fn run_queues_lose_nothing() {
    use super::super::run::{Node, RunQueue};
    let queues = [RunQueue::new(), RunQueue::new()];
    let counts: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
    #[repr(C)]
    struct Job {
        node: Node,
        index: usize,
    }
    let left = AtomicU64::new(64 * 500);
    for i in 0..64 {
        let job = Box::leak(Box::new(Job {
            node: Node::new(),
            index: i,
        }));
        // SAFETY: a new node.
        unsafe { queues[i % 2].push::<Std, _>(&raw mut job.node, i % 3 == 0, |_| ()) };
    }
    together(4, |i| {
        let (own, other) = (&queues[i % 2], &queues[1 - i % 2]);
        while left.load(Ordering::Relaxed) > 0 {
            let Some(mut node) = own.pop::<Std>().or_else(|| other.steal::<Std>()) else {
                thread::yield_now();
                continue;
            };
            // SAFETY: whoever took a job has it.
            unsafe {
                if let Some(n) = own.rotate::<Std>(node) {
                    own.unlock();
                    node = n;
                }
            }
            // SAFETY: as above.
            let job = unsafe { &mut *node.cast::<Job>() };
            if counts[job.index].fetch_add(1, Ordering::Relaxed) + 1 < 500 {
                // SAFETY: in no queue now.
                unsafe { own.push::<Std, _>(node, job.index % 5 == 0, |_| ()) };
            }
            left.fetch_sub(1, Ordering::Relaxed);
        }
    });
    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 500));
    assert!(queues[0].is_really_empty::<Std>() && queues[1].is_empty());
}
