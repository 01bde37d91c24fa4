//@ variants: dynamic-pie static
//@ no-trace: a traced call leaves its arguments below the stack pointer (docs/limits.md)
// Linux does not look at rsp in a system call: zero, garbage, odd and read-only stacks all work.
#include "check.h"
static long with_rsp(long rsp, long nr, long a, long b, long c) {
    long ret, after;
    __asm__ volatile("mov %%rsp, %%r12; mov %2, %%rsp; syscall; mov %%rsp, %1; mov %%r12, %%rsp"
        : "=a"(ret), "=&r"(after) : "r"(rsp), "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "r12", "memory");
    return after == rsp ? ret : -99999;
}
int main(void) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long stacks[] = {0, 1, 7, 0x1234567, -1, -8, (long)0x8000000000000000, (long)page, (long)page + 3, (long)page + 4096, (long)ro + 4096, (long)ro + 5};
    for (unsigned i = 0; i < sizeof stacks / sizeof *stacks; i++)
        for (int turn = 0; turn < 3; turn++) {
            long pid = with_rsp(stacks[i], SYS_getpid, 0, 0, 0);
            long ppid = with_rsp(stacks[i], SYS_getppid, 0, 0, 0);
            long w = with_rsp(stacks[i], SYS_write, 1, (long)"from a strange stack\n", 21);
            long e = with_rsp(stacks[i], SYS_rt_sigaction, 500, 0, 0);
            printf("stack %u turn %d: %d %d %ld %ld\n", i, turn, pid == getpid(), ppid == getppid(), w, e);
        }
    int untouched = 1;
    for (int i = 0; i < 4096; i++) untouched &= page[i] == 0;
    OK(untouched);
    return done();
}
