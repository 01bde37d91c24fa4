//@ variants: dynamic-pie static
//@ flags: --cfg feature="std" -A dead_code -A unused_imports
//@ stats: kernel_threads.created >= 50
// The crate `hrt`: kernel threads that own and that borrow, a panic in one, every object; without the kernel each says so.
#[path = "../../../hrt-runtime-shim/api/src/lib.rs"]
mod hrt;
use hrt::sync::{Barrier, Condition, Event, Mutex, RwLock, Semaphore};
use hrt::{thread, Error};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    thread::scope(|s| {
        let a = s
            .spawn_by(thread::Builder::new().stack_size(32 * 1024).first(), move || fib(n - 1))
            .unwrap();
        let b = fib(n - 2);
        a.join().unwrap() + b
    })
}

fn with_kernel() -> Result<(), Error> {
    std::panic::set_hook(Box::new(|_| ()));
    assert_eq!(thread::spawn(|| 6 * 7)?.join(), Ok(42));
    let text = Arc::new(String::from("shared"));
    let theirs = Arc::clone(&text);
    assert_eq!(thread::spawn(move || theirs.len())?.join(), Ok(6));
    assert_eq!(Arc::strong_count(&text), 1);
    assert_eq!(thread::spawn(|| -> i32 { panic!("in a kernel thread") })?.join(), Err(thread::Panic));

    let n = Mutex::new(0u64);
    let (b, turns) = (Barrier::new(10), AtomicU64::new(0));
    thread::scope(|s| {
        for _ in 0..10 {
            s.spawn(|| {
                for _ in 0..100 {
                    *n.lock().unwrap() += 1;
                    thread::yield_now().unwrap();
                }
                turns.fetch_add(u64::from(b.wait().unwrap()), Ordering::Relaxed);
            })
            .unwrap();
        }
    });
    assert_eq!((n.into_inner(), turns.into_inner()), (1000, 1));

    let (queue, some) = (Mutex::new(Vec::new()), Condition::new());
    let sum: u64 = thread::scope(|s| {
        let reader = s
            .spawn(|| {
                let mut sum = 0;
                for _ in 0..100 {
                    let mut q = queue.lock().unwrap();
                    while q.is_empty() {
                        some.wait(&mut q, None).unwrap();
                    }
                    sum += q.pop().unwrap();
                }
                sum
            })
            .unwrap();
        for i in 1..=100u64 {
            queue.lock().unwrap().push(i);
            some.signal();
        }
        reader.join().unwrap()
    });
    assert_eq!(sum, 5050);

    let (units, ready, table) = (Semaphore::new(0), Event::new(true), RwLock::new(vec![0u64; 4]));
    thread::scope(|s| {
        for i in 0..4 {
            let (units, ready, table) = (&units, &ready, &table);
            s.spawn(move || {
                ready.wait(None).unwrap();
                table.write(None).unwrap()[i] = i as u64;
                units.post().unwrap();
            })
            .unwrap();
        }
        assert_eq!(units.try_wait(), Err(Error::AGAIN));
        let soon = hrt::time().unwrap() + Duration::from_millis(1);
        assert_eq!(units.wait(Some(soon)), Err(Error::TIMED_OUT));
        ready.set().unwrap();
        for _ in 0..4 {
            units.wait(None).unwrap();
        }
        assert_eq!(*table.read(None).unwrap(), [0, 1, 2, 3]);
    });
    assert_eq!(fib(9), 34);
    let slept = hrt::time()?;
    thread::sleep(Duration::from_millis(2))?;
    assert!(hrt::time()? - slept >= Duration::from_millis(2));
    let s = thread::statistics()?;
    assert!(s.created > 50 && s.carriers >= 1);
    Ok(())
}

fn main() {
    match hrt::available() {
        true => with_kernel().unwrap(),
        false => {
            assert_eq!(thread::spawn(|| ()).err(), Some(Error::NOT_SUPPORTED));
            assert_eq!(Mutex::new(0).lock().err(), Some(Error::NOT_SUPPORTED));
            assert_eq!(hrt::time(), Err(Error::NOT_SUPPORTED));
        }
    }
    println!("done");
}
