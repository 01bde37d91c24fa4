//@ variants: dynamic-pie static
// Fibers on 4 KiB stacks make system calls: the kernel must not need room on the program's stack.
#include "check.h"
#include <ucontext.h>
enum { FIBERS = 20, TURNS = 50 };
static ucontext_t home, fiber[FIBERS];
static int turns[FIBERS];
static long pids;
static void body(int i) {
    for (int k = 0; k < TURNS; k++) {
        pids += RAW(SYS_getpid) == getpid();
        RAW(SYS_getppid);
        RAW(SYS_close, -1);
        turns[i]++;
        swapcontext(&fiber[i], &home);
    }
}
int main(void) {
    for (int i = 0; i < FIBERS; i++) {
        char *m = mmap(NULL, 12288, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(m + 4096, 4096, PROT_READ | PROT_WRITE);
        getcontext(&fiber[i]);
        fiber[i].uc_stack.ss_sp = m + 4096;
        fiber[i].uc_stack.ss_size = 4096;
        fiber[i].uc_link = &home;
        makecontext(&fiber[i], (void (*)(void))body, 1, i);
    }
    for (int k = 0; k <= TURNS; k++)
        for (int i = 0; i < FIBERS; i++) swapcontext(&home, &fiber[i]);
    int sum = 0;
    for (int i = 0; i < FIBERS; i++) sum += turns[i];
    OK(sum == FIBERS * TURNS);
    OK(pids == FIBERS * TURNS);
    return done();
}
