//! The guest's gate: the few instructions of the kernel that the virtual CPU itself executes. They leave the guest with the
//! program's registers untouched, and enter the program by an `iretq` whose frame the partner has written.
//!
//! Executed at their alias in the upper half. System calls leave by a 4-byte `out`, exceptions by a 1-byte `out` to the port
//! of their vector; so none needs a register, and none uses the program's stack.

use super::api::Area;
use crate::kernel::block::Block;
use core::arch::global_asm;
use core::mem::offset_of;

/// Ports of 4-byte `out` instructions.
#[allow(missing_docs)]
pub mod port {
    pub const SYSCALL: u16 = 0;
    pub const JOB: u16 = 1;
    pub const LOOP: u16 = 2;
}

/// Bytes of a vector's entry.
pub const VECTOR_SIZE: usize = 4;
/// Turns of the loop at `hrt_gate_loop`.
pub const LOOP_TURNS: u64 = 16;

unsafe extern "C" {
    /// First instruction of the gate.
    pub fn hrt_gate_start();
    /// Where `syscall` leads (the LSTAR register).
    pub fn hrt_gate_syscall();
    /// Enters the program: the stack pointer is at an `iretq` frame.
    pub fn hrt_gate_iretq();
    /// Clears page-table entries: `rbx` is a list of (address, count), ended by an address of 0.
    pub fn hrt_gate_job();
    /// A loop of `rcx` turns; the time that it took is in `rax`.
    pub fn hrt_gate_loop();
    /// Entry of page faults.
    pub fn hrt_gate_page_fault();
    /// Entry of page faults once a program has a handler of its own.
    pub fn hrt_gate_fault();
    /// Entries of the 256 vectors.
    pub fn hrt_gate_vectors();
    /// End of the gate.
    pub fn hrt_gate_end();
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits
    .balign 4096
    .globl  hrt_gate_start
hrt_gate_start:
    .globl  hrt_gate_syscall
hrt_gate_syscall:
    out     %eax, ${SYSCALL}
    ud2
    .balign 16
    .globl  hrt_gate_iretq
hrt_gate_iretq:
    iretq
    .balign 16
    .globl  hrt_gate_job
hrt_gate_job:
    movq    (%rbx), %rdi
    testq   %rdi, %rdi
    jz      2f
    movq    8(%rbx), %rcx
    xorl    %eax, %eax
    rep stosq
    addq    $16, %rbx
    jmp     hrt_gate_job
2:  movq    %cr3, %rax
    movq    %rax, %cr3
    out     %eax, ${JOB}
    ud2
    .balign 16
    .globl  hrt_gate_loop
hrt_gate_loop:
    rdtsc
    movl    %eax, %ebx
1:  decq    %rcx
    jnz     1b
    rdtsc
    subl    %ebx, %eax
    out     %eax, ${LOOP}
    ud2
    /* Ring 0: the handler of the program's, on its own stack. The frame is moved there first, since a fault of the
       handler's takes its place. */
    .balign 16
    .globl  hrt_gate_fault
hrt_gate_fault:
    pushq   %rax
    pushq   %rcx
    pushq   %rdx
    movq    %gs:{AREA}, %rdx
    testq   %rdx, %rdx
    jz      9f
    cmpl    $0, {INSIDE}(%rdx)
    jne     9f
    movq    %cr2, %rax
    movq    %rax, %rcx
    subq    {START}(%rdx), %rcx
    cmpq    {SIZE}(%rdx), %rcx
    jae     9f
    cmpl    $0, {DECLINED}(%rdx)
    jne     8f
    movl    $1, {INSIDE}(%rdx)
    movq    {TOP}(%rdx), %rcx
    pushq   %rsi                    /* 0 rsi, 8 rdx, 16 rcx, 24 rax, 32 error, 40 rip, 48 cs, 56 rflags, 64 rsp, 72 ss */
    movq    72(%rsp), %rsi
    movq    %rsi, -8(%rcx)
    movq    64(%rsp), %rsi
    movq    %rsi, -16(%rcx)
    movq    %rsi, -104(%rcx)        /* fault.rsp */
    movq    56(%rsp), %rsi
    movq    %rsi, -24(%rcx)
    movq    48(%rsp), %rsi
    movq    %rsi, -32(%rcx)
    movq    40(%rsp), %rsi
    movq    %rsi, -40(%rcx)
    movq    %rsi, -112(%rcx)        /* fault.rip */
    movq    32(%rsp), %rsi
    movq    %rsi, -120(%rcx)        /* fault.error */
    movq    %rax, -128(%rcx)        /* fault.address */
    movq    24(%rsp), %rsi
    movq    %rsi, -48(%rcx)         /* rax */
    movq    16(%rsp), %rsi
    movq    %rsi, -56(%rcx)         /* rcx */
    movq    8(%rsp), %rsi
    movq    %rsi, -64(%rcx)         /* rdx */
    movq    (%rsp), %rsi
    movq    %rsi, -72(%rcx)         /* rsi */
    movq    %rdi, -80(%rcx)
    movq    %r8, -88(%rcx)
    movq    %r9, -96(%rcx)
    leaq    -128(%rcx), %rsp
    movq    %rsp, %rdi
    pushq   %r10
    pushq   %r11
    pushq   %rdx
    pushq   %rcx                    /* the end of the stack is a multiple of 16, and so is this */
    cld
    call    *{HANDLER}(%rdx)
    popq    %rcx
    popq    %rdx
    popq    %r11
    popq    %r10
    movl    $0, {INSIDE}(%rdx)
    xorl    $1, %eax
    movl    %eax, {DECLINED}(%rdx)  /* the same fault again, for the kernel */
    movq    -96(%rcx), %r9
    movq    -88(%rcx), %r8
    movq    -80(%rcx), %rdi
    movq    -72(%rcx), %rsi
    movq    -64(%rcx), %rdx
    movq    -48(%rcx), %rax
    leaq    -56(%rcx), %rsp
    popq    %rcx
    addq    $8, %rsp                /* rax */
    iretq
8:  movl    $0, {DECLINED}(%rdx)
9:  popq    %rdx
    popq    %rcx
    jmp     7f
    /* Page faults leave with the address in rax, which is below the error code: so the partner need not ask KVM for it. */
    .balign 16
    .globl  hrt_gate_page_fault
hrt_gate_page_fault:
    pushq   %rax
7:  movq    %cr2, %rax
    out     %al, $14
    ud2
    .balign 16
    .globl  hrt_gate_vectors
hrt_gate_vectors:
    .set    hrt_v, 0
    .rept   256
    out     %al, $hrt_v
    ud2
    .set    hrt_v, hrt_v + 1
    .endr
    .balign 4096
    .globl  hrt_gate_end
hrt_gate_end:
    "#,
    SYSCALL = const port::SYSCALL,
    JOB = const port::JOB,
    LOOP = const port::LOOP,
    AREA = const offset_of!(Block, fault_area),
    HANDLER = const offset_of!(Area, handler),
    START = const offset_of!(Area, start),
    SIZE = const offset_of!(Area, size),
    TOP = const offset_of!(Area, top),
    INSIDE = const offset_of!(Area, inside),
    DECLINED = const offset_of!(Area, declined),
    options(att_syntax)
);
