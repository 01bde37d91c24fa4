//! Instructions that every platform needs and that cannot be said in Rust.

use super::block::offset;
use core::arch::global_asm;

unsafe extern "C" {
    /// Marks the block free and ends the thread: `rax` is `exit`, `rdi` the status. Needs no stack.
    pub fn hrt_exit_thread();
    /// Returns from a signal, in the bytes by which unwinders know it.
    pub fn hrt_restorer();
    /// `int $0x80` with eax, ebx, ecx, edx, esi, edi, ebp from `regs`; eax is written back.
    fn hrt_int80(regs: *mut u64);
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 16
    .globl  hrt_exit_thread
hrt_exit_thread:
    movq    %gs:0, %rcx
    movl    $0, {STATE}(%rcx)
    syscall
    ud2

    .balign 16
    nop     /* unwinders look up the byte before a return address */
    .globl  hrt_restorer
hrt_restorer:
    .byte   0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05
    ud2

    .balign 16
    .globl  hrt_int80
hrt_int80:
    pushq   %rbx
    pushq   %rbp
    pushq   %rdi
    movl    (%rdi), %eax
    movl    8(%rdi), %ebx
    movl    16(%rdi), %ecx
    movl    24(%rdi), %edx
    movl    32(%rdi), %esi
    movl    48(%rdi), %ebp
    movl    40(%rdi), %edi
    int     $0x80
    popq    %rdi
    movq    %rax, (%rdi)
    popq    %rbp
    popq    %rbx
    ret
    "#,
    STATE = const offset::STATE,
    options(att_syntax)
);

/// A call of the program's by `int $0x80`, with the numbers and the pointers of i386: always Linux's. `regs` are rax, rbx, rcx, rdx,
/// rsi, rdi and rbp; returns rax.
#[must_use]
pub fn int80(mut regs: [u64; 7]) -> u64 {
    // SAFETY: the program asked for it.
    unsafe { hrt_int80(regs.as_mut_ptr()) };
    regs[0]
}
