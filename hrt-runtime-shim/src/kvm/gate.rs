//! The guest's gate: the few instructions of the kernel that the virtual CPU itself executes. They leave the guest with the
//! program's registers untouched, and enter the program by an `iretq` whose frame the partner has written.
//!
//! Executed at their alias in the upper half. System calls leave by a 4-byte `out`, exceptions by a 1-byte `out` to the port
//! of their vector; so none needs a register, and none uses the program's stack. In ring 0 some are served in the guest first, on a
//! stack of the guest's kernel (module `local`).

use super::api::Area;
use super::local;
use super::paging::PAGE;
use crate::kernel::block::{Block, SIGNAL_STACK};
use crate::raw::nr;
use core::arch::global_asm;
use core::mem::offset_of;

/// Ports of 4-byte `out` instructions.
#[allow(missing_docs)]
pub mod port {
    pub const SYSCALL: u16 = 0;
    pub const JOB: u16 = 1;
    pub const LOOP: u16 = 2;
    pub const BOUNDARY: u16 = 3;
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
    /// Entry of page faults in ring 0: a handler of the program's, the guest's kernel and the partner try in turn.
    pub fn hrt_gate_fault();
    /// Where `syscall` leads in ring 0.
    pub fn hrt_gate_call();
    /// Where the guest's kernel goes back to the program, with an `iretq` frame at the stack pointer: up to
    /// [`hrt_gate_back_end`] only that has an effect.
    pub fn hrt_gate_back();
    /// See [`hrt_gate_back`].
    pub fn hrt_gate_back_end();
    /// Copies `n` bytes; 0, or 1 if that could not be done.
    pub fn hrt_gate_copy(to: usize, from: usize, n: usize) -> u32;
    /// Stores the vector state at `to`, but the SSE registers from `sse`; 0, or 1 if that could not be done.
    pub fn hrt_gate_save(to: usize, sse: usize) -> u32;
    /// Loads the vector state from `from`, but the SSE registers to `sse`; 0, or 1 if that could not be done.
    pub fn hrt_gate_load(from: usize, sse: usize) -> u32;
    /// The instructions of these that may fault, and where they go on then.
    pub fn hrt_gate_copy_at();
    /// Likewise.
    pub fn hrt_gate_copy_rest_at();
    /// Likewise.
    pub fn hrt_gate_save_at();
    /// Likewise.
    pub fn hrt_gate_load_at();
    /// Likewise.
    pub fn hrt_gate_failed();
    /// Entries of the 256 vectors.
    pub fn hrt_gate_vectors();
    /// End of the gate.
    pub fn hrt_gate_end();
}

global_asm!(
    r#"
    /* The SSE registers from or to (rsi). */
    .macro  hrt_sse op, way
    .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    .ifc \way, load
    \op     16*\n(%rsi), %xmm\n
    .else
    \op     %xmm\n, 16*\n(%rsi)
    .endif
    .endr
    .endm
    /* A `local::Frame` with rax in place and rdi at it, the SSE registers below and rsi at them. */
    .macro  hrt_save
    pushq   %rcx
    pushq   %rdx
    pushq   %rbx
    pushq   %rbp
    pushq   %rsi
    pushq   %rdi
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %r11
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, %rdi
    subq    $256, %rsp
    movq    %rsp, %rsi
    hrt_sse movups, store
    xorl    %ebp, %ebp
    cld
    .endm
    /* Back to the address's word. No flag is changed. */
    .macro  hrt_restore
    movq    %rsp, %rsi
    hrt_sse movups, load
    leaq    256(%rsp), %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rbp
    popq    %rbx
    popq    %rdx
    popq    %rcx
    popq    %rax
    .endm
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
    testb   $8, %spl                /* `int $14` of the program's pushes no error code */
    jz      7f
    cmpq    $0, 40(%rsp)            /* the kernel's own: it executes on a stack of the upper half */
    js      7f
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
    /* The guest's kernel, on its stack: 0 rcx, 8 rax, 16 error, 24 rip, 32 cs, 40 rflags, 48 rsp, 56 ss */
    movq    %gs:{STACK}, %rax
    testq   %rax, %rax
    jz      6f
    .irp    n, 8,16,24,32,40,48
    movq    64-\n(%rsp), %rcx
    movq    %rcx, -\n(%rax)
    .endr
    movq    %cr2, %rcx
    movq    %rcx, -56(%rax)
    movq    8(%rsp), %rcx
    movq    %rcx, -64(%rax)
    movq    (%rsp), %rcx
    leaq    -64(%rax), %rsp
    hrt_save
    call    {fault}
    testl   %eax, %eax
    hrt_restore
    jnz     hrt_gate_served
    /* Not ours: the exception's frame as it was, for the partner. */
    movq    %rax, %gs:{IST_END}-56
    .irp    n, 8,16,24,32,40,48
    movq    \n(%rsp), %rax
    movq    %rax, %gs:{IST_END}-56+\n
    .endr
    movq    (%rsp), %rax
    out     %al, $14
    ud2
6:  popq    %rcx
    jmp     7f
    .balign 16
    .globl  hrt_gate_call
hrt_gate_call:
    cmpl    ${MPROTECT}, %eax
    je      1f
    cmpl    ${SIGRETURN}, %eax
    je      1f
2:  out     %eax, ${SYSCALL}
    ud2
1:  cmpq    $0, %gs:{STACK}
    je      2b
    movq    %rsp, %gs:{CALLER}
    movq    %gs:{STACK}, %rsp
    pushq   $0x18
    pushq   %gs:{CALLER}
    pushq   %r11
    pushq   $0x10
    pushq   %rcx
    pushq   $0                      /* error */
    pushq   $0                      /* address */
    pushq   %rax
    hrt_save
    call    {call}
    testl   %eax, %eax
    hrt_restore
    jnz     hrt_gate_served
    movq    40(%rsp), %rsp          /* 0 address, 8 error, 16 rip, 24 cs, 32 rflags, 40 rsp */
    out     %eax, ${SYSCALL}
    ud2
    .balign 16
hrt_gate_served:
    addq    $16, %rsp
    /* A signal that has come meanwhile is the partner's to bring. */
    .globl  hrt_gate_back
hrt_gate_back:
    cmpl    $0, %gs:{STOP}
    jne     1f
    iretq
    .globl  hrt_gate_back_end
hrt_gate_back_end:
1:  out     %eax, ${BOUNDARY}
    ud2
    .balign 16
    .globl  hrt_gate_copy
hrt_gate_copy:
    movq    %rdx, %rcx
    shrq    $3, %rcx
    .globl  hrt_gate_copy_at
hrt_gate_copy_at:
    rep movsq
    movl    %edx, %ecx
    andl    $7, %ecx
    .globl  hrt_gate_copy_rest_at
hrt_gate_copy_rest_at:
    rep movsb
    xorl    %eax, %eax
    ret
    .balign 16
    .globl  hrt_gate_save
hrt_gate_save:
    hrt_sse movups, load
    movl    $-1, %eax
    movl    $-1, %edx
    .globl  hrt_gate_save_at
hrt_gate_save_at:
    xsave64 (%rdi)
    xorl    %eax, %eax
    ret
    .balign 16
    .globl  hrt_gate_load
hrt_gate_load:
    movl    $-1, %eax
    movl    $-1, %edx
    .globl  hrt_gate_load_at
hrt_gate_load_at:
    xrstor64 (%rdi)
    hrt_sse movups, store
    xorl    %eax, %eax
    ret
    .globl  hrt_gate_failed
hrt_gate_failed:
    movl    $1, %eax
    ret
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
    BOUNDARY = const port::BOUNDARY,
    STACK = const offset_of!(Block, guest_stack),
    CALLER = const offset_of!(Block, guest_caller),
    STOP = const offset_of!(Block, guest_stop),
    IST_END = const SIGNAL_STACK + PAGE,
    MPROTECT = const nr::MPROTECT,
    SIGRETURN = const nr::RT_SIGRETURN,
    fault = sym local::fault,
    call = sym local::call,
    options(att_syntax)
);
