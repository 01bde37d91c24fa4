//@ variants: dynamic-pie static
//@ flags: -pthread
// A process ends when its last thread does, be that Linux's or the kernel's; carriers do not count.
#include "hrt_check.h"
static void *later(void *p) {
    if (p) hrt_thread_sleep(20000000);
    return NULL;
}
static int leaves(long who) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hrt_thread_t t;
        MUST(hrt_thread_create(&t, later, (void *)who, HRT_THREAD_DETACHED, 0) == 0);
        if (!who) millis(20);
        if (failures) _exit(1);
        RAW(SYS_exit, 0);
    }
    return reap(pid);
}
int main(void) {
    if (without_kernel()) return done();
    MUST(leaves(0) == 0);
    MUST(leaves(1) == 0);
    return done();
}
