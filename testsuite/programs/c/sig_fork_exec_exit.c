//@ variants: dynamic-pie static
// fork, exec and exit from inside a handler; the mask goes on to the new image.
#include "check.h"
static volatile int mode, kid;
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i, (void)c;
    if (mode == 0) { kid = fork(); }
    if (mode == 1) { execl("./prog", "prog", "again", NULL); _exit(1); }
    if (mode == 2) exit(21);
    if (mode == 3) { kid = vfork(); if (!kid) { execl("/bin/true", "true", NULL); _exit(9); } }
    if (mode == 4) RAW(SYS_exit_group, 22);
}
int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        sigset_t m;
        sigprocmask(SIG_SETMASK, NULL, &m);
        _exit(sigismember(&m, SIGUSR1) ? 31 : 32);
    }
    handle(SIGUSR1, on, 0);
    raise(SIGUSR1);
    if (!kid) _exit(RAW(SYS_getpid) == getpid() ? 20 : 1);
    OK(reap(kid) == 20);
    for (mode = 1; mode < 5; mode++) {
        pid_t p = fork();
        if (!p) { raise(SIGUSR1); _exit(mode == 3 ? 40 + reap(kid) : 1); }
        printf("mode %d: %d\n", mode, reap(p));
    }
    return done();
}
