//@ flags: -mno-red-zone
//@ variants: dynamic-pie static static-pie
// The 128 bytes below rsp belong to the program across a system call.
#include "check.h"
__attribute__((noinline)) static long zone(long nr, unsigned char seed) {
    long bad;
    __asm__ volatile(
        "mov %%rsp, %%r12\n\t"
        "mov $16, %%r13\n"
        "1: movzbq %b3, %%r14; imul $0x101, %%r14, %%r14; add %%r13, %%r14\n\t"
        "mov %%r13, %%r15; neg %%r15; mov %%r14, (%%rsp,%%r15,8); dec %%r13; jnz 1b\n\t"
        "mov $-1, %%rdi; xor %%esi, %%esi; xor %%edx, %%edx; mov %2, %%rax; syscall\n\t"
        "mov $16, %%r13; xor %%ebx, %%ebx\n"
        "2: movzbq %b3, %%r14; imul $0x101, %%r14, %%r14; add %%r13, %%r14\n\t"
        "mov %%r13, %%r15; neg %%r15; cmp %%r14, (%%rsp,%%r15,8); je 3f; inc %%rbx\n"
        "3: dec %%r13; jnz 2b\n\t"
        "cmp %%rsp, %%r12; je 4f; add $1000, %%rbx\n4: mov %%rbx, %0\n\t"
        : "=&r"(bad) : "0"(0L), "r"(nr), "r"((long)seed) : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    return bad;
}
int main(void) {
    long calls[] = {SYS_getpid, SYS_close, SYS_rt_sigaction, SYS_gettid, 9999, SYS_sched_yield, SYS_execve, SYS_clone3};
    for (int k = 0; k < 8; k++) {
        long bad = 0;
        for (int turn = 0; turn < 200; turn++) bad += zone(calls[k], turn);
        printf("call %ld: %s\n", calls[k], bad ? "FAILED" : "ok");
    }
    return done();
}
