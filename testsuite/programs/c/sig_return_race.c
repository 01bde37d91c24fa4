//@ variants: dynamic-pie static
//@ limit: 60
// Another signal comes while a handler returns: the mask is the program's again after both, and none is lost.
#include "check.h"
static volatile int n; // atomic: one handler may interrupt the other
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED); }
int main(void) {
    int p[2];
    char c;
    handle(SIGUSR1, on, SA_RESTART);
    handle(SIGUSR2, on, SA_RESTART);
    if (pipe(p)) return 1;
    pid_t me = getpid(), child = fork();
    if (!child) {
        close(p[1]);
        // The second at every distance from the first: in its handler, at its return, after it.
        for (int k = 0; read(p[0], &c, 1) == 1; k++) {
            kill(me, SIGUSR1);
            for (volatile int w = 0; w < k % 250 * 2000; w++) {}
            kill(me, SIGUSR2);
        }
        _exit(3);
    }
    sigset_t mask;
    for (int k = 0; k < 3000; k++) {
        n = 0;
        write(p[1], "x", 1);
        double last = now() + 20;
        while (n < 2 && now() < last) {}
        MUST(n == 2);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        MUST(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGUSR2));
    }
    close(p[1]);
    OK(reap(child) == 3);
    return done();
}
