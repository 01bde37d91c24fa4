//@ variants: dynamic-pie static static-pie
// A system call keeps every register but rax, rcx and r11, whether its site has been patched or not.
#include "check.h"
struct regs { unsigned long rbx, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15, rsp_before, rsp_after, rax; };
extern void probe(struct regs *in, struct regs *out, long nr);
// Loads all registers from `in`, makes the call, stores them to `out`. rsp is kept by way of a word on the stack.
__asm__(
    ".globl probe\nprobe:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n"
    "mov %rdx, %rax\n"
    "mov %rdi, %r11\n"
    "mov 0(%r11), %rbx; mov 8(%r11), %rbp; mov 24(%r11), %rsi; mov 32(%r11), %rdx; mov 40(%r11), %r8; mov 48(%r11), %r9\n"
    "mov 56(%r11), %r10; mov 64(%r11), %r12; mov 72(%r11), %r13; mov 80(%r11), %r14; mov 88(%r11), %r15; mov 16(%r11), %rdi\n"
    "syscall\n"
    "mov (%rsp), %rcx\n"
    "mov %rbx, 0(%rcx); mov %rbp, 8(%rcx); mov %rdi, 16(%rcx); mov %rsi, 24(%rcx); mov %rdx, 32(%rcx); mov %r8, 40(%rcx); mov %r9, 48(%rcx)\n"
    "mov %r10, 56(%rcx); mov %r12, 64(%rcx); mov %r13, 72(%rcx); mov %r14, 80(%rcx); mov %r15, 88(%rcx); mov %rax, 112(%rcx)\n"
    "pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n");
int main(void) {
    struct regs in = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444, 0x5555555555555555, 0x6666666666666666,
                      0x7777777777777777, 0x8888888888888888, 0x9999999999999999, 0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb, 0xcccccccccccccccc, 0, 0, 0};
    // A local call, forwarded ones, a mediated one that fails, an unknown one.
    long numbers[] = {SYS_getpid, SYS_gettid, SYS_getuid, SYS_close, SYS_sched_yield, SYS_rt_sigaction, SYS_mprotect, 9999, SYS_execve};
    for (unsigned k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        int same = 1;
        for (int turn = 0; turn < 1000; turn++) {
            struct regs out;
            memset(&out, 0, sizeof out);
            probe(&in, &out, numbers[k]);
            same &= !memcmp(&in, &out, 12 * 8);
        }
        printf("call %ld keeps registers: %s\n", numbers[k], same ? "yes" : "FAILED");
    }
    return done();
}
