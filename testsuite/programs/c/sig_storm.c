//@ flags: -mno-red-zone
//@ variants: dynamic-pie static static-pie
//@ limit: 60
// A timer signal every 100 µs during heavy system calls: results, registers and red zone stay right.
#include "check.h"
static volatile long hits;
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i, (void)c;
    hits++;
    RAW(SYS_getppid);
    RAW(SYS_getpid);
    volatile double d = hits;
    d = d * 1.5;
}
static long bad;
static void probe(long nr, long want) {
    long ret, sum;
    __asm__ volatile(
        "mov $0x1111, %%rbx; mov $0x2222, %%r12; mov $0x3333, %%r13; mov $0x4444, %%r14; mov $0x5555, %%r15\n\t"
        "mov $0x6666, %%r8; mov $0x7777, %%r9; mov $0x8888, %%r10; movq %%rbx, %%xmm7; movq %%r12, %%xmm15\n\t"
        "mov %%rbx, -8(%%rsp); mov %%r12, -128(%%rsp)\n\t"
        "mov $-1, %%rdi; mov $0, %%rsi; mov $0, %%rdx\n\t"
        "syscall\n\t"
        "cmp %%rbx, -8(%%rsp); jne 1f; cmp %%r12, -128(%%rsp); jne 1f\n\t"
        "add %%rbx, %%r12; add %%r13, %%r12; add %%r14, %%r12; add %%r15, %%r12; add %%r8, %%r12; add %%r9, %%r12; add %%r10, %%r12\n\t"
        "add %%rdi, %%r12; add %%rsi, %%r12; add %%rdx, %%r12; movq %%xmm7, %%r13; add %%r13, %%r12; movq %%xmm15, %%r13; add %%r13, %%r12\n\t"
        "jmp 2f\n1: xor %%r12d, %%r12d\n2: mov %%r12, %1"
        : "=a"(ret), "=&c"(sum) : "a"(nr) : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm7", "xmm15", "memory", "cc");
    bad += ret != want || sum != 0x1111 + 0x2222 + 0x3333 + 0x4444 + 0x5555 + 0x6666 + 0x7777 + 0x8888 - 1 + 0x1111 + 0x2222;
}
int main(void) {
    handle(SIGALRM, on, SA_RESTART);
    long every = pace(100);
    struct itimerval t = {{0, every}, {0, every}};
    setitimer(ITIMER_REAL, &t, NULL);
    long pid = getpid(), ppid = getppid();
    double end = now() + 1.5, last = now() + 45;
    while ((now() < end || hits <= 500) && now() < last && bad == 0)
        for (int i = 0; i < 200; i++) {
            probe(SYS_getpid, pid);
            probe(SYS_getppid, ppid);
            probe(SYS_close, -EBADF);
            probe(9999, -ENOSYS);
            probe(SYS_rt_sigaction, -EINVAL);
        }
    t.it_value.tv_usec = t.it_interval.tv_usec = 0;
    setitimer(ITIMER_REAL, &t, NULL);
    OK(bad == 0);
    OK(hits > 500);
    return done();
}
