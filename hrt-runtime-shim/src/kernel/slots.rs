//! Call slots: for each system-call site a piece of code that makes the call on the site's behalf and goes back.
//!
//! A slot uses no stack, changes no flag and no register but `rcx` and `r11` (which `syscall` destroys anyway), so it
//! may stand for a `syscall` instruction anywhere: on any stack, after `vfork`, in a thread that has just unmapped its
//! own stack. Code and data are apart: the code page is filled once, made executable, and never written again.

use super::observe;
use super::policy;
use super::spin::{self, Spin};
use crate::raw::{self, nr};
use crate::report;
use crate::threads::posix;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use hrt_kernel::classes::{Class, TABLE_SIZE};

/// Slots there can be; sites beyond it are served in the signal handler.
pub const SLOTS: usize = 32768;
/// Bytes of a slot's code.
pub const CODE_SIZE: usize = 128;
const PER_PAGE: usize = 4096 / CODE_SIZE;
const HASH: usize = 4 * SLOTS;

/// Offsets of the entries in a slot's code.
mod off {
    use core::ops::RangeInclusive;

    /// `mov nr, %eax; jmp *known` – for sites whose `mov` was patched.
    pub const KNOWN: usize = 0;
    /// `syscall; mov ret, %rcx; jmp *%rcx`.
    pub const SYSCALL: usize = 12;
    /// Where the call is done: after that `syscall`.
    pub const SYSCALL_DONE: RangeInclusive<usize> = 14..=21;
    /// `mov %gs:pid, %eax; mov ret, %rcx; jmp *%rcx`.
    pub const GETPID: usize = 24;
    /// Likewise.
    pub const GETPID_DONE: RangeInclusive<usize> = 32..=39;
    /// `mov %gs:tid, %eax; mov ret, %rcx; jmp *%rcx`.
    pub const GETTID: usize = 44;
    /// Likewise.
    pub const GETTID_DONE: RangeInclusive<usize> = 52..=59;
    /// `lea slot, %rcx; jmp` to the kernel.
    pub const KERNEL: usize = 64;
    /// Entry for any number in `%eax`.
    pub const ANY: usize = 80;
    /// `lea slot, %rcx; jmp` to what serves calls in the program's place.
    pub const UPCALL: usize = 112;
}

/// Offset in a slot's code of its `syscall`.
pub const SYSCALL: usize = off::SYSCALL;
/// Offset in a slot's code from where the kernel is entered, with any number in `%eax`.
pub const KERNEL: usize = off::KERNEL;

/// A slot's data.
#[repr(C)]
pub struct Site {
    /// The number that the patched `mov` loaded.
    pub nr: u32,
    /// 1: patched; 2: cannot be patched.
    pub patched: u32,
    /// Where the program goes on: after the `syscall`.
    pub ret: usize,
    /// The `syscall` instruction.
    pub site: usize,
    /// Where to start over: the patched `mov`, or the `syscall`.
    pub resume: usize,
    /// Where [`off::KNOWN`] goes on.
    known: usize,
    reserved: [usize; 3],
}

const _: () = assert!(size_of::<Site>() == 64);

#[repr(C, align(4096))]
struct CodeArea(UnsafeCell<[u8; SLOTS * CODE_SIZE]>);
// SAFETY: written only under the lock, a page at a time, before any slot of the page is published.
unsafe impl Sync for CodeArea {}

#[repr(C, align(4096))]
struct DataArea(UnsafeCell<[Site; SLOTS]>);
// SAFETY: a site's fields are written under the lock; `known` and `nr` before the patch that makes them reachable.
unsafe impl Sync for DataArea {}

#[repr(C, align(4096))]
struct ClassTable(UnsafeCell<[u8; 65536]>);
// SAFETY: written once, before any slot exists.
unsafe impl Sync for ClassTable {}

static CODE: CodeArea = CodeArea(UnsafeCell::new([0; SLOTS * CODE_SIZE]));
static DATA: DataArea = DataArea(UnsafeCell::new(
    [const {
        Site {
            nr: 0,
            patched: 0,
            ret: 0,
            site: 0,
            resume: 0,
            known: 0,
            reserved: [0; 3],
        }
    }; SLOTS],
));
/// 1 for numbers that slots forward without asking the kernel; 0 (also for all that Linux does not know) asks.
static CLASSES: ClassTable = ClassTable(UnsafeCell::new([0; 65536]));
/// Site address to slot number plus one; open addressing.
static INDEX: [AtomicU16; HASH] = [const { AtomicU16::new(0) }; HASH];
static USED: AtomicUsize = AtomicUsize::new(0);
/// Where slots enter the kernel.
static KERNEL_ENTRY: AtomicUsize = AtomicUsize::new(0);
/// What serves calls in the program's place; 0: nothing does.
static UPCALL_ENTRY: AtomicUsize = AtomicUsize::new(0);
static LOCK: Spin = Spin::new();

/// Holds the lock of slots and patches.
pub struct Guard {
    _held: spin::Guard<'static>,
}

/// Takes the lock.
#[must_use]
pub fn lock() -> Guard {
    Guard { _held: LOCK.take() }
}

fn code_base() -> usize {
    CODE.0.get() as usize
}

/// The address range of all slots' code.
#[must_use]
pub fn code_range() -> core::ops::Range<usize> {
    code_base()..code_base() + SLOTS * CODE_SIZE
}

/// Sets up the dispatch table: slots make the calls that are `direct` themselves, and enter the kernel at `entry` for all others.
pub fn init(entry: usize, direct: impl Fn(usize) -> bool) {
    KERNEL_ENTRY.store(entry, Ordering::Relaxed);
    for nr in 0..TABLE_SIZE {
        if direct(nr) {
            // SAFETY: nr < 65536; no slot exists yet.
            unsafe { (*CLASSES.0.get())[nr] = 1 }
        }
    }
}

/// Says where calls are served in the program's place; to be called before any slot is made.
pub fn set_upcall(entry: usize) {
    UPCALL_ENTRY.store(entry, Ordering::Relaxed);
}

fn is_direct(nr: usize) -> bool {
    // SAFETY: written at start only.
    nr < TABLE_SIZE && unsafe { (*CLASSES.0.get())[nr] } != 0
}

/// A slot, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// The slot whose code contains `addr`.
    #[must_use]
    pub fn containing(addr: usize) -> Option<Slot> {
        code_range()
            .contains(&addr)
            .then(|| Slot((addr - code_base()) / CODE_SIZE))
    }

    /// Its data.
    #[must_use]
    pub fn site(self) -> *mut Site {
        // SAFETY: slot numbers are below SLOTS.
        unsafe { DATA.0.get().cast::<Site>().add(self.0) }
    }

    fn code(self) -> usize {
        code_base() + self.0 * CODE_SIZE
    }

    /// Entry for a site whose number is in `%eax`.
    #[must_use]
    pub fn any_entry(self) -> usize {
        self.code() + off::ANY
    }

    /// Entry for a site whose `mov` is patched.
    #[must_use]
    pub fn known_entry(self) -> usize {
        self.code() + off::KNOWN
    }

    /// Where the slot has its call served in the program's place.
    #[must_use]
    pub fn upcall(self) -> usize {
        self.code() + off::UPCALL
    }

    /// The slot's own `syscall` instruction.
    #[must_use]
    pub fn syscall(self) -> usize {
        self.code() + off::SYSCALL
    }

    /// Prepares [`Slot::known_entry`] for number `nr`, whose `mov` is at `mov`.
    pub fn set_known(self, nr: u32, mov: usize, _lock: &Guard) {
        let here = |n: usize| {
            !observe::observed() && policy::class(n) == Class::Local && policy::denied(n).is_none()
        };
        let go = match nr as usize {
            nr::GETPID if here(nr::GETPID) => off::GETPID,
            nr::GETTID if here(nr::GETTID) => off::GETTID,
            n if posix::comes_back(n) && !observe::observed() => off::UPCALL,
            n if is_direct(n) => off::SYSCALL,
            _ => off::KERNEL,
        };
        // SAFETY: the lock is held, and the entry is not reachable yet.
        unsafe {
            let s = self.site();
            (*s).nr = nr;
            (*s).resume = mov;
            (*s).known = self.code() + go;
        }
    }

    /// Where the program is before it enters the slot at `entry`.
    #[must_use]
    pub fn not_entered(self, entry: usize) -> usize {
        // SAFETY: data of a slot that a site leads to is complete.
        unsafe {
            if entry == self.known_entry() {
                (*self.site()).resume
            } else {
                (*self.site()).site
            }
        }
    }

    /// Where execution at `rip`, inside this slot's code, is in terms of the program: after its `syscall` with the result
    /// in place, or before it with nothing done and the number in `rax`.
    #[must_use]
    pub fn program_counter(self, rip: usize, rax: u64) -> usize {
        let s = self.site();
        // SAFETY: data of a slot that executes is complete.
        let s = unsafe { &*s };
        let at = rip - self.code();
        if [off::SYSCALL_DONE, off::GETPID_DONE, off::GETTID_DONE]
            .iter()
            .any(|done| done.contains(&at))
        {
            return s.ret;
        }
        match at {
            off::KNOWN => s.resume,
            // Another number than the `mov` would load: the site was entered at its `syscall`, or Linux restarts a
            // call by restart_syscall(2).
            _ if rax != u64::from(s.nr) => s.site,
            _ => s.resume,
        }
    }
}

fn hash(site: usize) -> usize {
    (site.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % HASH
}

/// The slot of `site`, if it has one.
#[must_use]
pub fn find(site: usize) -> Option<Slot> {
    let mut h = hash(site);
    loop {
        let i = INDEX[h].load(Ordering::Acquire);
        if i == 0 {
            return None;
        }
        let slot = Slot(usize::from(i) - 1);
        // SAFETY: published slots have their site set for ever.
        if unsafe { (*slot.site()).site } == site {
            return Some(slot);
        }
        h = (h + 1) % HASH;
    }
}

/// The slot of `site`, made if there is none; `None` if all are in use.
pub fn find_or_make(site: usize, _lock: &Guard) -> Option<Slot> {
    if let Some(slot) = find(site) {
        return Some(slot);
    }
    let n = USED.load(Ordering::Relaxed);
    if n >= SLOTS {
        return None;
    }
    if n.is_multiple_of(PER_PAGE) && !make_page(n) {
        return None;
    }
    USED.store(n + 1, Ordering::Relaxed);
    let slot = Slot(n);
    // SAFETY: the lock is held, and the slot is not published yet.
    unsafe {
        *slot.site() = Site {
            nr: u32::MAX,
            patched: 0,
            ret: site + 2,
            site,
            resume: site,
            known: slot.code() + off::SYSCALL,
            reserved: [0; 3],
        };
    }
    let mut h = hash(site);
    while INDEX[h].load(Ordering::Relaxed) != 0 {
        h = (h + 1) % HASH;
    }
    INDEX[h].store(n as u16 + 1, Ordering::Release);
    Some(slot)
}

/// The code in `start..end` is about to go: what was learned of its sites holds no more.
pub fn forget(start: usize, end: usize, _lock: &Guard) {
    for n in 0..USED.load(Ordering::Relaxed) {
        let s = Slot(n).site();
        // SAFETY: the lock is held.
        unsafe {
            if (start..end).contains(&(*s).site) {
                (*s).nr = u32::MAX;
                (*s).resume = (*s).site;
                (*s).patched = 0;
            }
        }
    }
}

/// From now on Linux serves the calls that the kernel served alone.
pub fn forward_local(_lock: &Guard) {
    for n in 0..USED.load(Ordering::Relaxed) {
        let slot = Slot(n);
        // SAFETY: the lock is held; one aligned word, read by slots at any time.
        unsafe {
            let known = &raw mut (*slot.site()).known;
            if [off::GETPID, off::GETTID].contains(&(*known - slot.code())) {
                known.write_volatile(slot.code() + off::SYSCALL);
            }
        }
    }
}

/// Fills the code page of slots from `first` on and makes it executable.
fn make_page(first: usize) -> bool {
    for i in first..first + PER_PAGE {
        let slot = Slot(i);
        let mut c = Code {
            at: slot.code(),
            len: 0,
        };
        emit(&mut c, slot);
        if c.len > CODE_SIZE {
            report::fatal("a call slot is too long");
        }
    }
    // SAFETY: the page holds slots only, none of which is published.
    let r = unsafe { raw::syscall4(nr::MPROTECT, Slot(first).code(), 4096, 5, 0) };
    r == 0
}

/// Writes machine code at an address.
struct Code {
    at: usize,
    len: usize,
}

impl Code {
    fn bytes(&mut self, b: &[u8]) {
        for x in b {
            // SAFETY: within the code page that `make_page` fills, which is still writable and not published.
            unsafe { ((self.at + self.len) as *mut u8).write(*x) };
            self.len += 1;
        }
    }

    /// An instruction whose last four bytes are the distance to `target` from its end.
    fn rip_relative(&mut self, opcode: &[u8], target: usize) {
        self.bytes(opcode);
        let next = (self.at + self.len + 4) as i64;
        let d = (target as i64 - next) as i32;
        self.bytes(&d.to_le_bytes());
    }

    fn pad_to(&mut self, to: usize) {
        if self.len > to {
            report::fatal("a call slot's part is too long");
        }
        while self.len < to {
            self.bytes(&[0xcc]);
        }
    }

    /// A two-byte jump (`opcode` eb or e3) to offset `to` of this code.
    fn short(&mut self, opcode: u8, to: usize) {
        let d = to as i64 - (self.len as i64 + 2);
        self.bytes(&[opcode, d as i8 as u8]);
    }
}

fn emit(c: &mut Code, slot: Slot) {
    use super::block::offset;
    let data = slot.site() as usize;
    let (nr_at, ret_at) = (data, data + core::mem::offset_of!(Site, ret));
    let known_at = data + core::mem::offset_of!(Site, known);
    let back = |c: &mut Code| {
        // %rcx as Linux leaves it: the address after the `syscall`.
        c.rip_relative(&[0x48, 0x8b, 0x0d], ret_at); // mov ret, %rcx
        c.bytes(&[0xff, 0xe1]); // jmp *%rcx
    };
    let gs = |c: &mut Code, off: usize| {
        c.bytes(&[0x65, 0x8b, 0x04, 0x25]); // mov %gs:off, %eax
        c.bytes(&(off as u32).to_le_bytes());
    };
    c.rip_relative(&[0x8b, 0x05], nr_at); // mov nr, %eax
    c.rip_relative(&[0xff, 0x25], known_at); // jmp *known
    c.pad_to(off::SYSCALL);
    c.bytes(&[0x0f, 0x05]); // syscall
    back(c);
    c.pad_to(off::GETPID);
    gs(c, offset::PID);
    back(c);
    c.pad_to(off::GETTID);
    gs(c, offset::TID);
    back(c);
    c.pad_to(off::KERNEL);
    c.rip_relative(&[0x48, 0x8d, 0x0d], slot.code()); // lea slot, %rcx
    c.rip_relative(&[0xe9], KERNEL_ENTRY.load(Ordering::Relaxed)); // jmp kernel
    c.pad_to(off::ANY);
    // Forward if eax < 65536 and its class is 1; without touching a flag.
    c.bytes(&[0x89, 0xc1]); // mov %eax, %ecx
    c.bytes(&[0x0f, 0xc9]); // bswap %ecx
    c.bytes(&[0x0f, 0xb7, 0xc9]); // movzwl %cx, %ecx: the upper half of eax
    let after = c.len + 4;
    c.short(0xe3, after); // jrcxz
    c.short(0xeb, off::KERNEL);
    c.bytes(&[0x0f, 0xb7, 0xc8]); // movzwl %ax, %ecx
    c.rip_relative(&[0x4c, 0x8d, 0x1d], CLASSES.0.get() as usize); // lea classes, %r11
    c.bytes(&[0x41, 0x0f, 0xb6, 0x0c, 0x0b]); // movzbl (%r11,%rcx), %ecx
    c.short(0xe3, off::KERNEL); // jrcxz
    c.short(0xeb, off::SYSCALL);
    let upcall = UPCALL_ENTRY.load(Ordering::Relaxed);
    if upcall != 0 {
        c.pad_to(off::UPCALL);
        c.rip_relative(&[0x48, 0x8d, 0x0d], slot.code()); // lea slot, %rcx
        c.rip_relative(&[0xe9], upcall); // jmp upcall
    }
    c.pad_to(CODE_SIZE);
}
