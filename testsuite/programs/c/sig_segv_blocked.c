// A fault while its signal is blocked or ignored kills all the same.
//@ signal: SIGSEGV
#include "check.h"
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; printf("FAILED: handler\n"); _exit(1); }
int main(void) {
    pid_t p = fork();
    if (!p) { signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1; _exit(1); }
    OK(reap(p) == 1000 + SIGSEGV);
    handle(SIGSEGV, on, 0);
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGSEGV);
    sigprocmask(SIG_BLOCK, &m, NULL);
    *(volatile int *)8 = 1;
    return 1;
}
