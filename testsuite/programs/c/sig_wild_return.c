//@ variants: dynamic-pie static
// A handler returns to where nothing can be, or with flags that a program may not have: a SIGSEGV there, or the flags as they were.
#include "check.h"
#include <ucontext.h>
static sigjmp_buf back;
static volatile unsigned long to, flags, seen, trap, code;
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    if (to) g[REG_RIP] = to;
    g[REG_EFL] ^= flags;
}
static void fault(int s, siginfo_t *i, void *c) {
    greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    seen = g[REG_RIP], trap = g[REG_TRAPNO], code = i->si_code;
    siglongjmp(back, s);
}
int main(void) {
    handle(SIGUSR1, on, 0);
    handle(SIGSEGV, fault, 0);
    unsigned long places[] = {1UL << 63, 0x0000800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffffffff81000000, 0x10};
    for (int k = 0; k < 6; k++) {
        to = places[k];
        int got = sigsetjmp(back, 1);
        if (!got) raise(SIGUSR1);
        OK(got == SIGSEGV && seen == to);
        printf("trap %lu, code %ld\n", trap, (long)code);
    }
    to = 0;
    unsigned long bits[] = {0x200, 0x3000, 0x4000, 0x20000, 0x100000, 0x3200, 0x8d5};
    for (int k = 0; k < 7; k++) {
        unsigned long before, after;
        flags = bits[k];
        __asm__ volatile("pushfq; pop %0" : "=r"(before));
        raise(SIGUSR1);
        __asm__ volatile("pushfq; pop %0" : "=r"(after));
        printf("%#lx: changed %#lx\n", bits[k], (before ^ after) & ~0x8d5UL);
    }
    return done();
}
