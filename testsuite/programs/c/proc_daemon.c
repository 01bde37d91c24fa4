// Double fork: a grandchild in a session of its own, orphaned, is adopted and reports through a pipe.
#include "check.h"
int main(void) {
    int p[2], go[2];
    pipe(p), pipe(go);
    pid_t child = fork();
    if (!child) {
        setsid();
        if (fork()) _exit(0);
        char c;
        close(go[1]);
        read(go[0], &c, 1);
        int ok[3] = {getsid(0) == getpgrp(), getpid() != getsid(0), RAW(SYS_getpid) == RAW(SYS_gettid)};
        write(p[1], ok, sizeof ok);
        _exit(0);
    }
    OK(reap(child) == 0);
    close(go[1]);
    int ok[3];
    OK(read(p[0], ok, sizeof ok) == sizeof ok);
    OK(ok[0] && ok[1] && ok[2]);
    return done();
}
