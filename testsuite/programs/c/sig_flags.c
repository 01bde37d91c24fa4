//@ variants: dynamic-pie static musl
// SA_NODEFER, SA_RESETHAND, sa_mask, and the mask inside and after a handler.
#include "check.h"
static volatile int depth, deepest, n;
static void nested(int s, siginfo_t *i, void *c) {
    (void)i, (void)c;
    sigset_t m;
    depth++, n++;
    if (depth > deepest) deepest = depth;
    sigprocmask(SIG_SETMASK, NULL, &m);
    printf("depth %d: usr1 %d usr2 %d\n", depth, sigismember(&m, SIGUSR1), sigismember(&m, SIGUSR2));
    if (n < 3) raise(s);
    depth--;
}
int main(void) {
    handle(SIGUSR1, nested, SA_NODEFER);
    raise(SIGUSR1);
    OK(n == 3 && deepest == 3);
    n = deepest = 0;
    handle(SIGUSR1, nested, 0);
    raise(SIGUSR1);
    OK(n == 3 && deepest == 1);
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = nested;
    sa.sa_flags = SA_SIGINFO | SA_RESETHAND;
    sigaddset(&sa.sa_mask, SIGUSR2);
    n = 5;
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    OK(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    sigset_t m;
    sigprocmask(SIG_SETMASK, NULL, &m);
    OK(!sigismember(&m, SIGUSR1) && !sigismember(&m, SIGUSR2));
    return done();
}
