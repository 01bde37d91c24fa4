//@ variants: dynamic-pie static musl
// Stack overflow with the handler on an alternate stack; SA_ONSTACK seen from inside; the stack's state queried.
#include "check.h"
#include <sys/resource.h>
static sigjmp_buf back;
static char *alt;
static size_t size = 65536;
static void on(int s, siginfo_t *i, void *c) {
    char here;
    stack_t ss;
    (void)s, (void)i;
    MUST(&here > alt && &here < alt + size);
    MUST(sigaltstack(NULL, &ss) == 0 && ss.ss_flags == SS_ONSTACK && ss.ss_sp == alt && ss.ss_size == size);
    MUST(RAW(SYS_sigaltstack, &ss, 0) == -EPERM);
    (void)c;
    MUST(RAW(SYS_getpid) == getpid());
    siglongjmp(back, 1);
}
__attribute__((noinline)) static int overflow(int n) { volatile char pad[4000]; pad[0] = n; RAW(SYS_getppid); return n < 1 << 30 ? overflow(n + 1) + pad[0] : 0; }
int main(void) {
    struct rlimit rl = {1 << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_STACK, &rl);
    alt = malloc(size);
    stack_t ss = {.ss_sp = alt, .ss_size = size}, old;
    OK(sigaltstack(&ss, &old) == 0 && old.ss_flags == SS_DISABLE);
    handle(SIGSEGV, on, SA_ONSTACK);
    for (int k = 0; k < 5; k++) {
        volatile int caught = 0;
        if (sigsetjmp(back, 1)) caught = 1;
        else overflow(0);
        OK(caught);
        OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0);
    }
    ss.ss_size = 100;
    OK(ERR(sigaltstack(&ss, NULL), ENOMEM));
    ss.ss_flags = 0x77;
    OK(ERR(sigaltstack(&ss, NULL), EINVAL));
    ss.ss_flags = SS_DISABLE;
    OK(sigaltstack(&ss, NULL) == 0);
    return done();
}
