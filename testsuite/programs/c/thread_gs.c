//@ variants: dynamic-pie static
//@ native-only: the GS base is the kernel's on this platform (docs/limits.md)
//@ flags: -pthread
// GS belongs to the program: set and read by arch_prctl, per thread, kept over system calls, signals and fork.
#include "check.h"
#include <asm/prctl.h>
static unsigned long cell[4] = {11, 22, 33, 44}, other[2] = {77, 88};
static unsigned long gs0(void) { unsigned long v; __asm__ volatile("mov %%gs:0, %0" : "=r"(v)); return v; }
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; MUST(gs0() == 22); RAW(SYS_getppid); MUST(gs0() == 22); }
static void *body(void *a) {
    unsigned long v = 1;
    MUST(RAW(SYS_arch_prctl, ARCH_SET_GS, other) == 0);
    for (int i = 0; i < 2000; i++) { MUST(gs0() == 77); RAW(SYS_getppid); RAW(SYS_getpid); if (i % 100 == 0) sched_yield(); }
    MUST(RAW(SYS_arch_prctl, ARCH_GET_GS, &v) == 0 && v == (unsigned long)other);
    return a;
}
int main(void) {
    unsigned long v = 1;
    OK(RAW(SYS_arch_prctl, ARCH_GET_GS, &v) == 0 && v == 0);
    OK(RAW(SYS_arch_prctl, ARCH_SET_GS, cell) == 0);
    OK(gs0() == 11);
    RAW(SYS_getpid), RAW(SYS_getppid), RAW(9999);
    OK(gs0() == 11);
    OK(RAW(SYS_arch_prctl, ARCH_SET_GS, cell + 1) == 0);
    OK(gs0() == 22);
    pthread_t t;
    pthread_create(&t, NULL, body, NULL);
    for (int i = 0; i < 2000; i++) { MUST(gs0() == 22); RAW(SYS_getppid); }
    pthread_join(t, NULL);
    handle(SIGUSR1, on, 0);
    raise(SIGUSR1);
    OK(gs0() == 22);
    pid_t pid = fork();
    if (!pid) _exit(gs0() == 22 && RAW(SYS_getpid) == getpid() && gs0() == 22 ? 0 : 1);
    OK(reap(pid) == 0);
    OK(RAW(SYS_arch_prctl, ARCH_SET_GS, 0x8000000000000000UL) == -EPERM);
    OK(RAW(SYS_arch_prctl, 0x9999, 0) == -EINVAL);
    return done();
}
