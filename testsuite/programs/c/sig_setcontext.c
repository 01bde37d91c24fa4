// A handler switches to another context for good, as green-thread schedulers do on a timer.
#include "check.h"
#include <ucontext.h>
static ucontext_t c[3];
static volatile long count[2], switches;
static volatile int cur, stop;
static void on(int s, siginfo_t *i, void *u) {
    (void)s, (void)i, (void)u;
    if (stop) return; // one more, before the timer is off
    int from = cur;
    if (++switches >= 200) stop = 1;
    cur = !cur;
    swapcontext(&c[from], stop ? &c[2] : &c[cur]);
}
static sigset_t set;
static void body(int k) {
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    for (;;) { count[k]++; if (count[k] % 100 == 0) RAW(SYS_getppid); }
}
int main(void) {
    handle(SIGALRM, on, SA_RESTART);
    // Blocked during every switch: a signal in its midst would be saved as the other context.
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 2; i++) {
        getcontext(&c[i]);
        c[i].uc_stack.ss_sp = malloc(65536), c[i].uc_stack.ss_size = 65536;
        makecontext(&c[i], (void (*)(void))body, 1, i);
    }
    long every = pace(2000);
    struct itimerval t = {{0, every}, {0, every}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &t, NULL);
    swapcontext(&c[2], &c[0]);
    setitimer(ITIMER_REAL, &off, NULL);
    OK(switches == 200 && count[0] > 0 && count[1] > 0);
    return done();
}
