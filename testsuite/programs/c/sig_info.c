//@ variants: dynamic-pie static musl
//@ stats: signals >= 4
// siginfo of kill, raise, sigqueue, timer and child; SA_SIGINFO or not.
#include "check.h"
static volatile int n, code, pid, uid, value, signo;
static void on(int s, siginfo_t *i, void *c) { signo = s, code = i->si_code, pid = i->si_pid, uid = i->si_uid, value = i->si_value.sival_int, n++; MUST(c != NULL && i->si_signo == s); }
static void old(int s) { signo = 1000 + s; }
int main(void) {
    handle(SIGUSR1, on, 0);
    handle(SIGRTMIN + 1, on, 0);
    OK(kill(getpid(), SIGUSR1) == 0);
    OK(n == 1 && signo == SIGUSR1 && code == SI_USER && pid == getpid() && uid == (int)getuid());
    OK(raise(SIGUSR1) == 0);
    OK(n == 2 && code == SI_TKILL && pid == getpid());
    OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 4711}) == 0);
    OK(n == 3 && code == SI_QUEUE && value == 4711 && pid == getpid());
    pid_t parent = getpid(), p = fork();
    if (!p) { kill(parent, SIGUSR1); _exit(0); }
    OK(reap(p) == 0);
    OK(n == 4 && pid == p);
    signal(SIGUSR2, old);
    raise(SIGUSR2);
    OK(signo == 1000 + SIGUSR2);
    return done();
}
