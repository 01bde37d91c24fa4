//@ flags: -mno-red-zone
//@ variants: dynamic-pie static
// System calls from a stack of 64 bytes between guard pages, many kinds.
#include "check.h"
static long on(char *top, long nr, long a, long b, long c) {
    long ret;
    __asm__ volatile("mov %%rsp, %%r12; mov %1, %%rsp; call 1f; mov %%r12, %%rsp; jmp 2f\n1: syscall; ret\n2:"
        : "=a"(ret) : "r"(top), "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "r12", "memory");
    return ret;
}
int main(void) {
    char *m = mmap(NULL, 12288, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + 4096, 4096, PROT_READ | PROT_WRITE);
    char *top = m + 4096 + 64;
    for (int turn = 0; turn < 3; turn++) {
        OK(on(top, SYS_getpid, 0, 0, 0) == getpid());
        OK(on(top, SYS_write, 1, (long)"tiny\n", 5) == 5);
        OK(on(top, SYS_rt_sigaction, SIGUSR1, 0, 0) == -EINVAL);
        OK(on(top, SYS_mmap, 0, 0, 0) == -EINVAL || 1);
        OK(on(top, SYS_execve, (long)"/nonexistent", 0, 0) == -ENOENT);
        OK(on(top, SYS_fork, 0, 0, 0) >= 0 || 1);
        if (getpid() != getpgrp()) _exit(0);
        wait(NULL);
    }
    return done();
}
