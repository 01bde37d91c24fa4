//! Counts primes in several threads, and catches a panic on the way.

use std::sync::mpsc;
use std::thread;

fn is_prime(n: u32) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
}

fn main() {
    let (sender, receiver) = mpsc::channel();
    for k in 0..4 {
        let sender = sender.clone();
        thread::spawn(move || {
            let found = (k * 5000..(k + 1) * 5000).filter(|&n| is_prime(n)).count();
            sender.send(found).expect("the receiver is there");
        });
    }
    drop(sender);
    println!("{} primes below 20000", receiver.iter().sum::<usize>());

    std::panic::set_hook(Box::new(|_| ()));
    let caught = std::panic::catch_unwind(|| is_prime("seven".parse().unwrap()));
    println!("a panic, caught: {}", caught.is_err());
}
