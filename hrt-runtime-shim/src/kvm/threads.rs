//! Threads and processes: each thread of the program is a Linux thread, the partner, that runs a virtual CPU of its own.
//!
//! A child that shares memory gets its block and virtual CPU from its parent, before Linux makes it: so the descriptor is in the
//! tables of both. The child of a fork makes a VM of its own, since a VM belongs to one address space.

use super::local;
use super::paging;
use super::partner;
use super::signals::{self, KEPT};
use super::vcpu::{self, Vcpu};
use crate::channel::{posts, server};
use crate::functions::heap;
use crate::kernel::block::{self, BLOCK_SIZE, Block};
use crate::kernel::children::{self, CloneArgs, flag};
use crate::kernel::{patch, set_gs, slots};
use crate::raw::{self, errno, nr};
use crate::threads::posix;
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    /// clone(2) onto a child's kernel stack, where [`child`] is called.
    fn hrt_kvm_clone(flags: usize, stack: usize, ptid: usize, ctid: usize, tls: usize) -> isize;
    /// clone3(2), likewise.
    fn hrt_kvm_clone3(args: usize, size: usize) -> isize;
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_kvm_clone
hrt_kvm_clone:
    movq    %rcx, %r10
    movl    $56, %eax
    jmp     1f
    .globl  hrt_kvm_clone3
hrt_kvm_clone3:
    movl    $435, %eax
1:  syscall
    testq   %rax, %rax
    jz      2f
    ret
2:  movq    %rsp, %rdi
    andq    $-16, %rsp
    xorl    %ebp, %ebp
    call    {child}
    ud2
    "#,
    child = sym child,
    options(att_syntax)
);

/// The status with which the process's first thread has ended.
static LEADER_STATUS: AtomicUsize = AtomicUsize::new(0);

/// Room at the top of a new thread's kernel stack.
const TOP: usize = 64;

/// Serves `clone`, `fork` and `vfork`.
pub fn clone(b: *mut Block, v: &mut Vcpu, number: usize, args: &[usize; 6]) -> isize {
    let [flags, stack, ptid, ctid, tls] = children::arguments(number, args);
    start(b, v, flags as u64, stack, tls as u64, |child| match child {
        // SAFETY: the child runs on its own block, which is complete.
        Some(sp) => unsafe { hrt_kvm_clone(flags, sp, ptid, ctid, tls) },
        // SAFETY: a copy of the process goes on right here.
        None => unsafe { raw::syscall6(nr::CLONE, [flags, 0, ptid, ctid, tls, 0]) },
    })
}

/// Serves `clone3`; `None` if the arguments are for Linux to refuse.
pub fn clone3(b: *mut Block, v: &mut Vcpu, args: usize, size: usize) -> Option<isize> {
    let mut own = CloneArgs::read(args, size)?;
    let (flags, stack, tls) = (own.flags(), own.stack(), own.tls());
    Some(start(b, v, flags, stack, tls, |child| {
        let (at, size) = own.on_stack(child);
        match child {
            // SAFETY: the child runs on its own block, which is complete.
            Some(_) => unsafe { hrt_kvm_clone3(at, size) },
            // SAFETY: a copy of the process goes on right here.
            None => unsafe { raw::syscall4(nr::CLONE3, at, size, 0, 0) },
        }
    }))
}

/// Blocks all signals and returns the program's mask; `None`, with nothing changed, if one waits already.
pub fn block_signals(v: &mut Vcpu) -> Option<u64> {
    let mask = raw::set_sigmask(raw::ALL_SIGNALS);
    // One that waits has blocked all others already.
    (v.signals.pending.load(Ordering::Acquire) == 0).then_some(mask)
}

/// `call` makes the call, on the given stack pointer if there is one; then it returns in the parent only.
fn start(
    b: *mut Block,
    v: &mut Vcpu,
    flags: u64,
    stack: usize,
    tls: u64,
    mut call: impl FnMut(Option<usize>) -> isize,
) -> isize {
    let real = raw::set_sigmask(raw::ALL_SIGNALS);
    // A signal that waits has blocked all others already.
    let mask = match signals::waiting(b) {
        None => real,
        // The kernel makes the thread, in the guest; the signal comes after that.
        Some((mask, _)) if posix::works() => mask,
        Some(_) => return KEPT,
    };
    let fs = if flags & flag::SETTLS != 0 {
        tls
    } else {
        v.sregs().fs.base
    };
    v.get_xsave();
    if flags & flag::VM == 0 {
        return copy(b, v, mask, stack, fs, || call(None));
    }
    let Some(child) = prepare(v, fs) else {
        raw::set_sigmask(real);
        return raw::err(errno::EAGAIN);
    };
    // SAFETY: the child's block is ours until the child runs.
    unsafe {
        let c = &mut *vcpu::of(child);
        c.regs = v.regs;
        c.regs.rax = 0;
        if stack != 0 {
            c.regs.rsp = stack as u64;
        }
        children::prepare(child, b, flags);
        (*child).deferred_mask = mask;
    }
    if flags & flag::THREAD != 0 && !children::borrows(b) && flags & flag::SHARED != flag::SHARED {
        // It has descriptors or directories of its own.
        server::forbid();
    }
    // SAFETY: the child's block is ours until the child runs, and complete.
    let r = unsafe {
        let at = (*child).stack_top - TOP;
        children::make(child, flags, || call(Some(at)))
    };
    raw::set_sigmask(real);
    r
}

/// A block with a virtual CPU whose vector state is that in `v.xsave`.
fn prepare(v: &Vcpu, fs: u64) -> Option<*mut Block> {
    let child = block::take().ok()?;
    // SAFETY: the block is ours.
    let c = unsafe { &mut *vcpu::of(child) };
    c.signals = super::signals::State::new();
    if !c.exists() {
        if c.create().is_err() {
            // SAFETY: no thread runs on it.
            unsafe { block::give_back(child) };
            return None;
        }
        c.set_bases(fs);
    } else {
        c.reset(fs);
    }
    local::equip(child, c);
    local::mask_is(child, None);
    c.xsave = v.xsave;
    c.set_xsave();
    Some(child)
}

/// A new thread's first steps, on its own kernel stack.
///
/// # Safety
/// Only `hrt_kvm_clone` and `hrt_kvm_clone3` may call this, in a child that [`start`] prepared.
unsafe extern "C" fn child(sp: usize) -> ! {
    let b = (sp & !(BLOCK_SIZE - 1)) as *mut Block;
    set_gs(b);
    // SAFETY: the block is this thread's.
    let mask = unsafe {
        children::identify(b);
        (*b).deferred_mask
    };
    raw::set_sigmask(mask);
    partner::work(b)
}

/// fork: the child is a copy of the process.
fn copy(
    b: *mut Block,
    v: &mut Vcpu,
    mask: u64,
    stack: usize,
    fs: u64,
    call: impl FnOnce() -> isize,
) -> isize {
    // Held, so that the child's copies of what they guard are whole.
    let held = heap::before_fork();
    let lock = slots::lock();
    let r = paging::with_lock(call);
    drop(lock);
    heap::after_fork(held, (r == 0).then_some(b));
    if r == 0 {
        // SAFETY: the calling thread's own block.
        unsafe { children::copied(b) };
        local::after_fork();
        if stack != 0 {
            v.regs.rsp = stack as u64;
        }
        v.regs.rax = 0;
        super::unmake();
        if super::remake(v, fs).is_err() {
            // As `auto` does at the start: the program runs all the same.
            partner::give_up(v, fs, mask);
        }
    }
    raw::set_sigmask(mask);
    r
}

/// exit(2): ends the calling thread. Returns only if a signal waits, which comes first.
pub fn exit(b: *mut Block, v: &mut Vcpu, status: usize, report: impl FnOnce()) -> isize {
    if block_signals(v).is_none() {
        return KEPT;
    }
    // SAFETY: the calling thread's own block.
    let borrowed = unsafe { (*b).borrowed };
    if borrowed == children::VFORKED {
        // Its parent has the block.
        loop {
            // SAFETY: exit(2) does not return.
            unsafe { raw::syscall4(nr::EXIT, status, 0, 0, 0) };
        }
    }
    heap::thread_ends(b);
    if borrowed == 0 {
        posts::thread_ends();
    }
    patch::THREADS.fetch_sub(1, Ordering::AcqRel);
    if borrowed == 0 {
        // SAFETY: as above.
        if unsafe { (*b).pid == (*b).tid } {
            LEADER_STATUS.store(status, Ordering::Relaxed);
        }
        if crate::threads::ends() {
            report();
            // Linux has made a thread of its own for the VM, which the process would wait for.
            raw::exit_group(LEADER_STATUS.load(Ordering::Relaxed) as i32);
        }
    }
    // SAFETY: frees the block as the last thing before the call, and needs no stack.
    unsafe {
        core::arch::asm!(
            "jmp {exit}",
            exit = sym crate::kernel::asm::hrt_exit_thread,
            in("rax") nr::EXIT,
            in("rdi") status,
            options(noreturn)
        );
    }
}

/// True if the calling thread is its process's only one, and its memory's.
#[must_use]
pub fn alone(b: *mut Block) -> bool {
    !children::borrows(b) && patch::THREADS.load(Ordering::Acquire) == 1
}
