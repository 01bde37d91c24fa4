//@ variants: dynamic-pie static
//@ native-only: uc_stack in a handler's context is the kernel's own signal stack (docs/limits.md)
// The alternate stack that a handler's context names is the program's.
#include "check.h"
static char alt[65536];
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    MUST(((ucontext_t *)c)->uc_stack.ss_sp == alt);
}
int main(void) {
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
    OK(sigaltstack(&ss, NULL) == 0);
    handle(SIGUSR1, on, SA_ONSTACK);
    OK(raise(SIGUSR1) == 0);
    return done();
}
