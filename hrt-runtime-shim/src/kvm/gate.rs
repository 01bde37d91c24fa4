//! The guest's gate: the few instructions of the kernel that the virtual CPU itself executes. They leave the guest with the
//! program's registers untouched, and enter the program by an `iretq` whose frame the partner has written.
//!
//! Executed at their alias in the upper half. System calls leave by a 4-byte `out`, exceptions by a 1-byte `out` to the port
//! of their vector; so none needs a register, and none uses the program's stack.

use core::arch::global_asm;

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
pub const LOOP_TURNS: u64 = 64;

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
    options(att_syntax)
);
