//! The program's memory as the kernel uses it: an address from the program is a claim, which Linux checks, so that a bad one
//! is an answer and not a fault.

use super::{CONFINED, block};
use crate::raw::{self, errno, nr};
use core::sync::atomic::Ordering;

/// Values that may be read from the program's memory.
///
/// # Safety
/// Any bytes must make a valid value, which has at least eight of them and at most a page.
pub unsafe trait Plain: Copy {}
// SAFETY: any bytes are one.
unsafe impl Plain for u64 {}
// SAFETY: any bytes are one.
unsafe impl Plain for [usize; 2] {}
// SAFETY: integers only, without padding.
unsafe impl Plain for super::Action {}
// SAFETY: integers only, without padding.
unsafe impl Plain for block::AltStack {}

/// True if the eight bytes at `at` can be read by this process.
///
/// `rt_sigprocmask(2)` copies the set in before it looks at `how`: an impossible `how` answers EINVAL for a readable
/// set and EFAULT for any other.
#[must_use]
pub fn can_read8(at: usize) -> bool {
    if CONFINED.load(Ordering::Relaxed) {
        // The jail may kill us for the question; a bad address then faults in the kernel.
        return at != 0;
    }
    // SAFETY: changes nothing, since `how` is invalid.
    let r = unsafe { raw::syscall4(nr::RT_SIGPROCMASK, 99, at, 0, 8) };
    at != 0 && r == raw::err(errno::EINVAL)
}

/// True if `len` bytes (at least eight, at most a page) at `at` can be read.
#[must_use]
pub fn can_read(at: usize, len: usize) -> bool {
    len >= 8 && can_read8(at) && (len == 8 || can_read8(at.wrapping_add(len - 8)))
}

/// The value at `at`, if that can be read.
#[must_use]
pub fn get<T: Plain>(at: usize) -> Option<T> {
    // SAFETY: just seen to be readable, and any bytes are a value.
    can_read(at, size_of::<T>()).then(|| unsafe { (at as *const T).read_unaligned() })
}

/// Copies `value` to `to`; false if that cannot be written.
pub fn put<T: Copy>(to: usize, value: &T) -> bool {
    // SAFETY: a value's own bytes.
    unsafe { put_bytes(to, core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Copies `bytes` (at least eight, at most a page) to `to`; false if that cannot be written.
pub fn write(to: usize, bytes: &[u8]) -> bool {
    // SAFETY: a slice's own bytes.
    unsafe { put_bytes(to, bytes.as_ptr(), bytes.len()) }
}

/// # Safety
/// There are `len` bytes at `from`.
unsafe fn put_bytes(to: usize, from: *const u8, len: usize) -> bool {
    if CONFINED.load(Ordering::Relaxed) {
        // SAFETY: the program asked for it to be written; a bad address faults in the kernel.
        unsafe { (to as *mut u8).copy_from(from, len) };
        return true;
    }
    // SAFETY: writes where the program asked for it, or fails.
    let n = unsafe { copy(nr::PROCESS_VM_WRITEV, from as usize, to, len) };
    if n == len as isize {
        return true;
    }
    if n == raw::err(errno::EFAULT) || n >= 0 || !can_read(to, len) {
        return false;
    }
    // The call is not permitted here (a jail that was there before us): write directly; a read-only page faults as it would for libc.
    // SAFETY: readable, and the program asked for it to be written.
    unsafe { (to as *mut u8).copy_from(from, len) };
    true
}

/// Fills `into` from `from`; false if not all of that can be read.
pub fn read(from: usize, into: &mut [u8]) -> bool {
    // SAFETY: writes `into` only.
    let n = unsafe {
        copy(
            nr::PROCESS_VM_READV,
            into.as_mut_ptr() as usize,
            from,
            into.len(),
        )
    };
    n == into.len() as isize
}

/// process_vm_readv(2) or process_vm_writev(2) between the kernel's memory at `here` and the program's at `there`: both are
/// this process's.
///
/// # Safety
/// Rust code must not rely on what `call` overwrites.
unsafe fn copy(call: usize, here: usize, there: usize, len: usize) -> isize {
    // The calling thread's own: a vfork child has another id than its memory's owner.
    // SAFETY: the calling thread's own block.
    let pid = unsafe { (*block::current()).pid } as usize;
    let local = [here, len];
    let remote = [there, len];
    let (local, remote) = (local.as_ptr() as usize, remote.as_ptr() as usize);
    // SAFETY: the caller's promise; both vectors have one element.
    unsafe { raw::syscall6(call, [pid, local, 1, remote, 1, 0]) }
}
