//@ variants: dynamic-pie static
// Threads made by the bare clone system call, on stacks of 4 KiB, without libc's help; joined by CLEARTID futex.
#include "check.h"
#include <linux/futex.h>
static int value[16], bad;
static volatile int tids[16];
// The thread's function may use no TLS of libc.
static void body(long i) {
    long tid = RAW(SYS_gettid);
    if (tid != tids[i]) __atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
    for (int k = 0; k < 100; k++)
        if (RAW(SYS_gettid) != tid || RAW(SYS_getpid) == tid) __atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST);
    value[i] = i * i;
    RAW(SYS_exit, 0);
}
static long start(char *stack, long i) {
    long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    long ret;
    register long r10 __asm__("r10") = (long)&tids[i];
    __asm__ volatile(
        "mov %5, %%r12; mov %6, %%r13\n\t"
        "syscall\n\t"
        "test %%rax, %%rax; jnz 1f\n\t"
        "xor %%ebp, %%ebp; mov %%r12, %%rdi; call *%%r13; hlt\n1:"
        : "=a"(ret) : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(&tids[i]), "r"(i), "r"((void *)body), "r"(r10)
        : "rcx", "r11", "r12", "r13", "memory");
    return ret;
}
int main(void) {
    for (int round = 0; round < 10; round++) {
        char *stacks = mmap(NULL, 16 * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 16; i++) {
            mprotect(stacks + i * 8192 + 4096, 4096, PROT_READ | PROT_WRITE);
            value[i] = 0;
            MUST(start(stacks + (i + 1) * 8192, i) > 0);
        }
        for (int i = 0; i < 16; i++) {
            for (int t; (t = tids[i]);) RAW(SYS_futex, &tids[i], FUTEX_WAIT, t, 0);
            MUST(value[i] == i * i);
        }
        // The stacks are no longer in use, by the kernel neither: they can go.
        munmap(stacks, 16 * 8192);
    }
    OK(bad == 0);
    return done();
}
