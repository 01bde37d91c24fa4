//! The kernel's dispatch of a system call that a slot handed over: served here, mediated, or sent on to Linux.
//!
//! A call is sent on by the slot's own `syscall`, on the program's stack, after the kernel has been left: so nothing of
//! the kernel's is in use while a call blocks, and a signal finds the program where it would without us.

use super::frame::{self, Frame, SPILL_BELOW, Spill};
use super::signals::{self, Context, SIGSYS_BIT, reg};
use super::{threads, upcall};
use crate::channel;
use crate::kernel::asm::{hrt_exit_thread, int80};
use crate::kernel::block::{self, Block};
use crate::kernel::slots::{self, Slot};
use crate::kernel::{
    CONFINED, TRAPS, api, children, jail, memory, modules, observe, patch, policy, user,
};
use crate::raw::{self, errno, map, nr};
use crate::report;
use crate::threads::posix;
use crate::threads::switch::{hrt_resume, set_fs};
use core::sync::atomic::Ordering;
use hrt_kernel::bpf;
use hrt_kernel::classes::Class;

/// Where a call goes after the kernel is left.
enum Next {
    /// Back to the program, with this result.
    Done(isize),
    /// To Linux, as it is.
    Forward,
}

/// Serves the call whose registers are in `frame`; `frame.target` and the registers then say how the program goes on.
///
/// # Safety
/// Only `hrt_kernel_entry` may call this, with the frame it has just saved.
pub unsafe extern "C" fn hrt_dispatch(frame: *mut Frame) {
    // SAFETY: the entry's promise: a complete frame, used by nobody else.
    let f = unsafe { &mut *frame };
    let b = block::current();
    let Some(slot) = Slot::containing(f.slot as usize) else {
        report::fatal("the kernel was entered from nowhere");
    };
    // Linux looks at the lower half alone (`do_syscall_64` takes an int).
    let number = f.nr as u32 as usize;
    // Where a child of clone goes on, too, which starts with a copy of this frame.
    // SAFETY: the data of a slot in use is complete.
    f.target = unsafe { (*slot.site()).ret } as u64;
    if observe::counting() {
        observe::count(b, number);
    }
    let next = match policy::class(number) {
        Class::Local => local(b, number),
        Class::Forward => Next::Forward,
        // SAFETY: the entry's promise.
        Class::Mediated => match unsafe { mediate(b, f, slot, number) } {
            Some(next) => next,
            None => return,
        },
    };
    match next {
        Next::Done(r) => {
            f.rax = r as u64;
            if observe::tracing() {
                observe::trace(b, number, &f.args(), Some(r));
            }
        }
        Next::Forward => forward(b, f, slot, number),
    }
    posix::at_exit();
}

/// Sends the call on to Linux.
fn forward(b: *mut Block, f: &mut Frame, slot: Slot, number: usize) {
    f.rax = f.nr;
    f.target = slot.syscall() as u64;
    if observe::tracing() {
        let args = f.args();
        let returns = !matches!(
            number,
            nr::RT_SIGRETURN | nr::EXIT | nr::EXIT_GROUP | nr::EXECVE | nr::EXECVEAT
        );
        // The result is seen only by a call that comes back here, which needs room on the program's stack.
        if !(returns && spill(f, |_, _| {})) {
            observe::trace(b, number, &args, None);
        }
    }
}

/// Sends the call on to Linux by way of a [`Spill`], with the arguments that `change` makes; `change` gets the spill's
/// address, too. False if there is no room on the program's stack.
fn spill(f: &mut Frame, change: impl FnOnce(&mut Spill, usize)) -> bool {
    let at = (f.rsp as usize).wrapping_sub(SPILL_BELOW);
    let mut s = Spill {
        slot: f.slot,
        nr: f.nr,
        args: f.args().map(|a| a as u64),
        mask: 0,
        pair: [0; 2],
        reserved: [0; 5],
    };
    let own = s.args;
    change(&mut s, at);
    let new = core::mem::replace(&mut s.args, own);
    if !user::put(at, &s) {
        return false;
    }
    f.rsp = at as u64;
    f.target = frame::hrt_spilled_syscall as *const () as usize as u64;
    f.rax = f.nr;
    [f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9] = new;
    true
}

/// Takes the program back over a call that [`spill`] sent on.
///
/// # Safety
/// Only the code at `hrt_spilled_return` may call this, with the frame it has just saved.
pub unsafe extern "C" fn hrt_after(frame: *mut Frame) {
    // SAFETY: the caller's promise.
    let f = unsafe { &mut *frame };
    let at = f.rsp as usize;
    // SAFETY: the stack pointer is at the spill, which has just been read by the caller.
    let s = unsafe { &*(at as *const Spill) };
    let Some(slot) = Slot::containing(s.slot as usize) else {
        report::fatal("the program's stack was overwritten during a system call");
    };
    [f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9] = s.args;
    f.rsp = (at + SPILL_BELOW) as u64;
    // SAFETY: the data of a slot in use is complete.
    f.target = unsafe { (*slot.site()).ret } as u64;
    trace_interrupted(s, f.rax);
}

/// The trace's part of the end of a call that [`spill`] sent on.
pub fn trace_interrupted(s: &Spill, result: u64) {
    if observe::tracing() {
        observe::trace(
            block::current(),
            s.nr as u32 as usize,
            &s.args.map(|a| a as usize),
            Some(result as isize),
        );
    }
}

fn local(b: *mut Block, number: usize) -> Next {
    if let Some(error) = policy::denied(number) {
        return Next::Done(raw::err(error));
    }
    if CONFINED.load(Ordering::Relaxed) {
        // The jail may have something to say about it.
        return Next::Forward;
    }
    // SAFETY: the calling thread's own block.
    unsafe {
        match number {
            nr::GETPID => Next::Done((*b).pid as isize),
            nr::GETTID => Next::Done((*b).tid as isize),
            _ => Next::Forward,
        }
    }
}

/// Serves a mediated call; `None` if the frame already says how the program goes on.
///
/// # Safety
/// `f` must be the calling thread's frame at the top of its kernel stack.
unsafe fn mediate(b: *mut Block, f: &mut Frame, slot: Slot, number: usize) -> Option<Next> {
    let args = f.args();
    let [a0, a1, a2, a3, a4, a5] = args;
    if number == nr::MPROTECT {
        // Nothing else has to do with it, and collectors make very many.
        memory::protects(a0, a1, a2);
        return Some(Next::Forward);
    }
    channel::before(b, number, &args);
    if upcall::wants(number, &args) {
        if observe::tracing() {
            observe::trace(b, number, &args, None);
        }
        f.rax = f.nr;
        f.target = slot.upcall() as u64;
        return None;
    }
    if let Some(r) = posix::mediate(b, number, &args) {
        return Some(Next::Done(r));
    }
    Some(match number {
        nr::MMAP => mmap(&args),
        nr::PKEY_MPROTECT => {
            if modules::ends_code(a2) {
                modules::forget(a0, a1);
            }
            served(number, &args)
        }
        nr::MUNMAP => {
            modules::forget(a0, a1);
            served(number, &args)
        }
        nr::MREMAP => {
            modules::forget(a0, a1);
            if a3 & 2 != 0 {
                modules::forget(a4, a2); // MREMAP_FIXED
            }
            served(number, &args)
        }
        nr::RT_SIGACTION => Next::Done(signals::sigaction(a0, a1, a2, a3)),
        nr::RT_SIGPROCMASK => {
            let Some(r) = signals::sigprocmask(a0, a1, a2, a3) else {
                again(b, f, slot, number);
                return None;
            };
            if a1 != 0 {
                posix::mask_changed(b);
            }
            Next::Done(r)
        }
        nr::RT_SIGPENDING => Next::Done(signals::sigpending(b, a0, a1)),
        nr::RT_SIGTIMEDWAIT => {
            signals::sigtimedwait(b, a0, a1, a3).map_or(Next::Forward, Next::Done)
        }
        nr::SIGALTSTACK => Next::Done(block::sigaltstack(b, a0, a1, f.rsp as usize, || {
            signals::set_signal_stack(b);
        })),
        nr::RT_SIGSUSPEND => return masked(f, a0, a1, |s, mask, _| s.args[0] = mask),
        nr::PPOLL => return masked(f, a3, a4, |s, mask, _| s.args[3] = mask),
        nr::EPOLL_PWAIT | nr::EPOLL_PWAIT2 => {
            return masked(f, a4, a5, |s, mask, _| s.args[4] = mask);
        }
        nr::PSELECT6 => {
            let [mask, size] = match a5 {
                0 => [0; 2],
                at => user::get(at).unwrap_or([0; 2]),
            };
            return masked(f, mask, size, |s, mask, at| {
                s.pair = [mask, 8];
                s.args[5] = (at + core::mem::offset_of!(Spill, pair)) as u64;
            });
        }
        nr::CLONE | nr::FORK | nr::VFORK => {
            // SAFETY: the caller's promise.
            Next::Done(unsafe { threads::clone(b, f) })
        }
        // SAFETY: the caller's promise.
        nr::CLONE3 => unsafe { threads::clone3(b, f) }.map_or(Next::Forward, Next::Done),
        nr::EXECVE | nr::EXECVEAT => {
            if signals::before_exec() {
                if observe::tracing() {
                    observe::trace(b, number, &args, None);
                }
                // SAFETY: the program asked for it; what it returns is a failure.
                let r = unsafe { raw::syscall6(number, args) };
                signals::after_failed_exec();
                Next::Done(r)
            } else {
                Next::Forward
            }
        }
        nr::EXIT if posix::is_mine() => {
            // SAFETY: the carrier goes on with it.
            match posix::end(b, |fs| unsafe { set_fs(fs) }) {
                Some(sp) => {
                    if observe::tracing() {
                        observe::trace(b, number, &args, None);
                    }
                    f.rsp = sp as u64;
                    f.target = hrt_resume as *const () as usize as u64;
                }
                None => {
                    f.rax = f.nr;
                    f.target = slot.any_entry() as u64;
                }
            }
            return None;
        }
        nr::EXIT => return end(b, f, slot, number),
        nr::EXIT_GROUP => {
            if children::shares(b) {
                return end(b, f, slot, number);
            }
            if !children::borrows(b) {
                observe::report(b);
            }
            Next::Forward
        }
        nr::PRCTL => match a0 {
            // The program gets to know Linux as one built without the dispatch, which is the kernel's.
            59 => Next::Done(raw::err(errno::EINVAL)),
            // PR_SET_SECCOMP
            22 => {
                confine(a1 == 1, a2);
                Next::Forward
            }
            _ => Next::Forward,
        },
        nr::SECCOMP => {
            // SECCOMP_SET_MODE_STRICT and SECCOMP_SET_MODE_FILTER; others only ask
            if a0 < 2 {
                confine(a0 == 0, a2);
            }
            Next::Forward
        }
        nr::ARCH_PRCTL => match a0 as u32 {
            // The GS base is the kernel's; to the program it is 0, and stays so.
            0x1001 if a1 == 0 => Next::Done(0),
            0x1001 => Next::Done(raw::err(errno::EPERM)),
            0x1004 => Next::Done(if user::put(a1, &0u64) {
                0
            } else {
                raw::err(errno::EFAULT)
            }),
            _ => Next::Forward,
        },
        hrt_abi::api::CALL => Next::Done(api::call(
            || hrt_abi::api::Info {
                abi: hrt_abi::ABI_VERSION,
                platform: 2,
                ring: 3,
                emulated: 0,
            },
            &args,
        )),
        _ => served(number, &args),
    })
}

fn mmap(args: &[usize; 6]) -> Next {
    let [addr, len, prot, flags, ..] = *args;
    if flags & map::FIXED != 0 {
        modules::forget(addr, len);
    }
    if !modules::is_code(prot, flags) {
        return served(nr::MMAP, args);
    }
    // SAFETY: the program asked for it.
    let linux = |args: &[usize; 6]| unsafe { raw::syscall6(nr::MMAP, *args) };
    let r = memory::serve(nr::MMAP, args, linux).unwrap_or_else(|| linux(args));
    if !raw::is_err(r) {
        modules::mapped(r as usize, len);
    }
    Next::Done(r)
}

/// A call that may have to do with memory.
fn served(number: usize, args: &[usize; 6]) -> Next {
    // SAFETY: the program asked for it.
    let linux = |args: &[usize; 6]| unsafe { raw::syscall6(number, *args) };
    memory::serve(number, args, linux).map_or(Next::Forward, Next::Done)
}

/// A call that puts the signal mask at `mask` in place while it waits: SIGSYS is taken out, for the dispatch.
fn masked(
    f: &mut Frame,
    mask: usize,
    size: usize,
    set: impl FnOnce(&mut Spill, u64, usize),
) -> Option<Next> {
    if mask == 0 || size != 8 {
        return Some(Next::Forward);
    }
    let Some(value) = user::get::<u64>(mask).filter(|v| v & SIGSYS_BIT != 0) else {
        return Some(Next::Forward);
    };
    let done = spill(f, |s, at| {
        s.mask = value & !SIGSYS_BIT;
        set(s, (at + core::mem::offset_of!(Spill, mask)) as u64, at);
    });
    if done { None } else { Some(Next::Forward) }
}

/// The program goes on where it makes the call, once the signals that wait have come.
fn again(b: *mut Block, f: &mut Frame, slot: Slot, number: usize) {
    if observe::counting() {
        observe::uncount(b, number);
    }
    f.rax = f.nr;
    f.target = slot.any_entry() as u64;
}

fn end(b: *mut Block, f: &mut Frame, slot: Slot, number: usize) -> Option<Next> {
    match threads::end(b, || observe::report(b)) {
        threads::End::Forward => Some(Next::Forward),
        threads::End::Signals => {
            again(b, f, slot, number);
            None
        }
        threads::End::Free => {
            if observe::tracing() {
                observe::trace(b, number, &f.args(), None);
            }
            f.rax = f.nr;
            f.target = hrt_exit_thread as *const () as usize as u64;
            None
        }
    }
}

/// The program goes into a jail: from now on the kernel makes no call of its own accord. A `strict` one
/// (SECCOMP_MODE_STRICT) leaves not even what a report takes; else `program` is a `struct sock_fprog`.
fn confine(strict: bool, program: usize) {
    let allows = jail::allows(strict, program);
    if ![nr::OPEN, nr::WRITE, nr::CLOSE].into_iter().all(&allows) {
        observe::forbid();
    }
    memory::retire();
    if !allows(nr::RT_SIGRETURN) {
        // A trap could not be returned from.
        super::dispatch_off();
    }
    if !CONFINED.swap(true, Ordering::AcqRel) {
        jail::withdraw();
    }
}

/// A call that Syscall User Dispatch trapped: the context goes on in the site's slot.
pub fn trapped(b: *mut Block, c: &Context, arch: u32) {
    TRAPS.fetch_add(1, Ordering::Relaxed);
    let rax = c.get(reg::RAX);
    if arch != bpf::ARCH {
        legacy(c);
        return;
    }
    let site = c.get(reg::RIP) as usize - 2;
    let lock = slots::lock();
    if let Some(slot) = slots::find_or_make(site, &lock) {
        patch::try_patch(slot, rax, &lock);
        c.set(reg::RIP, slot.any_entry() as u64);
        return;
    }
    drop(lock);
    // No slot is left. What is sent on as it is can be made from here.
    let number = rax as u32 as usize;
    match policy::class(number) {
        Class::Mediated => {
            report::fatal("too many system-call sites (the program makes new ones all the time)")
        }
        Class::Local => {
            if let Next::Done(r) = local(b, number) {
                c.set(reg::RAX, r as u64);
            }
        }
        Class::Forward => {
            let mask = raw::set_sigmask(c.mask());
            let args = [reg::RDI, reg::RSI, reg::RDX, reg::R10, reg::R8, reg::R9];
            // SAFETY: the program asked for it.
            let r = unsafe { raw::syscall6(number, args.map(|a| c.get(a) as usize)) };
            raw::set_sigmask(mask);
            c.set(reg::RAX, r as u64);
        }
    }
}

/// A call by `int $0x80`, with the numbers and the pointers of i386: always Linux's.
fn legacy(c: &Context) {
    let regs = [
        reg::RAX,
        reg::RBX,
        reg::RCX,
        reg::RDX,
        reg::RSI,
        reg::RDI,
        reg::RBP,
    ];
    c.set(reg::RAX, int80(regs.map(|r| c.get(r))));
}
