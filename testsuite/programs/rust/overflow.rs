//@ signal: SIGABRT
// A stack overflow: the runtime's own SIGSEGV handler on an alternate stack says so and aborts.
#[inline(never)]
fn down(n: u64) -> u64 { let a = std::hint::black_box([n; 100]); if n == u64::MAX { 0 } else { down(n + 1) + a[50] } }
fn main() {
    println!("going down");
    println!("{}", down(0));
}
