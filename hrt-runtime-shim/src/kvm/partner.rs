//! The partner's work: it runs the guest, and serves what the guest was left for. A system call is made on the program's own
//! pointers by the thread that the program takes for its own; some take work of the kernel's before or after.

use super::descriptors::{self, CLOSED};
use super::paging::{self, PAGE, bit};
use super::signals::{self, KEPT};
use super::vcpu::{self, Exit, Vcpu};
use super::{channel, faults, local, threads};
use crate::hosted::frame::hrt_kvm_upcall_boundary;
use crate::hosted::upcall;
use crate::kernel::asm::int80;
use crate::kernel::block::{self, Block};
use crate::kernel::slots::{self, Slot};
use crate::kernel::{
    IMAGE, IMAGE_SIZE, TRAPS, children, jail, memory, modules, observe, patch, policy, user,
};
use crate::raw::{self, errno, map, nr, prot};
use crate::threads::switch::hrt_resume;
use crate::threads::{local, posix};
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use hrt_kernel::classes::Class;

/// Runs the program of the calling thread, whose block is `b`, for ever.
pub extern "C" fn work(b: *mut Block) -> ! {
    loop {
        // SAFETY: the calling thread's own virtual CPU; borrowed anew for each turn.
        let v = unsafe { &mut *vcpu::of(b) };
        let pending = v.signals.pending.load(Ordering::Acquire) != 0;
        let inside = vcpu::in_kernel(&v.regs);
        if pending && !inside && !signals::postponed(v) {
            signals::deliver_pending(b, v);
            continue;
        }
        if !inside && v.signals.preempt.load(Ordering::Relaxed) != 0 {
            signals::preempt(b, v);
            continue;
        }
        let exit = v.run();
        local::settle_mask(b, v);
        match exit {
            Exit::Syscall => syscall(b, v),
            Exit::Vector { vector, error } => faults::exception(b, v, vector, error),
            Exit::Refused => faults::refused(v),
            Exit::Interrupted => {}
            Exit::Kernel { vector, error } => faults::kernel(v, vector, error),
        }
    }
}

/// The program has made a system call; its program counter is after the instruction.
fn syscall(b: *mut Block, v: &mut Vcpu) {
    let rax = v.regs.rax;
    let number = rax as u32 as usize;
    let site = (v.regs.rip as usize).wrapping_sub(2);
    if site == hrt_kvm_upcall_boundary as *const () as usize {
        // SAFETY: the calling thread's own.
        v.regs.rip = unsafe { (*local()).resume } as u64;
        v.regs.rcx = v.regs.rip;
        return;
    }
    let mut slot = Slot::containing(site);
    let again = if let Some(slot) = slot {
        // SAFETY: data of a slot that executes is complete.
        v.regs.rip = unsafe { (*slot.site()).ret } as u64;
        channel::missed(b, number);
        // SAFETY: the calling thread's own block.
        if unsafe { (*b).channel } != 0 {
            local::settle(0, paging::USER_END);
        }
        slot.program_counter(slot.syscall(), rax)
    } else {
        TRAPS.fetch_add(1, Ordering::Relaxed);
        // The kernel's own calls, made in the guest, are for Linux.
        if !is_kernels(site) {
            let lock = slots::lock();
            slot = slots::find_or_make(site, &lock);
            if let Some(slot) = slot {
                patch::try_patch(slot, rax, &lock);
            }
        }
        site
    };
    let own = slot.is_none() && is_kernels(site);
    let r = &mut v.regs;
    r.rcx = r.rip;
    let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9].map(|a| a as usize);
    if observe::counting() {
        observe::count(b, number);
    }
    if let Some(slot) = slot {
        // SAFETY: the calling thread's own.
        let served = unsafe { core::mem::take(&mut (*local()).forward) } != 0;
        if !served && policy::class(number) == Class::Mediated && upcall::wants(number, &args) {
            if observe::tracing() {
                observe::trace(b, number, &args, None);
            }
            v.regs.rip = slot.upcall() as u64;
            return;
        }
    }
    let returns = number == nr::RT_SIGRETURN;
    // A signal that waits finds the handler that is about to end, with its mask; and none may come between the registers and
    // the mask.
    let kept = returns && threads::block_signals(v).is_none();
    let ends = returns
        || matches!(
            number,
            nr::EXIT | nr::EXIT_GROUP | nr::EXECVE | nr::EXECVEAT
        );
    if ends && !kept && observe::tracing() {
        observe::trace(b, number, &args, None);
    }
    if returns && !kept {
        signals::sigreturn(b, v);
        return;
    }
    let protects = !kept && number == nr::MPROTECT;
    if protects && local::restrict(args[0], args[1], args[2]) {
        v.regs.rax = 0;
        return;
    }
    let kept = kept || protects && local::prepare(args[0], args[1], args[2]);
    if !kept {
        local::before(number, &args);
    }
    let result = match policy::class(number) {
        _ if kept => KEPT,
        Class::Local if policy::denied(number).is_some() => {
            raw::err(policy::denied(number).unwrap_or_default())
        }
        // SAFETY: the calling thread's own block.
        Class::Local => unsafe {
            if number == nr::GETPID {
                (*b).pid as isize
            } else {
                (*b).tid as isize
            }
        },
        Class::Mediated if !own => match posix::mediate(b, number, &args) {
            Some(r) => r,
            None if number == nr::EXIT && posix::is_mine() => match end_thread(b, v) {
                true => return,
                false => KEPT,
            },
            None => mediate(b, v, number, &args, own),
        },
        _ => mediate(b, v, number, &args, own),
    };
    if result == KEPT {
        v.regs.rip = again as u64;
        if observe::counting() {
            observe::uncount(b, number);
        }
        return;
    }
    v.regs.rax = result as u64;
    if !ends && observe::tracing() {
        observe::trace(b, number, &args, Some(result));
    }
    if !own {
        posix::at_exit();
    }
}

/// True if `site` is an instruction of the kernel's, which the guest executes for its functions.
fn is_kernels(site: usize) -> bool {
    site.wrapping_sub(IMAGE.load(Ordering::Relaxed)) < IMAGE_SIZE.load(Ordering::Relaxed)
}

/// The calling kernel thread of the C library's ends; false if a signal comes first.
fn end_thread(b: *mut Block, v: &mut Vcpu) -> bool {
    match posix::end(b, |fs| v.set_bases(fs as u64)) {
        Some(sp) => {
            v.regs.rsp = sp as u64;
            v.regs.rip = hrt_resume as *const () as usize as u64;
            true
        }
        None => false,
    }
}

/// Makes a call that the program has posted, if that is just for Linux; `None` if the guest must go on first.
pub fn posted(b: *mut Block, v: &mut Vcpu, number: usize, args: &[usize; 6]) -> Option<isize> {
    if policy::class(number) != Class::Forward
        || matches!(number, nr::UNSHARE | nr::SETNS)
        || v.signals.pending.load(Ordering::Acquire) != 0
    {
        return None;
    }
    let result = mediate(b, v, number, args, false);
    if result == KEPT {
        return None;
    }
    if observe::counting() {
        observe::count(b, number);
    }
    if observe::tracing() {
        observe::trace(b, number, args, Some(result));
    }
    Some(result)
}

/// Sends the call to Linux.
fn forward(v: &mut Vcpu, number: usize, args: &[usize; 6]) -> isize {
    // SAFETY: the program asked for it.
    unsafe { signals::call(v, number as u64, args) }
}

/// Makes a call in which the kernel has a part if it has to do with memory.
fn served(v: &mut Vcpu, number: usize, args: &[usize; 6]) -> isize {
    let r = memory::serve(number, args, |args| forward(v, number, args));
    r.unwrap_or_else(|| forward(v, number, args))
}

/// Serves a call that may take more than Linux; `own`: the kernel makes it, in the guest.
fn mediate(b: *mut Block, v: &mut Vcpu, number: usize, args: &[usize; 6], own: bool) -> isize {
    let [a0, a1, a2, a3, a4, a5] = *args;
    crate::channel::before(b, number, args);
    match number {
        nr::MMAP => mmap(v, args),
        nr::MPROTECT => {
            memory::protects(a0, a1, a2);
            protect(v, number, args)
        }
        nr::PKEY_MPROTECT => {
            if modules::ends_code(a2) {
                modules::forget(a0, a1);
            }
            protect(v, number, args)
        }
        nr::MUNMAP => {
            modules::forget(a0, a1);
            changed(v, number, args, a0, a1)
        }
        nr::MREMAP => {
            modules::forget(a0, a1);
            if a3 & 2 != 0 {
                modules::forget(a4, a2); // MREMAP_FIXED
            }
            let r = changed(v, number, args, a0, a1);
            if a3 & 2 != 0 && !raw::is_err(r) {
                v.change(a4, end(a4, a2), 0, 0);
            }
            r
        }
        nr::BRK => brk(v, args),
        nr::SHMAT => {
            const SHM_REMAP: usize = 0o40_000;
            let r = served(v, number, args);
            if a2 & SHM_REMAP != 0 && !raw::is_err(r) {
                if let Some(m) = paging::mapping(r as usize) {
                    v.change(m.start, m.end, 0, 0);
                }
            }
            r
        }
        nr::SHMDT => match paging::mapping(a0) {
            Some(m) => changed(v, number, args, m.start, m.end - m.start),
            None => forward(v, number, args),
        },
        nr::RT_SIGACTION => signals::sigaction(a0, a1, a2, a3),
        nr::RT_SIGPROCMASK => {
            // The old mask may take the new one's place.
            let set = (a1 != 0 && local::on()).then(|| user::get(a1)).flatten();
            let r = served(v, number, args);
            if r == 0 && a1 != 0 {
                local::mask_changed(b, a0, set);
                if !own {
                    signals::mask_changed(b);
                }
            }
            r
        }
        nr::SIGALTSTACK => block::sigaltstack(b, a0, a1, v.regs.rsp as usize, || ()),
        nr::RT_SIGSUSPEND => waiting(v, number, args, a0, a1),
        nr::PPOLL => waiting(v, number, args, a3, a4),
        nr::EPOLL_PWAIT | nr::EPOLL_PWAIT2 => waiting(v, number, args, a4, a5),
        nr::PSELECT6 => {
            let [mask, size] = match a5 {
                0 => [0; 2],
                at => user::get(at).unwrap_or([0; 2]),
            };
            waiting(v, number, args, mask, size)
        }
        nr::CLONE | nr::FORK | nr::VFORK => threads::clone(b, v, number, args),
        nr::CLONE3 => threads::clone3(b, v, a0, a1).unwrap_or_else(|| forward(v, number, args)),
        nr::EXIT => {
            local::tell();
            threads::exit(b, v, a0, || observe::report(b))
        }
        nr::EXIT_GROUP => {
            local::tell();
            if children::shares(b) {
                return threads::exit(b, v, a0, || ());
            }
            if !children::borrows(b) {
                observe::report(b);
            }
            forward(v, number, args)
        }
        nr::PRCTL => match a0 {
            // The program gets to know Linux as one built without the dispatch.
            59 => raw::err(errno::EINVAL),
            22 => jail(v, number, args, a1 == 1, a2), // PR_SET_SECCOMP
            _ => forward(v, number, args),
        },
        // SECCOMP_SET_MODE_STRICT and SECCOMP_SET_MODE_FILTER; others only ask
        nr::SECCOMP if a0 < 2 => jail(v, number, args, a0 == 0, a2),
        nr::UNSHARE | nr::SETNS if threads::alone(b) => alone(v, number, args),
        nr::ARCH_PRCTL => arch_prctl(v, args),
        _ if descriptors::hidden(a0) && descriptors::takes(number) => CLOSED,
        nr::DUP2 | nr::DUP3 if descriptors::hidden(a1) => raw::err(errno::EBUSY),
        nr::CLOSE_RANGE => descriptors::close_range(a0, a1, a2),
        hrt_abi::api::CALL => super::api::call(b, v, args),
        // What the guest's page tables cannot follow is as in a Linux built without it.
        nr::USERFAULTFD | nr::MODIFY_LDT => raw::err(errno::ENOSYS),
        nr::PKEY_ALLOC => raw::err(errno::ENOSPC),
        nr::IOPL | nr::IOPERM => raw::err(errno::EPERM),
        _ => served(v, number, args),
    }
}

fn end(start: usize, len: usize) -> usize {
    start.saturating_add(len).saturating_add(PAGE - 1) & !(PAGE - 1)
}

const READ_WRITE: usize = prot::READ | prot::WRITE;

/// Bits of the entries for a mapping with these rights.
fn entry_bits(rights: usize) -> u64 {
    paging::rights(rights & prot::WRITE != 0, rights & prot::EXEC != 0)
}

/// Sends on a call that changes what is mapped of `len` bytes from `start` on.
fn changed(v: &mut Vcpu, number: usize, args: &[usize; 6], start: usize, len: usize) -> isize {
    let r = served(v, number, args);
    if r != KEPT {
        // Even a call that fails may have changed a part.
        v.change(start, end(start, len), 0, 0);
    }
    r
}

/// mprotect(2) and its like. Where the program may do more now, as after a write barrier, it need not fault again.
fn protect(v: &mut Vcpu, number: usize, args: &[usize; 6]) -> isize {
    let [start, len, rights, ..] = *args;
    let to = end(start, len);
    let r = served(v, number, args);
    if r != KEPT {
        let plain = r == 0 && rights & READ_WRITE != 0 && rights & !(READ_WRITE | prot::EXEC) == 0;
        if plain && !faults::kernels(start, to) {
            let whole = |m: &paging::Mapping| start >= m.start && to <= m.end;
            let known = local::on()
                .then(|| paging::mapping(start))
                .flatten()
                .filter(whole);
            let bits = known.map_or(entry_bits(rights), |m| m.bits());
            let since = known.map_or(0, |m| m.since);
            paging::fill_ahead(start, to, bits, since);
            v.change(start, to, bits, since);
        } else {
            // Even a call that fails may have changed a part.
            v.change(start, to, 0, 0);
        }
    }
    r
}

fn mmap(v: &mut Vcpu, args: &[usize; 6]) -> isize {
    let [addr, len, rights, flags, ..] = *args;
    let since = paging::version();
    let r = if flags & map::FIXED != 0 {
        modules::forget(addr, len);
        changed(v, nr::MMAP, args, addr, len)
    } else {
        served(v, nr::MMAP, args)
    };
    if raw::is_err(r) {
        return r; // KEPT, too
    }
    let (start, to) = (r as usize, end(r as usize, len));
    if modules::is_code(rights, flags) {
        modules::mapped(start, len);
    }
    let usable = rights & READ_WRITE != 0 && flags & map::GROWSDOWN == 0;
    if usable && !faults::kernels(start, to) {
        let mine = rights == READ_WRITE && flags & map::PRIVATE != 0;
        let bits = entry_bits(rights) | if mine { bit::MINE } else { 0 };
        paging::fill_ahead(start, to, bits, since);
    }
    r
}

/// Where the program's data segment ends, as last seen.
static BREAK: AtomicUsize = AtomicUsize::new(0);

fn brk(v: &mut Vcpu, args: &[usize; 6]) -> isize {
    let since = paging::version();
    let r = served(v, nr::BRK, args);
    if r != KEPT {
        let (now, was) = (r as usize, BREAK.swap(r as usize, Ordering::Relaxed));
        if now < was {
            v.change(end(now, 0), end(was, 0), 0, 0);
        } else if was != 0 {
            let bits = paging::rights(true, false) | bit::MINE;
            paging::fill_ahead(end(was, 0), end(now, 0), bits, since);
        }
    }
    r
}

/// Sends on a call that puts the signal mask at `mask` in place while it waits.
fn waiting(v: &mut Vcpu, number: usize, args: &[usize; 6], mask: usize, size: usize) -> isize {
    if mask != 0 && size == 8 {
        v.signals.waiting = user::get::<u64>(mask);
    }
    let r = forward(v, number, args);
    if r != raw::err(errno::EINTR) {
        v.signals.waiting = None;
    }
    r
}

fn arch_prctl(v: &mut Vcpu, args: &[usize; 6]) -> isize {
    const SET_GS: u32 = 0x1001;
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    const SET_CPUID: u32 = 0x1012;
    let put = |value: u64| {
        if user::put(args[1], &value) {
            0
        } else {
            raw::err(errno::EFAULT)
        }
    };
    match args[0] as u32 {
        SET_FS if args[1] >= paging::USER_END => raw::err(errno::EPERM),
        SET_FS => {
            v.set_bases(args[1] as u64);
            0
        }
        GET_FS => put(v.sregs().fs.base),
        // The GS base is the kernel's; to the program it is 0, and stays so.
        SET_GS if args[1] == 0 => 0,
        SET_GS => raw::err(errno::EPERM),
        GET_GS => put(0),
        SET_CPUID => raw::err(errno::ENODEV),
        _ => forward(v, nr::ARCH_PRCTL, args),
    }
}

/// Sends on a call that Linux may refuse to a process with more than one thread, as a VM makes it.
fn alone(v: &mut Vcpu, number: usize, args: &[usize; 6]) -> isize {
    let r = forward(v, number, args);
    if r != raw::err(errno::EINVAL) {
        return r;
    }
    let Some(mask) = threads::block_signals(v) else {
        return KEPT;
    };
    let fs = v.sregs().fs.base;
    v.get_xsave();
    super::unmake();
    // SAFETY: the program asked for it.
    let r = unsafe { raw::syscall6(number, *args) };
    v.regs.rax = r as u64;
    if super::remake(v, fs).is_err() {
        give_up(v, fs, mask);
    }
    raw::set_sigmask(mask);
    r
}

/// The program goes into a jail. One that leaves room for the partner's work changes nothing; from any other on, the program runs
/// without the kernel.
fn jail(v: &mut Vcpu, number: usize, args: &[usize; 6], strict: bool, program: usize) -> isize {
    memory::retire();
    local::retire();
    let allows = jail::allows(strict, program);
    let needed = [
        nr::IOCTL,
        nr::RT_SIGRETURN,
        nr::RT_SIGPROCMASK,
        nr::RT_SIGACTION,
        nr::PROCESS_VM_READV,
        nr::PROCESS_VM_WRITEV,
        nr::PREAD64,
    ];
    if needed.into_iter().all(&allows) || patch::THREADS.load(Ordering::Acquire) != 1 {
        return forward(v, number, args);
    }
    let Some(mask) = threads::block_signals(v) else {
        return KEPT;
    };
    // The call itself is made outside.
    v.regs.rip = v.regs.rip.wrapping_sub(2);
    let fs = v.sregs().fs.base;
    v.get_xsave();
    give_up(v, fs, mask)
}

/// Goes on with the program outside of the VM, for good.
pub fn give_up(v: &mut Vcpu, fs: u64, mask: u64) -> ! {
    observe::forbid();
    jail::withdraw();
    signals::give_up();
    super::unmake();
    let b = block::current();
    // SAFETY: the calling thread's own block; the stack is the program's, as Linux has accepted it.
    unsafe {
        raw::syscall4(nr::SIGALTSTACK, block::alt(b) as usize, 0, 0, 0);
    }
    raw::set_sigmask(mask);
    go(v, fs)
}

/// Executes the program from where it is outside of the VM, to meet the fault that it has met inside.
pub fn leave(v: &mut Vcpu) -> ! {
    let fs = v.sregs().fs.base;
    v.get_xsave();
    go(v, fs)
}

unsafe extern "C" {
    /// Loads the vector state at `xsave`, whose components `low` and `high` name, then `regs`, and goes on there.
    fn hrt_kvm_leave(regs: *const super::wire::Regs, xsave: *const u8, low: u32, high: u32) -> !;
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_kvm_leave
hrt_kvm_leave:
    movl    %edx, %eax
    movl    %ecx, %edx
    xrstor64 (%rsi)
    pushq   $0x2b
    pushq   48(%rdi)
    pushq   136(%rdi)
    pushq   $0x33
    pushq   128(%rdi)
    movq    0(%rdi), %rax
    movq    8(%rdi), %rbx
    movq    16(%rdi), %rcx
    movq    24(%rdi), %rdx
    movq    32(%rdi), %rsi
    movq    56(%rdi), %rbp
    movq    64(%rdi), %r8
    movq    72(%rdi), %r9
    movq    80(%rdi), %r10
    movq    88(%rdi), %r11
    movq    96(%rdi), %r12
    movq    104(%rdi), %r13
    movq    112(%rdi), %r14
    movq    120(%rdi), %r15
    movq    40(%rdi), %rdi
    iretq
    "#,
    options(att_syntax)
);

/// With the vector state in `v.xsave`.
fn go(v: &mut Vcpu, fs: u64) -> ! {
    const ARCH_SET_FS: usize = 0x1002;
    let xcr0 = vcpu::xcr0();
    // SAFETY: the registers are a state of the program, which goes on natively in the same address space.
    unsafe {
        raw::syscall4(nr::ARCH_PRCTL, ARCH_SET_FS, fs as usize, 0, 0);
        hrt_kvm_leave(
            &raw const v.regs,
            v.xsave.as_ptr(),
            xcr0 as u32,
            (xcr0 >> 32) as u32,
        )
    }
}

/// A call by `int $0x80`.
pub fn legacy(v: &mut Vcpu) {
    let r = &mut v.regs;
    r.rax = int80([r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp]);
}

/// A call of one of the three functions of the vsyscall page (Linux, `arch/x86/entry/vsyscall`), which Linux emulates; false if
/// `at` is none.
pub fn vsyscall(b: *mut Block, v: &mut Vcpu, at: usize) -> bool {
    const BASE: usize = 0xffff_ffff_ff60_0000;
    let number = match at.wrapping_sub(BASE) {
        0 => 96,      // gettimeofday
        0x400 => 201, // time
        0x800 => 309, // getcpu
        _ => return false,
    };
    let Some(back) = user::get::<u64>(v.regs.rsp as usize) else {
        return false;
    };
    let r = &v.regs;
    let args = [r.rdi, r.rsi, r.rdx, 0, 0, 0].map(|a| a as usize);
    if observe::counting() {
        observe::count(b, number);
    }
    let result = forward(v, number, &args);
    if result != KEPT {
        v.regs.rax = result as u64;
        v.regs.rip = back;
        v.regs.rsp += 8;
    }
    true
}
