//! Values that each thread has for itself (as pthread_key_create(3)).

use super::Machine;
use super::thread::Thread;
use crate::raw::{self, errno, nr};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_kernel::threads::wait::Lock;

/// Keys there can be (PTHREAD_KEYS_MAX).
const KEYS: usize = 1024;
/// Keys whose values are in the thread's record.
pub const INLINE: usize = 8;
/// How often destructors are called again because they set values (PTHREAD_DESTRUCTOR_ITERATIONS).
const ROUNDS: usize = 4;

/// A value, and the generation of the key that it was set for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    generation: usize,
    value: usize,
}

struct Key {
    /// Odd while the key exists.
    generation: AtomicUsize,
    destructor: UnsafeCell<usize>,
}
// SAFETY: the destructor is written under the lock, before the generation makes it known.
unsafe impl Sync for Key {}

#[unsafe(link_section = ".bss.hrt_shared")]
static LOCK: Lock = Lock::new();
#[unsafe(link_section = ".bss.hrt_shared")]
static ALL: [Key; KEYS] = [const {
    Key {
        generation: AtomicUsize::new(0),
        destructor: UnsafeCell::new(0),
    }
}; KEYS];

/// Makes a key; each thread's value is 0. `destructor` (0: none) is called with values that are not 0 at a kernel thread's end.
///
/// # Errors
/// EAGAIN: there are too many.
pub fn create(destructor: usize) -> Result<usize, isize> {
    let _held = LOCK.take::<Machine>();
    for (i, k) in ALL.iter().enumerate() {
        let g = k.generation.load(Ordering::Relaxed);
        if g.is_multiple_of(2) {
            // SAFETY: the lock is held, and no key is known by this number.
            unsafe { *k.destructor.get() = destructor };
            k.generation.store(g + 1, Ordering::Release);
            return Ok(i);
        }
    }
    Err(raw::err(errno::EAGAIN))
}

/// Ends a key; no destructor is called.
///
/// # Errors
/// EINVAL: there is no such key.
pub fn delete(key: usize) -> Result<(), isize> {
    let _held = LOCK.take::<Machine>();
    generation(key)?;
    ALL[key].generation.fetch_add(1, Ordering::Release);
    Ok(())
}

fn generation(key: usize) -> Result<usize, isize> {
    ALL.get(key)
        .map(|k| k.generation.load(Ordering::Acquire))
        .filter(|g| !g.is_multiple_of(2))
        .ok_or(raw::err(errno::EINVAL))
}

/// Where thread `t` has its value of `key`, if it has room for it.
///
/// # Safety
/// `t` must be the calling thread, or gone; `key` below `KEYS`.
unsafe fn place(t: *mut Thread, key: usize) -> Option<*mut Value> {
    // SAFETY: the caller's promise.
    unsafe {
        if key < INLINE {
            return Some((&raw mut (*t).values).cast::<Value>().add(key));
        }
        let more = (*t).more_values;
        (!more.is_null()).then(|| more.add(key))
    }
}

/// The caller's value; 0 if there is none, or no such key.
///
/// # Safety
/// `t` must be the calling thread.
pub unsafe fn get(t: *mut Thread, key: usize) -> usize {
    let Ok(g) = generation(key) else { return 0 };
    // SAFETY: the caller's promise; the key exists.
    unsafe {
        match place(t, key) {
            Some(v) if (*v).generation == g => (*v).value,
            _ => 0,
        }
    }
}

/// Sets the caller's value.
///
/// # Errors
/// EINVAL: there is no such key. ENOMEM: no memory for values.
///
/// # Safety
/// `t` must be the calling thread.
pub unsafe fn set(t: *mut Thread, key: usize, value: usize) -> Result<(), isize> {
    let g = generation(key)?;
    // SAFETY: the caller's promise; the key exists.
    unsafe {
        let v = match place(t, key) {
            Some(v) => v,
            None => {
                let bytes = KEYS * size_of::<Value>();
                let at = raw::syscall6(nr::MMAP, [0, bytes, 3, 0x22, usize::MAX, 0]);
                if raw::is_err(at) {
                    return Err(raw::err(errno::ENOMEM));
                }
                (*t).more_values = at as *mut Value;
                (*t).more_values.add(key)
            }
        };
        *v = Value {
            generation: g,
            value,
        };
        (*t).has_values = true;
    }
    Ok(())
}

/// Calls destructors for the calling kernel thread, which ends.
///
/// # Safety
/// `t` must be the calling thread.
pub unsafe fn destroy(t: *mut Thread) {
    for _ in 0..ROUNDS {
        let mut any = false;
        for (key, k) in ALL.iter().enumerate() {
            // SAFETY: the caller's promise; the program has given the destructors.
            unsafe {
                let (Ok(g), Some(v)) = (generation(key), place(t, key)) else {
                    continue;
                };
                let (destructor, value) = (*k.destructor.get(), (*v).value);
                if (*v).generation != g || value == 0 || destructor == 0 {
                    continue;
                }
                (*v).value = 0;
                any = true;
                let call: unsafe extern "C" fn(usize) = core::mem::transmute(destructor);
                call(value);
            }
        }
        if !any {
            break;
        }
    }
    // SAFETY: as above.
    unsafe { forget(t) };
}

/// All values of a thread become 0, without destructors.
///
/// # Safety
/// `t` must be the calling thread, or gone.
pub unsafe fn forget(t: *mut Thread) {
    for key in 0..KEYS {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(v) = place(t, key) {
                (*v).generation = 0;
            }
        }
    }
    // SAFETY: as above.
    unsafe { (*t).has_values = false };
}

/// In the child of a fork.
pub fn after_fork() {
    // SAFETY: this is the only thread.
    unsafe { LOCK.reset() };
}
