//@ variants: dynamic-pie static
// The handler rewrites rip and rsp to run a function on another stack after sigreturn.
#include "check.h"
#include <ucontext.h>
static char stack[65536] __attribute__((aligned(16)));
static sigjmp_buf back;
static volatile int landed;
static void land(int a) {
    char here;
    landed = a;
    MUST(&here > stack && &here < stack + sizeof stack);
    printf("landed on another stack: %d\n", a);
    siglongjmp(back, 1);
}
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    g[REG_RIP] = (long)land;
    g[REG_RSP] = (long)(stack + sizeof stack - 8);
    g[REG_RDI] = 7;
}
int main(void) {
    handle(SIGUSR1, on, 0);
    handle(SIGSEGV, on, 0);
    // Out of a system call (kill), and out of a fault.
    for (int k = 0; k < 4; k++) {
        landed = 0;
        if (!sigsetjmp(back, 1)) {
            if (k % 2) *(volatile int *)16 = 1;
            else kill(getpid(), SIGUSR1);
        }
        OK(landed == 7);
    }
    return done();
}
