// Process groups and sessions: kill of a whole group, its own included.
#include "check.h"
static volatile int got;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; got++; }
int main(void) {
    OK(setpgid(0, 0) == 0 || getpgrp() == getpid());
    handle(SIGUSR1, on, 0);
    int p[2];
    pipe(p);
    pid_t kids[3];
    for (int i = 0; i < 3; i++)
        if (!(kids[i] = fork())) {
            write(p[1], "r", 1);
            while (!got) millis(1);
            _exit(20 + i);
        }
    char c[3];
    for (int i = 0; i < 3; i++) read(p[0], c, 1);
    OK(kill(0, SIGUSR1) == 0);
    while (!got) millis(1);
    for (int i = 0; i < 3; i++) OK(reap(kids[i]) == 20 + i);
    pid_t leader = fork();
    if (!leader) {
        setpgid(0, 0);
        for (int i = 0; i < 3; i++) if (!fork()) for (;;) pause();
        write(p[1], "r", 1);
        for (;;) pause();
    }
    read(p[0], c, 1);
    OK(kill(-leader, SIGKILL) == 0);
    OK(reap(leader) == 1000 + SIGKILL);
    return done();
}
