// Default actions of all signals, seen by a parent, also with the disposition set and reset.
#include "check.h"
int main(void) {
    for (int s = 1; s < 32; s++) {
        pid_t p = fork();
        if (!p) { signal(s, SIG_DFL); kill(getpid(), s); _exit(0); }
        int st;
        waitpid(p, &st, WUNTRACED);
        if (WIFSTOPPED(st)) { printf("%d stops by %d\n", s, WSTOPSIG(st)); kill(p, SIGKILL); waitpid(p, &st, 0); }
        else if (WIFSIGNALED(st)) printf("%d kills by %d\n", s, WTERMSIG(st));
        else printf("%d ignored, exit %d\n", s, WEXITSTATUS(st));
        p = fork();
        if (!p) { signal(s, SIG_IGN); kill(getpid(), s); _exit(3); }
        waitpid(p, &st, WUNTRACED);
        printf("  ignored: %s\n", WIFEXITED(st) ? "goes on" : "does not");
        if (WIFSTOPPED(st)) { kill(p, SIGKILL); waitpid(p, &st, 0); }
    }
    return done();
}
