//@ variants: dynamic-pie static
// Signals to the parent during vfork and posix_spawn; SIGCHLD handlers run afterwards; the child's resets stay its own.
#include "check.h"
#include <spawn.h>
extern char **environ;
static volatile int n; // atomic: one handler may interrupt the other
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED); }
int main(void) {
    handle(SIGCHLD, on, SA_RESTART);
    handle(SIGUSR1, on, SA_RESTART);
    for (int k = 0; k < 20; k++) {
        n = 0;
        pid_t me = getpid(), p = vfork();
        if (!p) { kill(me, SIGUSR1); signal(SIGUSR1, SIG_DFL); _exit(2); }
        MUST(reap(p) == 2);
        while (n < 2) millis(1);
        struct sigaction sa;
        sigaction(SIGUSR1, NULL, &sa);
        MUST(sa.sa_sigaction == on);
        posix_spawnattr_t at;
        posix_spawnattr_init(&at);
        sigset_t d;
        sigfillset(&d);
        posix_spawnattr_setsigdefault(&at, &d);
        posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGDEF);
        MUST(posix_spawn(&p, "/bin/true", NULL, &at, (char *[]){"true", NULL}, environ) == 0);
        MUST(reap(p) == 0);
        raise(SIGUSR1);
    }
    return done();
}
