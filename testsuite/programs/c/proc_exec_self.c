//@ variants: dynamic-pie no-pie static static-pie
// A chain of execs of itself: the pid stays, arguments, environment, mask, ignored signals and descriptors pass on.
#include "check.h"
extern char **environ;
int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 0;
    if (n == 0) {
        char pid[20];
        sprintf(pid, "%d", getpid());
        setenv("FIRST_PID", pid, 1);
        sigset_t s;
        sigemptyset(&s);
        sigaddset(&s, SIGUSR1);
        sigprocmask(SIG_BLOCK, &s, NULL);
        signal(SIGUSR2, SIG_IGN);
        handle(SIGTERM, (void (*)(int, siginfo_t *, void *))exit, 0);
        raise(SIGUSR1);
        fcntl(5, F_SETFD, 0);
        dup2(1, 7);
        fcntl(dup2(1, 8), F_SETFD, FD_CLOEXEC);
    }
    MUST(atoi(getenv("FIRST_PID")) == getpid());
    MUST(RAW(SYS_getpid) == getpid() && gettid() == getpid());
    sigset_t s, p;
    sigprocmask(SIG_SETMASK, NULL, &s);
    sigpending(&p);
    struct sigaction a2, a3;
    sigaction(SIGUSR2, NULL, &a2);
    sigaction(SIGTERM, NULL, &a3);
    printf("turn %d: blocked %d pending %d ignored %d term %s fd7 %d fd8 %d argc %d\n", n, sigismember(&s, SIGUSR1), sigismember(&p, SIGUSR1),
        a2.sa_handler == SIG_IGN, a3.sa_handler == SIG_DFL ? "default" : "handler", fcntl(7, F_GETFD) >= 0, fcntl(8, F_GETFD) >= 0, argc);
    if (n == 4) {
        // What remains of our own variables is only what the caller gave.
        for (char **e = environ; *e; e++) if (strncmp(*e, "HRT_", 4) && strncmp(*e, "FIRST", 5) && strncmp(*e, "PATH", 4)) printf("env %s\n", *e);
        return done();
    }
    char num[20];
    sprintf(num, "%d", n + 1);
    char *args[] = {"prog", num, NULL};
    if (n == 1) execl("./prog", "other name", num, "extra", NULL);
    else if (n == 2) fexecve(open("/proc/self/exe", O_RDONLY), args, environ);
    else if (n == 3) RAW(SYS_execveat, AT_FDCWD, "./prog", args, environ, 0);
    else execlp("./prog", "prog", num, NULL);
    printf("FAILED to exec\n");
    return 1;
}
