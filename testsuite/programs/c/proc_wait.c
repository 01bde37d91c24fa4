//@ variants: dynamic-pie static
// wait4, waitid, WNOHANG, WNOWAIT, WUNTRACED, WCONTINUED, statuses of every sort, rusage.
#include "check.h"
#include <sys/resource.h>
int main(void) {
    OK(ERR(wait(NULL), ECHILD));
    pid_t p = fork();
    if (!p) for (;;) pause();
    int st;
    OK(waitpid(p, &st, WNOHANG) == 0);
    kill(p, SIGSTOP);
    OK(waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
    kill(p, SIGCONT);
    OK(waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st));
    kill(p, SIGTERM);
    siginfo_t si;
    memset(&si, 0, sizeof si);
    OK(waitid(P_PID, p, &si, WEXITED | WNOWAIT) == 0 && si.si_pid == p && si.si_code == CLD_KILLED && si.si_status == SIGTERM);
    struct rusage ru;
    OK(wait4(p, &st, 0, &ru) == p && WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
    int sigs[] = {SIGHUP, SIGINT, SIGALRM, SIGUSR1, SIGPIPE, SIGKILL, SIGSEGV, SIGRTMIN + 3};
    for (int i = 0; i < 8; i++) {
        p = fork();
        if (!p) { raise(sigs[i]); _exit(77); }
        MUST(reap(p) == 1000 + sigs[i]);
    }
    for (int i = 0; i < 256; i += 51) {
        p = fork();
        if (!p) exit(i);
        MUST(reap(p) == i);
    }
    // Children of all kinds by one wait.
    for (int i = 0; i < 20; i++) if (!fork()) _exit(i);
    int sum = 0, n = 0;
    while (wait(&st) > 0) sum += WEXITSTATUS(st), n++;
    OK(n == 20 && sum == 190);
    return done();
}
