//! Stacks: of sizes that are powers of two, cut from large mappings, kept for the next thread, and touched only as far as they are used.
//!
//! A guard page splits a mapping, of which Linux allows a process some 65,000 (vm.max_map_count). So only the first stacks of a process have one;
//! for all others a switch checks that the stack pointer is where it should be.

use super::Machine;
use super::groups::Carrier;
use super::thread::Thread;
use crate::raw::{self, nr};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_kernel::threads::wait::Lock;

/// The smallest stack, in bytes.
pub const SMALLEST: usize = 16 * 1024;
/// Sizes there are: up to 256 MiB.
pub const CLASSES: usize = 15;
/// The class of what a thread gets that asks for nothing: 32 KiB.
pub const DEFAULT_CLASS: u8 = 1;
/// Stacks with a guard page.
const GUARDED: usize = 8192;
/// Bytes that are mapped at once for small stacks.
const SLAB: usize = 8 * 1024 * 1024;
/// Stacks that a carrier keeps for itself.
pub const KEPT: u32 = 64;

struct Class {
    lock: Lock,
    free: UnsafeCell<*mut Thread>,
    /// What is left of the last mapping.
    rest: UnsafeCell<(usize, usize)>,
}
// SAFETY: the cells are used under the lock.
unsafe impl Sync for Class {}

#[unsafe(link_section = ".bss.hrt_shared")]
static FREE: [Class; CLASSES] = [const {
    Class {
        lock: Lock::new(),
        free: UnsafeCell::new(null_mut()),
        rest: UnsafeCell::new((0, 0)),
    }
}; CLASSES];
#[unsafe(link_section = ".bss.hrt_shared")]
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// The class of the smallest stack of at least `size` bytes.
#[must_use]
pub fn class(size: usize) -> Option<u8> {
    (0..CLASSES as u8).find(|c| bytes(*c) >= size)
}

/// Bytes of a stack of that class.
#[must_use]
pub const fn bytes(class: u8) -> usize {
    SMALLEST << class
}

/// A stack with its thread, of whose fields `low`, `class` and `top` are set; its other fields are as its last thread left them, or zeros.
/// `c`, the caller's carrier, may have one ready.
#[inline]
pub fn take(class: u8, c: *mut Carrier) -> Option<*mut Thread> {
    if class == DEFAULT_CLASS && !c.is_null() {
        // SAFETY: the calling carrier's own.
        unsafe {
            let t = (*c).stacks;
            if !t.is_null() {
                (*c).stacks = (*t).next;
                (*c).stack_count -= 1;
                return Some(t);
            }
        }
    }
    take_shared(class)
}

#[cold]
fn take_shared(class: u8) -> Option<*mut Thread> {
    let of = &FREE[class as usize];
    let size = bytes(class);
    loop {
        {
            let _held = of.lock.take::<Machine>();
            // SAFETY: the lock is held; what is in the list is nobody's.
            unsafe {
                let t = *of.free.get();
                if !t.is_null() {
                    *of.free.get() = (*t).next;
                    return Some(t);
                }
                let (at, end) = *of.rest.get();
                if at < end {
                    *of.rest.get() = (at + size, end);
                    drop(_held);
                    return Some(make(at, class));
                }
            }
        }
        let len = SLAB.max(size);
        const FLAGS: usize = 0x4022; // MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        // SAFETY: a new mapping disturbs nobody.
        let at = unsafe { raw::syscall6(nr::MMAP, [0, len, 3, FLAGS, usize::MAX, 0]) };
        if raw::is_err(at) {
            return None;
        }
        let _held = of.lock.take::<Machine>();
        // SAFETY: the lock is held. If another thread has mapped at the same time, its rest is lost to us, not to anybody's harm.
        unsafe { *of.rest.get() = (at as usize, at as usize + len) };
    }
}

/// Makes a new stack's thread.
fn make(at: usize, class: u8) -> *mut Thread {
    let size = bytes(class);
    let mut low = at;
    if GUARDS.load(Ordering::Relaxed) < GUARDED && GUARDS.fetch_add(1, Ordering::Relaxed) < GUARDED
    {
        // SAFETY: a page of the new stack.
        if unsafe { raw::syscall4(nr::MPROTECT, at, 4096, 0, 0) } == 0 {
            low += 4096;
        }
    }
    // Not all at the same place of their pages, for the caches' sake.
    let colour = (at / size % 8) * 256;
    let t = (at + size - colour - size_of::<Thread>()) & !63;
    let t = t as *mut Thread;
    // SAFETY: the stack is new: zeros, and nobody's.
    unsafe {
        (*t).low = low;
        (*t).top = t as usize;
        (*t).class = class;
    }
    t
}

/// Keeps the stack of a thread that is no more.
///
/// # Safety
/// Nothing may use the thread or its stack any more.
#[inline]
pub unsafe fn give_back(t: *mut Thread, c: *mut Carrier) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*t).class == DEFAULT_CLASS && !c.is_null() && (*c).stack_count < KEPT {
            (*t).next = (*c).stacks;
            (*c).stacks = t;
            (*c).stack_count += 1;
            return;
        }
        let of = &FREE[(*t).class as usize];
        let _held = of.lock.take::<Machine>();
        (*t).next = *of.free.get();
        *of.free.get() = t;
    }
}

/// In the child of a fork: locks that other threads held are free. What they were about to change is left alone for ever.
pub fn after_fork() {
    for of in &FREE {
        // SAFETY: this is the only thread.
        unsafe {
            of.lock.reset();
            *of.free.get() = null_mut();
            *of.rest.get() = (0, 0);
        }
    }
}
