//! Exceptions of the guest: page faults are served from what Linux has mapped; all else becomes the signal that Linux
//! would send.

use super::local;
use super::paging::{self, Mapping, PAGE, USER_END, bit};
use super::signals::{self, Trap};
use super::vcpu::Vcpu;
use crate::kernel::block::{self, BLOCK_SIZE, Block, CHANNEL};
use crate::kernel::{IMAGE, IMAGE_SIZE, memory, observe, user};
use crate::raw;
use crate::report;
use core::arch::global_asm;
use core::ops::Range;
use core::sync::atomic::Ordering;

unsafe extern "C" {
    /// Reads a byte at `at`: 0 if that could be done, else 1.
    fn hrt_touch_read(at: usize) -> usize;
    /// Writes a byte at `at`, with the value that it has.
    fn hrt_touch_write(at: usize) -> usize;
    fn hrt_touch_failed();
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_touch_read
hrt_touch_read:
    movb    (%rdi), %al
    xorl    %eax, %eax
    ret
    .balign 16
    .globl  hrt_touch_write
hrt_touch_write:
    lock orb $0, (%rdi)
    xorl    %eax, %eax
    ret
    .globl  hrt_touch_failed
hrt_touch_failed:
    movl    $1, %eax
    ret
    "#,
    options(att_syntax)
);

/// If `rip` is an access of the partner's that may fail: where it goes on then.
#[must_use]
pub fn guarded(rip: usize) -> Option<usize> {
    let access = [
        hrt_touch_read as *const () as usize,
        hrt_touch_write as *const () as usize,
    ];
    access
        .contains(&rip)
        .then_some(hrt_touch_failed as *const () as usize)
}

/// Accesses the program's memory at `at` as the program would, which may make its stack grow.
///
/// False if Linux sends a signal for it, whose siginfo is in the virtual CPU's `refused` then.
#[must_use]
pub fn touch(at: usize, write: bool) -> bool {
    const FAULTS: u64 = 1 << (signals::SIGSEGV - 1) | 1 << (signals::SIGBUS - 1);
    let held = [signals::SIGSEGV, signals::SIGBUS].map(|sig| (sig, signals::catch(sig)));
    let mask = raw::sigmask(raw::SIG_UNBLOCK, FAULTS);
    // SAFETY: a fault leads to `hrt_touch_failed`; a write leaves the value.
    let r = unsafe {
        if write {
            hrt_touch_write(at)
        } else {
            hrt_touch_read(at)
        }
    };
    if mask & FAULTS != 0 {
        raw::sigmask(raw::SIG_BLOCK, mask & FAULTS);
    }
    for (sig, held) in held {
        if let Some(held) = held {
            signals::put_back(sig, &held);
        }
    }
    r == 0
}

/// Ranges that the program may read and not write: the kernel's.
fn kernel_ranges() -> impl Iterator<Item = Range<usize>> {
    let image = IMAGE.load(Ordering::Relaxed);
    let shared = crate::kernel::shared();
    [
        image..shared.start,
        shared.end..image + IMAGE_SIZE.load(Ordering::Relaxed),
    ]
    .into_iter()
    .chain(paging::chunks())
    .chain(block::all().map(|b| b as usize..b as usize + BLOCK_SIZE))
}

/// True if some of `from..to` is the kernel's.
#[must_use]
pub fn kernels(from: usize, to: usize) -> bool {
    kernel_ranges().any(|r| r.start < to && from < r.end)
}

/// The part of `m` around `at` that is all the kernel's or all the program's.
fn clip(m: &Mapping, at: usize) -> Mapping {
    let mut m = *m;
    for r in kernel_ranges() {
        if r.contains(&at) {
            if block::all().any(|b| (at & !(PAGE - 1)) == b as usize + CHANNEL) {
                // A channel's page, which the program writes.
                (m.start, m.end) = (at & !(PAGE - 1), (at & !(PAGE - 1)) + PAGE);
                break;
            }
            // In ring 0 nothing could keep the program from it; here it is read-only.
            m.write = false;
            m.start = m.start.max(r.start);
            m.end = m.end.min(r.end);
            break;
        }
        if r.start > at {
            m.end = m.end.min(r.start);
        } else if r.end <= at {
            m.start = m.start.max(r.end.min(at));
        }
    }
    m
}

/// Bits of a page fault's error code (Intel SDM 3A, 4.7).
mod error {
    pub const WRITE: u64 = 2;
    pub const FETCH: u64 = 16;
    pub const USER: u64 = 4;
    pub const PRESENT: u64 = 1;
}

/// Serves exception `vector`.
pub fn exception(b: *mut Block, v: &mut Vcpu, mut vector: u8, mut code: u64) {
    match by_instruction(v, vector) {
        Some(0x80) => {
            if vector != 0x80 {
                v.regs.rip += 2;
            }
            super::partner::legacy(v);
            return;
        }
        Some(n @ (3 | 4)) => {
            v.regs.rip += 2;
            (vector, code) = (n, 0);
        }
        Some(n) => (vector, code) = (13, u64::from(n) * 8 + 2),
        None => {}
    }
    let rip = v.regs.rip;
    let trap = Trap {
        number: u64::from(vector),
        error: code,
        cr2: 0,
    };
    const SI_KERNEL: i32 = 0x80;
    let (sig, si_code, at) = match vector {
        14 => {
            let at = v.fault as usize;
            page_fault(b, v, at, code);
            return;
        }
        0 => (signals::SIGFPE, 1, rip),  // FPE_INTDIV
        1 => (signals::SIGTRAP, 2, rip), // TRAP_TRACE
        3 => (signals::SIGTRAP, SI_KERNEL, 0),
        6 => (signals::SIGILL, 2, rip), // ILL_ILLOPN
        11 | 12 => (signals::SIGBUS, SI_KERNEL, 0),
        16 | 19 => (signals::SIGFPE, float_code(v, vector), rip),
        17 => (signals::SIGBUS, 1, 0), // BUS_ADRALN
        _ => (signals::SIGSEGV, SI_KERNEL, 0),
    };
    let info = signals::info(sig, si_code, at);
    // The CPU's trap that leads here has run the instruction; Linux's default action must not run it again.
    let again = !matches!(vector, 1 | 3 | 4);
    signals::raise(b, v, &info, trap, again);
}

/// The number of the `int` that shows itself by exception `vector`: where ring 0 is emulated, by an undefined instruction.
fn by_instruction(v: &Vcpu, vector: u8) -> Option<u8> {
    let mut code = [0u8; 2];
    match vector {
        0x80 => Some(0x80),
        6 | 13 if user::read(v.regs.rip as usize, &mut code) && code[0] == 0xcd => Some(code[1]),
        _ => None,
    }
}

/// `si_code` of SIGFPE (Linux, `fpu__exception_code`).
fn float_code(v: &mut Vcpu, vector: u8) -> i32 {
    v.get_xsave();
    let word = |at: usize| u32::from(u16::from_le_bytes([v.xsave[at], v.xsave[at + 1]]));
    let raised = if vector == 16 {
        // The control word's masks and the status word's flags.
        !word(0) & word(2)
    } else {
        let mxcsr = word(24);
        !(mxcsr >> 7) & mxcsr
    };
    match raised {
        e if e & 1 != 0 => 7,    // FPE_FLTINV
        e if e & 4 != 0 => 3,    // FPE_FLTDIV
        e if e & 8 != 0 => 4,    // FPE_FLTOVF
        e if e & 0x12 != 0 => 5, // FPE_FLTUND
        e if e & 0x20 != 0 => 6, // FPE_FLTRES
        _ => 0,
    }
}

/// `si_code` of SIGSEGV: nothing is mapped, or not for that.
const SEGV_MAPERR: i32 = 1;
pub const SEGV_ACCERR: i32 = 2;

/// What a page fault leaves in a signal frame.
#[must_use]
pub fn trap(at: usize, code: u64) -> Trap {
    Trap {
        number: 14,
        error: code | error::USER,
        cr2: at as u64,
    }
}

fn page_fault(b: *mut Block, v: &mut Vcpu, at: usize, code: u64) {
    observe::FAULTS.fetch_add(1, Ordering::Relaxed);
    let write = code & error::WRITE != 0;
    let fetch = code & error::FETCH != 0;
    if at >= USER_END {
        if fetch && super::partner::vsyscall(b, v, at) {
            return;
        }
        let info = signals::info(signals::SIGSEGV, SEGV_MAPERR, at as u64);
        signals::raise(b, v, &info, trap(at, code | error::PRESENT), true);
        return;
    }
    if let Some(entry) = local::entry(at) {
        if fetch || write || entry & bit::PRESENT == 0 {
            let info = signals::info(signals::SIGSEGV, SEGV_ACCERR, at as u64);
            signals::raise(b, v, &info, trap(at, code), true);
        }
        return;
    }
    let careful = v.careful != 0 && v.careful == v.regs.rip;
    if !careful {
        v.careful = 0;
    }
    let mut found = None;
    // Twice: Linux may make the stack grow.
    for grown in [false, true] {
        found = paging::mapping(at);
        let allowed = found
            .map(|m| clip(&m, at))
            .filter(|m| match (fetch, write) {
                (true, _) => m.execute,
                (_, true) => m.write,
                _ => m.read || m.write || m.execute,
            });
        if let Some(m) = allowed {
            if careful && !touch(at, write) {
                refuse(b, v, at, code);
                return;
            }
            let page = at & !(PAGE - 1);
            let (from, to) = if careful {
                (page, page + PAGE)
            } else {
                (m.start, m.end)
            };
            if let Err(why) = paging::fill(from, to, at, m.bits(), m.since) {
                report::fatal(why);
            }
            return;
        }
        if grown {
            break;
        }
        let kernel = write && kernels(at, at + 1);
        // What is mapped cannot grow; only for what may be executed alone may Linux have another answer (a protection key).
        let certain = found.is_some_and(|m| m.read || m.write || !m.execute);
        if fetch || kernel || certain {
            break;
        }
        if !touch(at, write) {
            refuse(b, v, at, code);
            return;
        }
    }
    let why = if found.is_some() && !memory::keeps(at) {
        SEGV_ACCERR
    } else {
        SEGV_MAPERR
    };
    let info = signals::info(signals::SIGSEGV, why, at as u64);
    signals::raise(b, v, &info, trap(at, code), true);
}

/// An exception of the guest's kernel, where it may have one: at an access to the program's memory, or to what is read of the image. That is
/// tried again if Linux allows it, else it is an answer.
pub fn kernel(v: &mut Vcpu, vector: u8, error: u64) {
    let at = v.fault as usize;
    if vector == 14 && at < USER_END && local::entry(at).is_none() {
        let m = paging::mapping(at).map(|m| clip(&m, at));
        let allowed = m.filter(|m| match error & (error::WRITE | error::FETCH) {
            0 => m.read,
            error::WRITE => m.write,
            _ => m.execute,
        });
        if allowed.is_some_and(|m| paging::fill(m.start, m.end, at, m.bits(), m.since).is_ok()) {
            return;
        }
    }
    match local::guarded(v.regs.rip) {
        Some(failed) => v.regs.rip = failed,
        None => v.die("an exception in the kernel", isize::from(vector)),
    }
}

/// Delivers the signal that Linux sent to the partner for the program's access.
fn refuse(b: *mut Block, v: &mut Vcpu, at: usize, code: u64) {
    // Written by the signal's handler.
    // SAFETY: a field of ours.
    let mut info = unsafe { (&raw const v.refused).read_volatile() };
    // si_addr
    info[2] = at as u64;
    v.careful = 0;
    signals::raise(b, v, &info, trap(at, code), true);
}

/// Linux refused an access of the guest without saying which: with all entries gone, the instruction faults at each
/// page that it needs, and the access is then tried by the partner first.
pub fn refused(v: &mut Vcpu) {
    /// Refusals at one instruction without any elsewhere. Some are to be expected of an instruction that writes all the time, while another
    /// thread takes away the right to.
    const MOST: u32 = 10_000;
    v.refusals = if v.careful == v.regs.rip {
        v.refusals + 1
    } else {
        0
    };
    if v.refusals > MOST {
        v.die("Linux refuses an access again and again", 14);
    }
    v.careful = v.regs.rip;
    local::without_lazy(0, USER_END, || v.unmap(0, USER_END));
}
