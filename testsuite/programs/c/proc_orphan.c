// getppid is not cached: it changes when the parent dies. PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER.
#include "check.h"
#include <sys/prctl.h>
static volatile int dead;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; dead = 1; }
int main(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int p[2], ready[2];
    pipe(p);
    pipe(ready);
    pid_t mid = fork();
    if (!mid) {
        pid_t me = getpid();
        if (!fork()) {
            handle(SIGUSR1, on, 0);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            char ok = getppid() == me;
            write(p[1], &ok, 1);
            write(ready[1], &ok, 1);
            while (!dead) millis(1);
            while (getppid() == me) millis(1);
            ok = 2;
            write(p[1], &ok, 1);
            pid_t pp = getppid();
            write(p[1], &pp, sizeof pp);
            _exit(11);
        }
        char c;
        read(ready[0], &c, 1);
        _exit(0);
    }
    char a = 0, b = 0;
    pid_t pp;
    OK(read(p[0], &a, 1) == 1 && a == 1);
    OK(reap(mid) == 0);
    OK(read(p[0], &b, 1) == 1 && b == 2);
    OK(read(p[0], &pp, sizeof pp) == sizeof pp && pp == getpid());
    int st;
    OK(wait(&st) > 0 && WEXITSTATUS(st) == 11);
    return done();
}
