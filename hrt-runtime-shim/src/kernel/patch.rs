//! Patching of call sites: writes what `hrt_kernel::sites` plans, and the islands that bring far slots within reach.

use super::modules;
use super::slots::{Guard, Slot};
use crate::raw::{self, errno, nr};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use hrt_kernel::sites::{self, Plan};

/// Patching is wanted and possible: `HRT_PATCH`, and no seccomp jail since.
pub static ENABLED: AtomicBool = AtomicBool::new(true);
/// Sites patched so far.
pub static PATCHED: AtomicU64 = AtomicU64::new(0);
/// HRT threads that share this memory.
pub static THREADS: AtomicUsize = AtomicUsize::new(1);

/// Entries of an island.
const ISLAND: usize = 512;
const ISLANDS: usize = 64;

/// A page of `jmp *` through the page after it, near code that the slots are too far from.
#[derive(Clone, Copy)]
struct Island {
    at: usize,
    used: usize,
}

struct Islands(UnsafeCell<[Island; ISLANDS]>);
// SAFETY: used only under the slots' lock.
unsafe impl Sync for Islands {}
static NEAR: Islands = Islands(UnsafeCell::new([Island { at: 0, used: 0 }; ISLANDS]));

/// Address of the first island: the only one there is but in very large processes.
pub static ISLAND_AT: AtomicUsize = AtomicUsize::new(0);

/// Where execution at `rip` goes, if that is in the first island.
pub fn island_target(rip: usize) -> Option<usize> {
    let at = ISLAND_AT.load(Ordering::Relaxed);
    if at == 0 || rip.wrapping_sub(at) >= 4096 {
        return None;
    }
    // SAFETY: the island's data page follows its code.
    Some(unsafe { ((rip & !7) as *const usize).byte_add(4096).read() })
}

fn reaches(from: usize, to: usize) -> bool {
    // A margin for the length of the module.
    from.abs_diff(to) < 0x7f00_0000
}

/// An address near `from` from where execution goes to `to`; `to` itself if it is near enough.
fn near(from: usize, to: usize, lowest: usize, _lock: &Guard) -> Option<usize> {
    if reaches(from, to) {
        return Some(to);
    }
    // SAFETY: the lock is held.
    let islands = unsafe { &mut *NEAR.0.get() };
    for i in islands.iter_mut() {
        if i.at == 0 {
            i.at = map_island(lowest)?;
            let _ = ISLAND_AT.compare_exchange(0, i.at, Ordering::Relaxed, Ordering::Relaxed);
            i.used = 0;
        }
        if i.used < ISLAND && reaches(from, i.at) {
            let code = i.at + i.used * 8;
            // SAFETY: the island's data page, writable; its entry is not in use yet.
            unsafe { ((code + 4096) as *mut usize).write(to) };
            i.used += 1;
            return Some(code);
        }
    }
    None
}

/// Maps an island below `lowest`, an address of the module it is for.
fn map_island(lowest: usize) -> Option<usize> {
    const FIXED_NOREPLACE: usize = 0x10_0000;
    let mut at = (lowest & !0xfff).checked_sub(0x1_0000)?;
    for _ in 0..1024 {
        // SAFETY: a new mapping that replaces nothing.
        let r = unsafe {
            raw::syscall6(
                nr::MMAP,
                [at, 8192, 3, 0x22 | FIXED_NOREPLACE, usize::MAX, 0],
            )
        };
        if r == at as isize {
            for i in 0..ISLAND {
                // jmp *4090(%rip), two bytes of padding: the word a page further on
                let code: [u8; 8] = [0xff, 0x25, 0xfa, 0x0f, 0, 0, 0xcc, 0xcc];
                // SAFETY: within the page just mapped.
                unsafe { ((at + i * 8) as *mut [u8; 8]).write(code) };
            }
            // SAFETY: our own page.
            unsafe { raw::syscall4(nr::MPROTECT, at, 4096, 5, 0) };
            return Some(at);
        }
        if !raw::is_err(r) {
            // A kernel that does not know the flag took the address as a hint.
            // SAFETY: our own, just mapped.
            unsafe { raw::syscall4(nr::MUNMAP, r as usize, 8192, 0, 0) };
        }
        at = at.checked_sub(0x10_0000)?;
    }
    None
}

/// Overwrites code by a single store where it can be one.
///
/// # Safety
/// The bytes must be mapped and writable.
unsafe fn store(at: usize, bytes: &[u8]) {
    // SAFETY: the caller's promise; eight aligned bytes never cross a page.
    unsafe {
        if sites::one_store(at, bytes.len()) {
            let word = (at & !7) as *mut u64;
            let mut b = word.read_volatile().to_le_bytes();
            b[at & 7..(at & 7) + bytes.len()].copy_from_slice(bytes);
            word.write_volatile(u64::from_le_bytes(b));
        } else {
            for (i, b) in bytes.iter().enumerate() {
                ((at + i) as *mut u8).write_volatile(*b);
            }
        }
    }
}

/// Tries to patch the site of `slot`, which was just seen to execute with `rax`. Whatever the outcome, it is not tried
/// again.
pub fn try_patch(slot: Slot, rax: u64, lock: &Guard) {
    let site = slot.site();
    // SAFETY: the lock is held.
    let (at, state) = unsafe { ((*site).site, (*site).patched) };
    if state != 0 || !ENABLED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the lock is held.
    unsafe { (*site).patched = 2 };
    let Some(range) = modules::containing(at, lock) else {
        return;
    };
    let low = range.start.max(at.saturating_sub(160));
    let high = range.end.min(at + 160);
    // SAFETY: inside a mapped range of code; nothing else writes there while the lock is held.
    let code = unsafe { core::slice::from_raw_parts(low as *const u8, high - low) };
    let alone = THREADS.load(Ordering::Acquire) == 1;
    let patched = match sites::plan(code, at - low, rax) {
        Some(Plan::Mov { at: mov })
            if alone
                || sites::one_store(low + mov, 5)
                || sites::one_store(low + mov, 2) && sync_cores() =>
        {
            let mov = low + mov;
            near(mov, slot.known_entry(), range.start, lock)
                .and_then(|to| sites::jmp32(mov, to))
                .is_some_and(|jmp| {
                    slot.set_known(rax as u32, mov, lock);
                    write(mov, &jmp, None, alone, range)
                })
        }
        Some(_) => sites::springboard(code, at - low).is_some_and(|pad| {
            let pad = low + pad;
            if !alone && !sites::one_store(at, 2) {
                return false;
            }
            let jump =
                near(pad, slot.any_entry(), range.start, lock).and_then(|to| sites::jmp32(pad, to));
            match (jump, sites::jmp8(at, pad)) {
                (Some(far), Some(short)) => write(pad, &far, Some((at, &short)), true, range),
                _ => false,
            }
        }),
        None => false,
    };
    if patched {
        // SAFETY: the lock is held.
        unsafe { (*site).patched = 1 };
        PATCHED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the jump at `at` that [`entry`] has written leads to, if there is one.
pub fn jump_at(at: usize) -> Option<usize> {
    // SAFETY: the first bytes of a function.
    let code = unsafe { (at as *const [u8; 5]).read() };
    let [0xe9, rest @ ..] = code else {
        return None;
    };
    let to = at
        .wrapping_add(5)
        .wrapping_add_signed(i32::from_le_bytes(rest) as isize);
    Some(island_target(to).unwrap_or(to))
}

/// Makes the function at `at`, whose first [`hrt_kernel::entries::JUMP`] bytes may go, a jump to `to`. To be called while there is
/// one thread.
pub fn entry(at: usize, to: usize, lock: &Guard) -> bool {
    modules::containing(at, lock).is_some_and(|range| {
        near(at, to, range.start, lock)
            .and_then(|to| sites::jmp32(at, to))
            .is_some_and(|jump| write(at, &jump, None, true, range))
    })
}

/// [`sync_cores`] works.
static SYNC_READY: AtomicBool = AtomicBool::new(false);

/// Prepares [`sync_cores`]. To be called while there is one thread: later Linux would let the caller wait for milliseconds.
pub fn before_threads() {
    const REGISTER_SYNC_CORE: usize = 1 << 6; // MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
    if ENABLED.load(Ordering::Relaxed)
        && THREADS.load(Ordering::Acquire) == 1
        && !SYNC_READY.load(Ordering::Relaxed)
    {
        // SAFETY: says what `sync_cores` will ask for.
        let r = unsafe { raw::syscall4(nr::MEMBARRIER, REGISTER_SYNC_CORE, 0, 0, 0) };
        SYNC_READY.store(r == 0, Ordering::Relaxed);
    }
}

/// Makes every thread of the process execute a serializing instruction (membarrier(2)): none goes on with code as it was
/// before. False where Linux cannot.
fn sync_cores() -> bool {
    const SYNC_CORE: usize = 1 << 5; // MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE
    // SAFETY: changes nothing.
    SYNC_READY.load(Ordering::Relaxed)
        && unsafe { raw::syscall4(nr::MEMBARRIER, SYNC_CORE, 0, 0, 0) } == 0
}

/// Writes `bytes` at `at`, and after that `then`, into code. Unless `alone`, other threads may execute it meanwhile. `code` is the range that it is in.
fn write(
    at: usize,
    bytes: &[u8],
    then: Option<(usize, &[u8])>,
    alone: bool,
    code: modules::Range,
) -> bool {
    let mut low = at;
    let mut high = at + bytes.len();
    if let Some((at, bytes)) = then {
        low = low.min(at);
        high = high.max(at + bytes.len());
    }
    low &= !0xfff;
    high = high.next_multiple_of(4096);
    // Executable all the while: other threads may run this very page.
    // SAFETY: private code of the program; its protection is put back below.
    let allow = |low, high| unsafe { raw::syscall4(nr::MPROTECT, low, high - low, 7, 0) };
    let mut r = allow(low, high);
    if r == raw::err(errno::EINVAL) {
        // The vdso, which cannot be split (Linux, `special_mapping_split`); its mapping may be a page longer than its code.
        low = code.start & !0xfff;
        let end = code.end.next_multiple_of(4096);
        for end in [end, end + 4096] {
            high = end;
            r = allow(low, high);
            if r == 0 {
                break;
            }
        }
    }
    if r != 0 {
        return false;
    }
    // SAFETY: writable now.
    unsafe {
        if alone || sites::one_store(at, bytes.len()) {
            store(at, bytes);
        } else {
            // The instruction becomes a jump to itself by one store of two bytes, so that threads that come to it wait;
            // once none is inside any more, its tail is written, and then its head.
            store(at, &[0xeb, 0xfe]);
            sync_cores();
            store(at + 2, &bytes[2..]);
            sync_cores();
            store(at, &bytes[..2]);
        }
        if let Some((at, bytes)) = then {
            core::sync::atomic::fence(Ordering::SeqCst);
            store(at, bytes);
        }
        raw::syscall4(nr::MPROTECT, low, high - low, 5, 0);
    }
    true
}
