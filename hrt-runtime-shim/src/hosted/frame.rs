//! The program's registers while the kernel works for it, and the assembly that saves and restores them.
//!
//! Every register that Linux preserves across a system call is preserved: the general ones and flags in the frame, the
//! low halves of the vector registers too, since compiled Rust code uses SSE (and only SSE: the upper halves, the x87
//! state and the mask registers are not touched).
//!
//! # Signals
//! A signal handler of the program never runs on the kernel stack. Handlers are entered through `hrt_signal_common`,
//! which looks where the thread was interrupted. On the kernel stack the signal is sent again and blocked (*deferred*)
//! until the exit, which unblocks it with the program's own stack pointer. In call slots, and in the kernel's first and
//! last instructions, the interrupted context is moved to the equivalent place in the program (`signals`).

use crate::kernel::block::offset;
use core::arch::global_asm;

/// The program's registers. `xmm` is first, so that it is aligned with the stack.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Frame {
    pub xmm: [u128; 16],
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    /// The call's number at entry, its result at exit.
    pub rax: u64,
    /// The call's number.
    pub nr: u64,
    /// Where the program goes on.
    pub target: u64,
    pub flags: u64,
    pub rsp: u64,
    /// Code address of the call slot.
    pub slot: u64,
}

impl Frame {
    /// The six arguments of the call.
    #[must_use]
    pub fn args(&self) -> [usize; 6] {
        [
            self.rdi as usize,
            self.rsi as usize,
            self.rdx as usize,
            self.r10 as usize,
            self.r8 as usize,
            self.r9 as usize,
        ]
    }
}

/// Bytes of a [`Frame`].
pub const FRAME_SIZE: usize = 400;
const _: () = assert!(size_of::<Frame>() == FRAME_SIZE && FRAME_SIZE.is_multiple_of(16));

/// What a call whose arguments were replaced leaves on the program's stack, below the red zone, until it is back.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Spill {
    /// Code address of the call slot.
    pub slot: u64,
    /// The call's number.
    pub nr: u64,
    /// The program's own arguments.
    pub args: [u64; 6],
    /// Room for a replaced signal mask.
    pub mask: u64,
    /// Room for pselect6's pair of pointer and size.
    pub pair: [u64; 2],
    /// Zero.
    pub reserved: [u64; 5],
}

/// Bytes of a [`Spill`].
pub const SPILL_SIZE: usize = 128;
/// Distance from the program's stack pointer to the spill: the red zone (AMD64 psABI 3.2.2), then the spill.
pub const SPILL_BELOW: usize = 128 + SPILL_SIZE;
const _: () = assert!(size_of::<Spill>() == SPILL_SIZE);

/// A flag of `uc_stack` with which rt_sigreturn(2) leaves the alternate signal stack as it is: sigaltstack(2) would refuse it, which Linux ignores there (`restore_altstack`,
/// kernel/signal.c). The frame names the stack of the block on which the handler began, and a kernel thread may have another one when it ends.
pub const KEEP_STACK: i32 = 0x100;

/// What `hrt_mask_call` returns if it was not made; no result of Linux's.
pub const NOT_MADE: isize = -0x1_0000;

unsafe extern "C" {
    /// Entry from a slot: `rcx` is the slot.
    pub fn hrt_kernel_entry();
    /// Entry from a slot, `rcx`, to what is served on the program's stack.
    pub fn hrt_upcall();
    /// Goes on with the registers in a [`Frame`], on the stack that they name.
    pub fn hrt_upcall_resume(frame: usize) -> !;
    /// End of that.
    pub fn hrt_upcall_end();
    /// As `hrt_upcall`, in the guest on `kvm`.
    pub fn hrt_kvm_upcall();
    /// As `hrt_upcall_resume`, there.
    pub fn hrt_kvm_upcall_resume(frame: usize) -> !;
    /// From here on `Local::frame` is the frame, and going on with that frame at `hrt_kvm_upcall_resume` comes to the same.
    pub fn hrt_kvm_upcall_kept();
    /// The `syscall` by which the guest is left when signals wait, with all registers as the program will see them but for `rcx` and RIP, which are to be `Local::resume`.
    pub fn hrt_kvm_upcall_boundary();
    /// End of that.
    pub fn hrt_kvm_upcall_end();
    /// The exit.
    pub fn hrt_kernel_exit();
    /// First instruction of the exit's window, with all registers but `rcx` and `r11` as the program will see them.
    pub fn hrt_window_start();
    /// Where `rax`, `rdi`, `rsi`, `rdx` and `r10` are in `block.save` instead.
    pub fn hrt_window_flushed();
    /// End of that.
    pub fn hrt_window_flushed_end();
    /// End of the window.
    pub fn hrt_window_end();
    /// The `syscall` of a call with replaced arguments.
    pub fn hrt_spilled_syscall();
    /// Right after it.
    pub fn hrt_spilled_return();
    /// Entry of the first registered handler; others follow each 16 bytes.
    pub fn hrt_signal_entries();
    /// From here on, up to `hrt_signal_masked`, `r12` is the address of the signal's ucontext; before it is `rdx`.
    pub fn hrt_signal_kept();
    /// Here all signals are blocked, if the frame is on the program's stack.
    pub fn hrt_signal_masked();
    /// Entry of SIGSYS.
    pub fn hrt_sigsys();
    /// rt_sigprocmask(2) of 8 bytes, `how, set, old`; [`NOT_MADE`] if a signal is deferred, or is before the call is made.
    pub fn hrt_mask_call(how: usize, set: usize, old: usize) -> isize;
    /// Right after its `syscall`.
    pub fn hrt_mask_called();
    /// Where it goes on if it is not to be made.
    pub fn hrt_mask_not_made();
    /// clone(2) onto a child stack that holds a [`Frame`]: `flags, stack, parent_tid, child_tid, tls`.
    pub fn hrt_clone(flags: usize, stack: usize, ptid: usize, ctid: usize, tls: usize) -> isize;
    /// clone3(2), likewise.
    pub fn hrt_clone3(args: usize, size: usize) -> isize;
}

global_asm!(
    r#"
    .section .text.hrt_asm, "ax", @progbits

    /* A frame's part below the flags. */
    .macro HRT_PUSH
    pushq   $0
    pushq   %rax
    pushq   %rax
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %rbx
    pushq   %rbp
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    cld
    subq    $256, %rsp
    movaps  %xmm0, (%rsp)
    movaps  %xmm1, 16(%rsp)
    movaps  %xmm2, 32(%rsp)
    movaps  %xmm3, 48(%rsp)
    movaps  %xmm4, 64(%rsp)
    movaps  %xmm5, 80(%rsp)
    movaps  %xmm6, 96(%rsp)
    movaps  %xmm7, 112(%rsp)
    movaps  %xmm8, 128(%rsp)
    movaps  %xmm9, 144(%rsp)
    movaps  %xmm10, 160(%rsp)
    movaps  %xmm11, 176(%rsp)
    movaps  %xmm12, 192(%rsp)
    movaps  %xmm13, 208(%rsp)
    movaps  %xmm14, 224(%rsp)
    movaps  %xmm15, 240(%rsp)
    .endm

    .macro HRT_SAVE
    movq    %rsp, %gs:{USER_RSP}
    movq    %gs:{STACK_TOP}, %rsp   /* until here the program's stack pointer: see program_context */
    pushq   %rcx
    pushq   %gs:{USER_RSP}
    pushfq
    HRT_PUSH
    movq    %rsp, %rdi
    .endm

    /* The registers of a frame at the stack pointer, up to the call's number. */
    .macro HRT_POP
    movaps  (%rsp), %xmm0
    movaps  16(%rsp), %xmm1
    movaps  32(%rsp), %xmm2
    movaps  48(%rsp), %xmm3
    movaps  64(%rsp), %xmm4
    movaps  80(%rsp), %xmm5
    movaps  96(%rsp), %xmm6
    movaps  112(%rsp), %xmm7
    movaps  128(%rsp), %xmm8
    movaps  144(%rsp), %xmm9
    movaps  160(%rsp), %xmm10
    movaps  176(%rsp), %xmm11
    movaps  192(%rsp), %xmm12
    movaps  208(%rsp), %xmm13
    movaps  224(%rsp), %xmm14
    movaps  240(%rsp), %xmm15
    addq    $256, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbp
    popq    %rbx
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rax
    leaq    8(%rsp), %rsp
    .endm

    /* To the program's stack, without its red zone; rcx is the slot. */
    .macro HRT_ENTER_UPCALL
    movq    %rsp, %r11
    leaq    -128(%rsp), %rsp        /* the red zone */
    pushfq
    andq    $-16, %rsp
    pushq   %rcx
    pushq   %r11
    pushq   -136(%r11)
    HRT_PUSH
    movq    %gs:{LOCAL}, %rbx
    movl    $1, {INSIDE}(%rbx)
    movq    %rsp, %rdi
    call    {upcall}
    movq    %rsp, %rdi
    .endm

    .balign 64
    .globl  hrt_kernel_entry
hrt_kernel_entry:
    HRT_SAVE
    call    {dispatch}
    .globl  hrt_kernel_exit
hrt_kernel_exit:
    HRT_POP
    popq    %gs:{TARGET}
    movq    (%rsp), %r11            /* as `syscall` leaves it */
    popfq
    popq    %rsp
    .globl  hrt_window_start
hrt_window_start:
    movl    %gs:{DEFERRED}, %ecx
    jrcxz   1f
    jmp     2f
1:  movq    %gs:{TARGET}, %rcx      /* as `syscall` leaves it */
    jmpq    *%rcx
    /* Signals wait: unblock them here, with the program's stack pointer and no use of its stack. */
2:  movq    %rax, %gs:{SAVE}
    movq    %rdi, %gs:{SAVE}+8
    movq    %rsi, %gs:{SAVE}+16
    movq    %rdx, %gs:{SAVE}+24
    movq    %r10, %gs:{SAVE}+32
    movl    $0, %gs:{DEFERRED}
    movl    $14, %eax
    movl    $2, %edi
    movq    %gs:0, %rsi
    leaq    {DEFERRED_MASK}(%rsi), %rsi
    movl    $0, %edx
    movl    $8, %r10d
    syscall
    .globl  hrt_window_flushed
hrt_window_flushed:
    movq    %gs:{SAVE}, %rax
    movq    %gs:{SAVE}+8, %rdi
    movq    %gs:{SAVE}+16, %rsi
    movq    %gs:{SAVE}+24, %rdx
    movq    %gs:{SAVE}+32, %r10
    .globl  hrt_window_flushed_end
hrt_window_flushed_end:
    jmp     hrt_window_start
    .globl  hrt_window_end
hrt_window_end:

    /* From here to its end: on the program's stack, where signals are deferred. */
    .balign 64
    .globl  hrt_upcall
hrt_upcall:
    HRT_ENTER_UPCALL
    .globl  hrt_upcall_resume
hrt_upcall_resume:                  /* the frame is at rdi */
    movq    %rdi, %rsp
    movq    %gs:{LOCAL}, %rbx
    movl    $0, {INSIDE}(%rbx)
    jmp     hrt_kernel_exit
    .globl  hrt_upcall_end
hrt_upcall_end:

    /* The same in the guest, which may not write to its block. */
    .balign 64
    .globl  hrt_kvm_upcall
hrt_kvm_upcall:
    HRT_ENTER_UPCALL
    .globl  hrt_kvm_upcall_resume
hrt_kvm_upcall_resume:
    movq    %gs:{LOCAL}, %rbx
    movq    %rdi, {FRAME}(%rbx)
    .globl  hrt_kvm_upcall_kept
hrt_kvm_upcall_kept:
    movq    %rdi, %rsp
    movl    $0, {INSIDE}(%rbx)
    HRT_POP
    popq    %rcx
    movq    %gs:{LOCAL}, %r11
    movq    %rcx, {RESUME}(%r11)
    movq    (%rsp), %r11            /* as `syscall` leaves it */
    popfq
    popq    %rsp
    movq    %gs:0, %rcx             /* in ring 0 the GS base is an alias, where not all of a block is mapped */
    movl    {PENDING}(%rcx), %ecx
    jrcxz   1f
    .globl  hrt_kvm_upcall_boundary
hrt_kvm_upcall_boundary:
    syscall
1:  movq    %gs:{LOCAL}, %rcx
    movq    {RESUME}(%rcx), %rcx
    jmpq    *%rcx
    .globl  hrt_kvm_upcall_end
hrt_kvm_upcall_end:

    .balign 16
    .globl  hrt_spilled_syscall
hrt_spilled_syscall:
    syscall
    .globl  hrt_spilled_return
hrt_spilled_return:
    movq    (%rsp), %rcx
    HRT_SAVE
    call    {after}
    jmp     hrt_kernel_exit

    .balign 16
    .globl  hrt_mask_call
hrt_mask_call:
    movl    $8, %r10d
    movl    $14, %eax
    cmpl    $0, %gs:{DEFERRED}
    jne     hrt_mask_not_made
    syscall                         /* up to here a signal that is deferred takes it to hrt_mask_not_made */
    .globl  hrt_mask_called
hrt_mask_called:
    ret
    .globl  hrt_mask_not_made
hrt_mask_not_made:
    movq    ${NOT_MADE}, %rax
    ret

    .balign 16
    .globl  hrt_clone
hrt_clone:
    movq    %rcx, %r10
    movl    $56, %eax
    syscall
    testq   %rax, %rax
    jz      3f
    ret
    .globl  hrt_clone3
hrt_clone3:
    movl    $435, %eax
    syscall
    testq   %rax, %rax
    jz      3f
    ret
3:  movq    %rsp, %rdi
    xorl    %ebp, %ebp
    call    {child}
    jmp     hrt_kernel_exit

    .balign 16
    .globl  hrt_signal_entries
hrt_signal_entries:
    .set    hrt_n, 0
    .rept   {ENTRIES}
    .balign 16
    movl    $hrt_n, %eax
    jmp     hrt_signal_common
    .set    hrt_n, hrt_n + 1
    .endr

    .balign 16
    .globl  hrt_signal_common
hrt_signal_common:
    orl     ${KEEP_STACK}, 24(%rdx) /* uc_stack.ss_flags */
    movq    %rdx, %r12
    .globl  hrt_signal_kept
hrt_signal_kept:                    /* from here on r12 is the ucontext: see program_context */
    movq    %rsp, %rcx
    xorq    %gs:0, %rcx
    shrq    $16, %rcx               /* the frame is in the thread's block: BLOCK_SIZE */
    jz      5f
    movq    168(%rdx), %rcx
    subq    {image}(%rip), %rcx
    cmpq    {image_size}(%rip), %rcx
    jb      4f
    movq    168(%rdx), %rcx
    subq    {island}(%rip), %rcx
    cmpq    $4096, %rcx
    jb      4f
    cmpl    ${SENT_ON}, 8(%rsi)     /* sent to a kernel thread, which may not be this one */
    je      4f
    cmpl    $11, %edi               /* SIGSEGV */
    jne     3f
    cmpl    $2, 8(%rsi)             /* SEGV_ACCERR: perhaps of memory that only the kernel has */
    jne     3f
    cmpq    $0, {kept}(%rip)
    jne     4f
3:  leaq    {handlers}(%rip), %r11
    movq    (%r11,%rax,8), %r11
    incq    %gs:{SIGNALS}
    xorl    %eax, %eax
    jmpq    *%r11
    /* On the program's stack, out of the payload: what the handler sees must be put right before another signal's handler runs. */
4:  movq    %rdi, %r13
    movq    %rsi, %r14
    movl    %eax, %r15d
    movl    $14, %eax               /* rt_sigprocmask(SIG_SETMASK, all, 0, 8) */
    movl    $2, %edi
    leaq    9f(%rip), %rsi
    xorl    %edx, %edx
    movl    $8, %r10d
    syscall
    movq    %r13, %rdi
    movq    %r14, %rsi
    movq    %r12, %rdx
    movl    %r15d, %eax
    .globl  hrt_signal_masked
hrt_signal_masked:
5:  pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    pushq   %rax
    pushq   %rax
    movl    %eax, %ecx
    call    {in_kernel}
    movq    %rax, %rcx
    popq    %rax
    popq    %rax
    popq    %rdx
    popq    %rsi
    popq    %rdi
    cmpq    $1, %rcx
    ja      6f
    je      8f
    ret
    /* The frame was moved by rcx; go there, and only then let signals in again. */
6:  addq    %rcx, %rsp
    addq    %rcx, %rsi
    addq    %rcx, %rdx
8:  leaq    {handlers}(%rip), %r11
    movq    (%r11,%rax,8), %r11
7:  pushq   %r11
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    movl    $14, %eax               /* rt_sigprocmask(SIG_SETMASK, &block.save[0], 0, 8) */
    movl    $2, %edi
    movq    %gs:0, %rsi
    leaq    {SAVE}(%rsi), %rsi
    xorl    %edx, %edx
    movl    $8, %r10d
    syscall
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %r11
    incq    %gs:{SIGNALS}
    xorl    %eax, %eax
    jmpq    *%r11
    .balign 8
9:  .quad   -1

    .balign 16
    .globl  hrt_sigsys
hrt_sigsys:
    pushq   %rbx
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    movq    %rsp, %rbx
    subq    $16, %rsp
    andq    $-16, %rsp
    movq    %rsp, %rcx              /* two words: how far the frame was moved, and the handler */
    call    {sigsys}
    movq    (%rsp), %rcx
    movq    8(%rsp), %r11
    movq    %rbx, %rsp
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %rbx
    testq   %r11, %r11
    jz      8f
    addq    %rcx, %rsp
    addq    %rcx, %rsi
    addq    %rcx, %rdx
    jmp     7b
8:  ret
    "#,
    USER_RSP = const offset::USER_RSP,
    STACK_TOP = const offset::STACK_TOP,
    TARGET = const offset::TARGET,
    DEFERRED = const offset::DEFERRED,
    DEFERRED_MASK = const offset::DEFERRED_MASK,
    SAVE = const offset::SAVE,
    SIGNALS = const offset::SIGNALS,
    NOT_MADE = const NOT_MADE,
    LOCAL = const offset::LOCAL,
    INSIDE = const crate::threads::INSIDE_OFFSET,
    FRAME = const crate::threads::FRAME_OFFSET,
    RESUME = const crate::threads::RESUME_OFFSET,
    PENDING = const crate::kvm::signals::PENDING_OFFSET,
    KEEP_STACK = const KEEP_STACK,
    SENT_ON = const crate::threads::posix::SENT_ON,
    upcall = sym super::upcall::hrt_serve_upcall,
    ENTRIES = const crate::kernel::actions::HANDLERS,
    dispatch = sym super::dispatch::hrt_dispatch,
    after = sym super::dispatch::hrt_after,
    child = sym super::threads::hrt_child,
    image = sym crate::kernel::IMAGE,
    image_size = sym crate::kernel::IMAGE_SIZE,
    island = sym crate::kernel::patch::ISLAND_AT,
    handlers = sym crate::kernel::actions::HANDLER_ADDRESSES,
    in_kernel = sym super::signals::hrt_signal_in_kernel,
    sigsys = sym super::signals::hrt_sigsys_rust,
    kept = sym crate::kernel::memory::KEPT,
    options(att_syntax)
);
