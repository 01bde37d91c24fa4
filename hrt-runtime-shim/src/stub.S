/* The entry stub of a hybrid ELF: loads the payload's image and calls it, then jumps to the original entry point.
 *
 * It runs with the registers and the stack that Linux (static programs) or ld.so (dynamic ones) gives to an entry
 * point, and hands both on unchanged. Position-independent, no relocations: mv-link takes these bytes as they are.
 * Layouts: hrt-kernel/abi (InfoBlock, PayloadHeader).
 */
        .set SYS_mmap, 9
        .set SYS_mprotect, 10
        .set SYS_munmap, 11
        .set SYS_madvise, 28
        .set SYS_write, 1
        .set SYS_exit_group, 231
        .set AT_SECURE, 23

        .section .text.multiverse, "ax", @progbits
        .balign 16
info:
        .ascii  "MVSTUB\0\001"
        .long   1                       /* abi_version */
        .long   0                       /* flags */
        .quad   0                       /* payload_delta */
        .quad   0                       /* payload_size */
        .quad   0                       /* entry_delta */
        .quad   0                       /* options_delta */
        .quad   0                       /* options_size */
        .fill   9, 8, 0
        .if . - info != 128
        .error "InfoBlock is 128 bytes"
        .endif

        .set I_payload_delta, 16
        .set I_entry_delta, 32
        .set P_image_offset, 12
        .set P_image_size, 16
        .set P_mem_size, 20
        .set P_entry, 24
        .set P_text_start, 28
        .set P_text_end, 32
        .set P_reloc_offset, 36
        .set P_reloc_count, 40
        .set P_data_start, 44

stub_entry:
        endbr64
        pushq   $0                      /* where to go in the end: read at -8(%rsp) by the last instruction */
        pushfq
        pushq   %rax
        pushq   %rbx
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %rbp
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld
        movq    %rsp, %rbx              /* 17 words below the initial stack pointer */
        andq    $-16, %rsp
        leaq    info(%rip), %rbp
        movq    I_payload_delta(%rbp), %r12
        addq    %rbp, %r12              /* r12: the blob */
        movq    I_entry_delta(%rbp), %r14
        addq    %rbp, %r14              /* r14: where to go; the original entry point unless the payload says otherwise */

        xorl    %edi, %edi
        movl    P_mem_size(%r12), %esi
        movl    $3, %edx                /* PROT_READ | PROT_WRITE */
        movl    $0x22, %r10d            /* MAP_PRIVATE | MAP_ANONYMOUS */
        movq    $-1, %r8
        xorl    %r9d, %r9d
        movl    $SYS_mmap, %eax
        syscall
        testq   %rax, %rax
        js      refused
        movq    %rax, %r13              /* r13: load address */

        movq    %r13, %rdi              /* all of the image at once, not page by page; Linux before 5.14 refuses */
        movl    P_image_size(%r12), %esi
        movl    $23, %edx               /* MADV_POPULATE_WRITE */
        movl    $SYS_madvise, %eax
        syscall

        movq    %r13, %rdi
        movl    P_image_offset(%r12), %esi
        addq    %r12, %rsi
        movl    P_image_size(%r12), %ecx
        rep movsb

        movl    P_reloc_offset(%r12), %esi
        addq    %r12, %rsi
        movl    P_reloc_count(%r12), %ecx
        testl   %ecx, %ecx
        jz      2f
1:      movl    (%rsi), %eax
        addq    %r13, (%r13, %rax)
        addq    $4, %rsi
        decl    %ecx
        jnz     1b
2:
        movl    P_text_start(%r12), %edi
        movl    P_text_end(%r12), %esi
        subl    %edi, %esi
        addq    %r13, %rdi
        movl    $5, %edx                /* PROT_READ | PROT_EXEC */
        movl    $SYS_mprotect, %eax
        syscall
        testq   %rax, %rax
        js      unmap

        movl    P_text_end(%r12), %edi
        movl    P_data_start(%r12), %esi
        subl    %edi, %esi
        addq    %r13, %rdi
        movl    $1, %edx                /* PROT_READ */
        movl    $SYS_mprotect, %eax
        syscall

        leaq    17*8(%rbx), %rdi        /* the initial stack */
        movq    %rbp, %rsi              /* the information block */
        movq    %r13, %rdx              /* the load address */
        movq    %r12, %rcx              /* the blob */
        movq    %r14, %r8               /* the original entry point */
        movl    P_entry(%r12), %eax
        addq    %r13, %rax
        call    *%rax
        movq    %rax, %r14
        jmp     leave

unmap:
        movq    %r13, %rdi
        movl    P_mem_size(%r12), %esi
        movl    $SYS_munmap, %eax
        syscall

refused:        /* The program runs plainly, unless its user has named a platform. */
        leaq    17*8(%rbx), %r8         /* the initial stack: argc, arguments and 0, environment and 0, auxiliary vector */
        movq    (%r8), %rax
        leaq    16(%r8, %rax, 8), %r8
        xorl    %r9d, %r9d              /* r9: the value of HRT_PLATFORM */
1:      movq    (%r8), %rdi
        addq    $8, %r8
        testq   %rdi, %rdi
        jz      2f
        testq   %r9, %r9
        jnz     1b
        leaq    variable(%rip), %rsi
        movl    $variable_end - variable, %ecx
        repe cmpsb
        jne     1b
        movq    %rdi, %r9
        jmp     1b
2:      testq   %r9, %r9
        jz      leave
3:      movq    (%r8), %rax             /* who has more rights than his caller does not listen to him */
        testq   %rax, %rax
        jz      leave
        addq    $16, %r8
        cmpq    $AT_SECURE, %rax
        jne     3b
        cmpq    $0, -8(%r8)
        jne     leave
        leaq    kvm(%rip), %rsi
        movq    %r9, %rdi
        movl    $4, %ecx
        repe cmpsb
        leaq    say_kvm(%rip), %rsi
        movl    $say_hosted - say_kvm, %edx
        je      4f
        leaq    hosted(%rip), %rsi
        movq    %r9, %rdi
        movl    $7, %ecx
        repe cmpsb
        jne     leave
        leaq    say_hosted(%rip), %rsi
        movl    $say_end - say_hosted, %edx
4:      movl    $2, %edi
        movl    $SYS_write, %eax
        syscall
        movl    $125, %edi
        movl    $SYS_exit_group, %eax
        syscall
        ud2

variable:
        .ascii  "HRT_PLATFORM="
variable_end:
kvm:    .asciz  "kvm"
hosted: .asciz  "hosted"
        .macro  say platform
        .ascii  "multiverse: HRT_PLATFORM=\platform cannot run: no memory for the HRT kernel, or it may not be made executable "
        .ascii  "(HRT_PLATFORM=auto takes what can)\n"
        .endm
say_kvm:
        say     kvm
say_hosted:
        say     hosted
say_end:

leave:
        movq    %rbx, %rsp
        movq    %r14, 16*8(%rsp)
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rbp
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rbx
        popq    %rax
        popfq
        leaq    8(%rsp), %rsp
        jmp     *-8(%rsp)

        .section .note.GNU-stack, "", @progbits
