//@ variants: dynamic-pie static
// vfork: the parent stands still until the child has exec'd or exited, and its stack is not harmed.
#include "check.h"
int main(int argc, char **argv) {
    if (argc > 1) return atoi(argv[1]);
    for (int i = 0; i < 30; i++) {
        volatile int seen = 0;
        volatile pid_t me = getpid();
        pid_t pid = vfork();
        if (pid == 0) {
            seen = 1;
            if (i % 3 == 0) _exit(getppid() == me ? 4 : 5);
            if (i % 3 == 1) execl("/proc/self/exe", "prog", "6", NULL);
            execl("/nonexistent/program", "x", NULL);
            _exit(errno == ENOENT ? 8 : 9);
        }
        MUST(seen == 1);
        MUST(getpid() == me && RAW(SYS_getpid) == me);
        int want[] = {4, 6, 8};
        MUST(reap(pid) == want[i % 3]);
    }
    return done();
}
