//@ variants: dynamic-pie static
// An alternate stack of exactly the smallest size the kernel names still suffices for a handler with system calls.
#include "check.h"
#include <sys/auxv.h>
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
static volatile int n;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; n++; RAW(SYS_getppid); RAW(SYS_getpid); RAW(SYS_write, 1, "small\n", 6); }
int main(void) {
    size_t size = getauxval(AT_MINSIGSTKSZ) + 512;
    char *m = mmap(NULL, 5 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + 4096, 3 * 4096, PROT_READ | PROT_WRITE);
    stack_t ss = {.ss_sp = m + 4 * 4096 - size, .ss_size = size};
    OK(sigaltstack(&ss, NULL) == 0);
    handle(SIGUSR1, on, SA_ONSTACK);
    handle(SIGSEGV, on, SA_ONSTACK | SA_RESETHAND);
    for (int k = 0; k < 3; k++) raise(SIGUSR1);
    OK(n == 3);
    int clean = 1;
    for (char *p = m + 4096; p < (char *)ss.ss_sp; p++) clean &= *p == 0;
    OK(clean);
    return done();
}
