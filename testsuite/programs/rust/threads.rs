//@ variants: dynamic-pie static static-pie
// std threads: channels, scoped threads, mutexes, barriers, thread locals, park, timeouts.
use std::cell::Cell;
use std::sync::{atomic::*, mpsc, Arc, Barrier, Condvar, Mutex};
use std::time::Duration;
thread_local!(static LOCAL: Cell<u32> = const { Cell::new(1) });
fn main() {
    let (tx, rx) = mpsc::channel();
    for i in 0..8u64 {
        let tx = tx.clone();
        std::thread::spawn(move || (0..1000).for_each(|k| tx.send(i * 1000 + k).unwrap()));
    }
    drop(tx);
    println!("sum {}", rx.iter().sum::<u64>());
    let n = AtomicU32::new(0);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| LOCAL.with(|l| { l.set(l.get() + 1); n.fetch_add(l.get(), Ordering::SeqCst) }));
        }
    });
    println!("locals {} {}", n.load(Ordering::SeqCst), LOCAL.with(Cell::get));
    let pair = Arc::new((Mutex::new(0), Condvar::new(), Barrier::new(3)));
    let ts: Vec<_> = (0..3).map(|_| {
        let p = pair.clone();
        std::thread::spawn(move || { p.2.wait(); *p.0.lock().unwrap() += 1; p.1.notify_all(); })
    }).collect();
    let mut g = pair.0.lock().unwrap();
    while *g < 3 { g = pair.1.wait(g).unwrap(); }
    println!("count {}", *g);
    // The last to count may not have told yet.
    ts.into_iter().for_each(|t| t.join().unwrap());
    println!("timed out {}", pair.1.wait_timeout(g, Duration::from_millis(10)).unwrap().1.timed_out());
    let t = std::thread::spawn(|| { std::thread::park(); 5 });
    t.thread().unpark();
    println!("parked {}", t.join().unwrap());
}
