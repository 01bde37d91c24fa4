//@ flags: -pthread
// Directed signals reach the thread they are sent to, with its own mask; tgkill to the dead fails.
#include "check.h"
static __thread volatile int got;
static volatile int total, ready;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)c; got++; __atomic_add_fetch(&total, i->si_code == SI_TKILL, __ATOMIC_SEQ_CST); }
static void *body(void *a) {
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (got < 100) sched_yield();
    return a;
}
int main(void) {
    handle(SIGUSR1, on, 0);
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, body, NULL);
    while (ready < 4) sched_yield();
    for (int k = 1; k <= 100; k++) {
        for (int i = 0; i < 4; i++) MUST(pthread_kill(t[i], SIGUSR1) == 0);
        while (total < 4 * k) sched_yield();
    }
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    OK(total == 400);
    OK(got == 0);
    OK(RAW(SYS_tgkill, getpid(), 0x3ffffff, SIGUSR1) == -ESRCH);
    OK(RAW(SYS_tgkill, getpid(), gettid(), 99) == -EINVAL);
    return done();
}
