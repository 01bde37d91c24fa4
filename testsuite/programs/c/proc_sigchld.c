// SIGCHLD: its siginfo, reaping in the handler, ignoring it, SA_NOCLDWAIT, SA_NOCLDSTOP.
#include "check.h"
static volatile int got, code, status, last;
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    last = i->si_pid, code = i->si_code, status = i->si_status;
    got++;
}
static void reaper(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; while (waitpid(-1, NULL, WNOHANG) > 0) got++; }
int main(void) {
    handle(SIGCHLD, on, SA_NOCLDSTOP);
    pid_t p = fork();
    if (!p) _exit(9);
    while (!got) millis(1);
    OK(last == p && code == CLD_EXITED && status == 9);
    OK(reap(p) == 9);
    got = 0;
    handle(SIGCHLD, reaper, SA_RESTART);
    for (int i = 0; i < 30; i++) if (!fork()) _exit(0);
    while (got < 30) millis(1);
    OK(ERR(wait(NULL), ECHILD));
    signal(SIGCHLD, SIG_IGN);
    p = fork();
    if (!p) _exit(1);
    OK(ERR(waitpid(p, NULL, 0), ECHILD));
    return done();
}
