//! Instructions that make threads: the switch of stacks, a new thread's first steps, FS, and the clone(2) of a carrier.

use crate::kernel::{FSGSBASE, slots};
use crate::raw::{self, nr};
use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    /// Keeps what the C ABI preserves (registers, MXCSR, the x87 control word) below the stack pointer, which is stored to `*from`, and
    /// goes on with what was kept at `to`.
    pub fn hrt_switch(from: *mut usize, to: usize);
    /// As the second half of `hrt_switch`, for a stack pointer that is there already.
    pub fn hrt_resume();
    /// Where a new thread's stack returns to: calls `r12(r13)`.
    fn hrt_thread_begin();
    /// clone(2) as the program would make it: through the kernel. The child pops a function and its argument from `stack`.
    pub fn hrt_clone_carrier(flags: usize, stack: usize, tls: usize) -> isize;
    /// exit_group(2), as the program would make it.
    pub fn hrt_exit_group(status: i32) -> !;
    /// Where these calls are made.
    fn hrt_clone_site();
}

/// Entry of the slot of `hrt_clone_site`.
static SLOT: AtomicUsize = AtomicUsize::new(0);

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 64
    .globl  hrt_switch
hrt_switch:
    pushq   %rbp
    pushq   %rbx
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    subq    $8, %rsp
    stmxcsr (%rsp)
    fnstcw  4(%rsp)
    movl    (%rsp), %eax
    movzwl  4(%rsp), %ecx
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp
    cmpl    (%rsp), %eax
    jne     2f
1:  cmpw    4(%rsp), %cx
    jne     3f
4:  addq    $8, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbx
    popq    %rbp
    ret
2:  ldmxcsr (%rsp)
    jmp     1b
3:  fldcw   4(%rsp)
    jmp     4b
    .globl  hrt_resume
hrt_resume:
    ldmxcsr (%rsp)
    jmp     3b

    .balign 16
    .globl  hrt_thread_begin
hrt_thread_begin:
    movq    %r13, %rdi
    xorl    %ebp, %ebp
    call    *%r12
    ud2

    .balign 16
    .globl  hrt_exit_group
hrt_exit_group:
    movl    $231, %eax
    jmpq    *{slot}(%rip)

    .balign 16
    .globl  hrt_clone_carrier
hrt_clone_carrier:
    movq    %rdx, %r8
    xorl    %edx, %edx
    xorl    %r10d, %r10d
    movl    $56, %eax
1:  jmpq    *{slot}(%rip)
    .globl  hrt_clone_site
hrt_clone_site:         /* as long as a `syscall`: a signal may take the call back to here */
    jmp     1b
    testq   %rax, %rax
    jz      2f
    ret
2:  popq    %rax
    popq    %rdi
    xorl    %ebp, %ebp
    call    *%rax
    ud2
    "#,
    slot = sym SLOT,
    options(att_syntax)
);

/// Gives the carriers' clone(2) its slot.
pub fn init(lock: &slots::Guard) {
    if let Some(slot) = slots::find_or_make(hrt_clone_site as *const () as usize, lock) {
        SLOT.store(slot.any_entry(), Ordering::Relaxed);
    }
}

/// Prepares a stack that ends at `top`, so that a switch to what is returned calls `function(argument)`.
///
/// # Safety
/// The stack must be writable, unused, and `top` aligned to 16 bytes.
#[inline]
pub unsafe fn prepare(
    top: usize,
    function: unsafe extern "C" fn(usize) -> !,
    argument: usize,
) -> usize {
    let mut control = 0u64;
    // SAFETY: both instructions only store to the local.
    unsafe {
        core::arch::asm!(
            "stmxcsr ({0})", "fnstcw 4({0})",
            in(reg) &raw mut control, options(att_syntax, nostack, preserves_flags)
        );
    }
    // At `hrt_thread_begin` the stack is aligned, as the call there needs it.
    let at = (top - 8 * 8) as *mut u64;
    // SAFETY: the caller's promise.
    unsafe {
        at.write(control);
        at.add(3).write(argument as u64); // r13
        at.add(4).write(function as usize as u64); // r12
        at.add(7)
            .write(hrt_thread_begin as *const () as usize as u64);
    }
    at as usize
}

/// The FS base.
pub fn fs() -> usize {
    let mut base = 0usize;
    // SAFETY: reads a register, or writes a local.
    unsafe {
        if FSGSBASE.load(Ordering::Relaxed) {
            core::arch::asm!("rdfsbase {}", out(reg) base, options(nostack, nomem, preserves_flags));
        } else {
            raw::syscall4(nr::ARCH_PRCTL, 0x1003, (&raw mut base) as usize, 0, 0);
        }
    }
    base
}

/// Sets the FS base.
///
/// # Safety
/// It must be what the thread that executes next needs.
#[inline]
pub unsafe fn set_fs(base: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if FSGSBASE.load(Ordering::Relaxed) {
            core::arch::asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags));
        } else {
            raw::syscall4(nr::ARCH_PRCTL, 0x1002, base, 0, 0);
        }
    }
}
