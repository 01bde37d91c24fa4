//@ variants: dynamic-pie static
// Queued realtime signals: lowest number first, in order within a number, none lost; standard ones coalesce.
#include "check.h"
static void on(int s, siginfo_t *i, void *c) { (void)c; printf("signal RTMIN+%d value %d\n", s - SIGRTMIN, i->si_value.sival_int); }
static volatile int std;
static void once(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; std++; }
int main(void) {
    sigset_t all;
    sigfillset(&all);
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on, sa.sa_flags = SA_SIGINFO;
    sigfillset(&sa.sa_mask);
    for (int s = 0; s < 4; s++) sigaction(SIGRTMIN + s, &sa, NULL);
    handle(SIGUSR1, once, 0);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int v = 0; v < 5; v++)
        for (int s = 3; s >= 0; s--) MUST(sigqueue(getpid(), SIGRTMIN + s, (union sigval){.sival_int = 10 * s + v}) == 0);
    for (int i = 0; i < 5; i++) kill(getpid(), SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    OK(std == 1);
    return done();
}
