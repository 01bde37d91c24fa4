//@ variants: dynamic-pie static
// A fault inside a handler inside a handler, each on the other's back, with calls at every level.
#include "check.h"
static volatile int depth, n;
static char *page;
static void on(int s, siginfo_t *i, void *c) {
    (void)c;
    depth++, n++;
    RAW(SYS_getppid);
    if (s == SIGSEGV && depth < 8) *(volatile char *)(page + 4096 * depth) = 1; // faults one deeper
    if (s == SIGSEGV) mprotect((void *)((uintptr_t)i->si_addr & -4096), 4096, PROT_READ | PROT_WRITE);
    if (s == SIGUSR1) *(volatile char *)page = 1;
    RAW(SYS_getpid);
    depth--;
}
int main(void) {
    page = mmap(NULL, 16 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on, SA_NODEFER);
    handle(SIGUSR1, on, SA_NODEFER);
    for (int k = 0; k < 50; k++) {
        mprotect(page, 16 * 4096, PROT_READ);
        raise(SIGUSR1);
        MUST(depth == 0);
    }
    printf("handlers run: %d\n", n);
    return done();
}
