//@ variants: dynamic-pie static
// In a new pid namespace the child is process 1, and a cached pid would be wrong.
#include "check.h"
int main(void) {
    if (unshare(CLONE_NEWPID)) CANNOT("no right to make a pid namespace");
    pid_t p = fork();
    if (!p) {
        if (getpid() != 1 || RAW(SYS_getpid) != 1 || gettid() != 1 || getppid() != 0) _exit(1);
        pid_t q = fork();
        if (!q) _exit(getpid() > 1 && getppid() == 1 ? getpid() : 1);
        _exit(reap(q) == q ? 4 : 2);
    }
    OK(reap(p) == 4);
    return done();
}
