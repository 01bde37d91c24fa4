// SIGSTOP, SIGTSTP, SIGTTIN and SIGCONT of a child in the middle of blocking calls, with a handler for SIGCONT.
#include "check.h"
static int p[2];
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; write(p[1], "C", 1); }
int main(void) {
    int q[2], st;
    char c;
    pipe(p), pipe(q);
    pid_t k = fork();
    if (!k) {
        setpgid(0, 0);
        handle(SIGCONT, on, SA_RESTART);
        write(p[1], "R", 1);
        read(q[0], &c, 1);
        struct timespec t = {0, 30000000};
        nanosleep(&t, NULL);
        _exit(c);
    }
    read(p[0], &c, 1);
    int sigs[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 4; i++) {
        kill(k, sigs[i]);
        MUST(waitpid(k, &st, WUNTRACED) == k && WIFSTOPPED(st));
        printf("stopped by %d\n", i ? WSTOPSIG(st) == SIGSTOP ? 0 : WSTOPSIG(st) : WSTOPSIG(st));
        kill(k, SIGCONT);
        MUST(waitpid(k, &st, WCONTINUED) == k && WIFCONTINUED(st));
        read(p[0], &c, 1);
        printf("continued: %c\n", c);
    }
    write(q[1], "A", 1);
    OK(reap(k) == 'A');
    return done();
}
