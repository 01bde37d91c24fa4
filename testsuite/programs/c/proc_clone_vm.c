//@ variants: dynamic-pie static
// clone as posix_spawn makes it (CLONE_VM|CLONE_VFORK, own stack), a process that shares memory without waiting, and
// one without CLONE_VM on a stack of its own.
#include "check.h"
static volatile int cell;
static int body(void *a) { cell = (long)a; return RAW(SYS_getpid) != getppid() ? 20 + (int)(long)a : 1; }
static int slow(void *a) { (void)a; for (int i = 0; i < 100; i++) { RAW(SYS_getppid); cell++; } return 0; }
int main(void) {
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *top = stack + 65536;
    for (long i = 1; i < 20; i++) {
        pid_t p = clone(body, top, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)i);
        MUST(cell == i);
        MUST(reap(p) == 20 + i);
        MUST(RAW(SYS_getpid) == getpid());
    }
    cell = 0;
    pid_t p = clone(slow, top, CLONE_VM | SIGCHLD, NULL);
    while (cell < 100) RAW(SYS_getpid);
    OK(reap(p) == 0);
    cell = 0;
    p = clone(body, top, SIGCHLD, (void *)5);
    OK(reap(p) == 25);
    OK(cell == 0);
    p = clone(body, top, 0, (void *)5);
    int st;
    OK(waitpid(p, &st, __WALL) == p && WEXITSTATUS(st) == 25);
    OK(ERR(clone(body, top, CLONE_SIGHAND, NULL), EINVAL));
    return done();
}
