//@ variants: dynamic-pie static static-pie musl
//@ stats: by_number.39 >= 3
// fork, three deep; each level knows its pid, its parent's, and leaves a status of its own.
#include "check.h"
static int level(int n) {
    pid_t me = getpid(), pid = fork();
    if (pid < 0) return 99;
    if (pid == 0) {
        if (getppid() != me || getpid() == me || RAW(SYS_getpid) != RAW(SYS_gettid)) _exit(50);
        _exit(n ? level(n - 1) + 1 : 1);
    }
    if (getpid() != me) return 51;
    return reap(pid);
}
int main(void) {
    for (int i = 0; i < 10; i++) MUST(level(3) == 4);
    static int data = 5;
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (!pid) { data = 6; *shared = 7; _exit(0); }
    OK(reap(pid) == 0);
    OK(data == 5 && *shared == 7);
    return done();
}
