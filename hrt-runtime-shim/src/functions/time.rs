//! Kernel functions that tell the time: by the vdso (vdso(7)), which reads the time stamp counter with Linux's own calibration, so that
//! they agree with Linux; by a system call only where Linux itself must be asked.

use super::set_errno;
use crate::kernel::objects::Object;
use crate::raw::{self, errno};
use crate::start::Start;
use core::sync::atomic::{AtomicUsize, Ordering};

const NR_GETTIMEOFDAY: usize = 96;
const NR_TIME: usize = 201;
const NR_CLOCK_GETTIME: usize = 228;

/// The vdso's functions; 0: it lacks them.
static CLOCK_GETTIME: AtomicUsize = AtomicUsize::new(0);
static GETTIMEOFDAY: AtomicUsize = AtomicUsize::new(0);
static TIME: AtomicUsize = AtomicUsize::new(0);

/// Finds the vdso's functions.
pub fn init(start: &Start) {
    let Some(symbols) = Object::vdso(start).and_then(|v| v.symbols()) else {
        return;
    };
    for (name, place) in [
        (&b"__vdso_clock_gettime"[..], &CLOCK_GETTIME),
        (b"__vdso_gettimeofday", &GETTIMEOFDAY),
        (b"__vdso_time", &TIME),
    ] {
        if let Some(f) = symbols.find(name) {
            place.store(f.address, Ordering::Relaxed);
        }
    }
}

/// Calls a function of the vdso, or makes system call `number`, with two arguments.
fn ask(function: &AtomicUsize, number: usize, a: usize, b: usize) -> isize {
    match function.load(Ordering::Relaxed) {
        // SAFETY: the program asked for it; Linux checks the addresses.
        0 => unsafe { raw::syscall4(number, a, b, 0, 0) },
        at => {
            // SAFETY: the vdso's function of that name, called as the C library calls it. Its result is an int, or a time.
            let f: extern "C" fn(usize, usize) -> isize = unsafe { core::mem::transmute(at) };
            f(a, b)
        }
    }
}

/// What a C library's function makes of an int that a system call returned.
fn result(r: i32) -> i32 {
    if raw::is_err(r as isize) {
        set_errno(-r);
        return -1;
    }
    r
}

/// As clock_gettime(2): fills the `struct timespec` at `at` with the time of `clock`. 0, or -1 with errno (EINVAL: no such clock).
pub extern "C" fn hrt_clock_gettime(clock: i32, at: usize) -> i32 {
    result(ask(&CLOCK_GETTIME, NR_CLOCK_GETTIME, clock as usize, at) as i32)
}

/// As gettimeofday(2): fills the `struct timeval` at `at`, and the `struct timezone` at `zone`, each unless it is 0. 0, or -1 with errno.
pub extern "C" fn hrt_gettimeofday(at: usize, zone: usize) -> i32 {
    result(ask(&GETTIMEOFDAY, NR_GETTIMEOFDAY, at, zone) as i32)
}

/// As time(2): the seconds since 1970, also stored at `at` unless that is 0.
pub extern "C" fn hrt_seconds(at: usize) -> i64 {
    let r = ask(&TIME, NR_TIME, at, 0);
    if r == raw::err(errno::EFAULT) {
        set_errno(errno::EFAULT);
        return -1;
    }
    r as i64
}
