//@ variants: dynamic-pie no-pie static static-pie
// The smallest one in Rust.
fn main() {
    println!("hello with {} arguments", std::env::args().count() - 1);
}
