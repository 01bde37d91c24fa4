//@ variants: dynamic-pie static
//@ exit: 101
// Panics: caught, joined from a thread, unwinding with destructors, and the last one ends the process with 101.
struct Loud(&'static str);
impl Drop for Loud { fn drop(&mut self) { println!("dropped {}", self.0); } }
fn main() {
    let _main = Loud("main");
    let r = std::panic::catch_unwind(|| { let _l = Loud("inside"); let v: Vec<i32> = vec![]; v[std::hint::black_box(3)] });
    println!("caught {}", r.is_err());
    let t = std::thread::Builder::new().name("worker".into()).spawn(|| -> () { let _l = Loud("thread"); panic!("in a thread") }).unwrap();
    println!("joined {}", t.join().is_err());
    let none: Option<i32> = std::hint::black_box(None);
    none.expect("the last one");
}
