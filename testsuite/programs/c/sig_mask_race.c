//@ variants: dynamic-pie static
//@ limit: 60
// Signals come at any moment while the program changes its mask: each answer is the mask that was set last, and each change holds.
#include "check.h"
static volatile long hits;
static volatile pid_t self;
static volatile int stop;
static void on(int s) { (void)s, hits++; }
static void *sender(void *arg) {
    while (!stop) {
        RAW(SYS_tgkill, getpid(), self, SIGUSR1);
        for (volatile int i = 0; i < 200; i++) {}
    }
    return arg;
}
int main(void) {
    struct sigaction sa = {.sa_handler = on, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    self = (pid_t)RAW(SYS_gettid);
    unsigned long both[2] = {1UL << (SIGHUP - 1), 1UL << (SIGUSR2 - 1)}, old, now;
    RAW(SYS_rt_sigprocmask, SIG_SETMASK, &both[1], 0, 8);
    pthread_t t;
    MUST(pthread_create(&t, NULL, sender, NULL) == 0);
    long wrong = 0, lost = 0;
    double end = 0;
    struct timespec ts;
    for (int i = 0; !end || hits < 20000; i++) {
        old = now = 0;
        RAW(SYS_rt_sigprocmask, SIG_SETMASK, &both[i & 1], &old, 8);
        RAW(SYS_rt_sigprocmask, SIG_BLOCK, 0, &now, 8);
        wrong += old != both[~i & 1];
        lost += now != both[i & 1];
        if (i % 1000 == 0) {
            clock_gettime(CLOCK_MONOTONIC, &ts);
            double at = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
            if (!end) end = at + 15;
            else if (at > end) break;
        }
    }
    stop = 1;
    pthread_join(t, NULL);
    OK(hits > 100);
    OK(wrong == 0);
    OK(lost == 0);
    return done();
}
