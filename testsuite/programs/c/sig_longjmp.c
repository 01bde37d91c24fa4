//@ variants: dynamic-pie static musl
// siglongjmp out of a handler that interrupted a blocked read, a thousand times: nothing leaks, masks come back.
#include "check.h"
static sigjmp_buf back;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; siglongjmp(back, 1); }
int main(void) {
    int p[2];
    char ch;
    pipe(p);
    handle(SIGALRM, on, 0);
    for (volatile int k = 0; k < 300; k++) {
        if (!sigsetjmp(back, 1)) {
            struct itimerval t = {{0, 0}, {0, 300}};
            setitimer(ITIMER_REAL, &t, NULL);
            for (;;) read(p[0], &ch, 1);
        }
    }
    for (volatile int k = 0; k < 5000; k++)
        if (!sigsetjmp(back, 1)) raise(SIGALRM);
    sigset_t m;
    sigprocmask(SIG_SETMASK, NULL, &m);
    OK(!sigismember(&m, SIGALRM));
    OK(RAW(SYS_getpid) == getpid());
    return done();
}
