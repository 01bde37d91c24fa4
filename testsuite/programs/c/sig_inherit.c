//@ flags: -pthread
// Masks, dispositions and pending signals over fork and thread creation.
#include "check.h"
static volatile int n;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; n++; }
static void *body(void *a) {
    sigset_t m, p;
    pthread_sigmask(SIG_SETMASK, NULL, &m);
    MUST(sigismember(&m, SIGUSR1) && !sigismember(&m, SIGUSR2));
    sigpending(&p);
    MUST(sigismember(&p, SIGUSR2) == 0);
    sigfillset(&m);
    pthread_sigmask(SIG_SETMASK, &m, NULL);
    return a;
}
int main(void) {
    sigset_t m, p;
    sigemptyset(&m);
    sigaddset(&m, SIGUSR1);
    sigprocmask(SIG_SETMASK, &m, NULL);
    handle(SIGUSR1, on, 0), handle(SIGUSR2, on, 0);
    raise(SIGUSR1);
    pid_t k = fork();
    if (!k) {
        sigpending(&p);
        sigprocmask(SIG_SETMASK, NULL, &m);
        int ok = !sigismember(&p, SIGUSR1) && sigismember(&m, SIGUSR1);
        raise(SIGUSR2);
        _exit(ok && n == 1 ? 5 : 6);
    }
    OK(reap(k) == 5);
    pthread_t t;
    pthread_create(&t, NULL, body, NULL);
    pthread_join(t, NULL);
    sigprocmask(SIG_SETMASK, NULL, &m);
    OK(!sigismember(&m, SIGUSR2));
    OK(n == 0);
    sigemptyset(&m);
    sigprocmask(SIG_SETMASK, &m, NULL);
    OK(n == 1);
    return done();
}
