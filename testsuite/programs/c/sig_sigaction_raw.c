//@ variants: dynamic-pie static
// rt_sigaction gives back exactly what was set: handler, flags with SA_RESTORER, restorer and mask, for every signal.
#include "check.h"
struct ksa { void *handler; unsigned long flags; void *restorer; unsigned long mask; };
static void h(int s) { (void)s; }
extern char my_restorer[];
__asm__(".globl my_restorer\nmy_restorer: mov $15, %eax\n syscall\n");
static volatile int got;
static void count(int s) { (void)s; got++; }
int main(void) {
    for (int s = 1; s < 65; s++) {
        struct ksa a = {h, 0x04000000 | SA_RESTART | SA_ONSTACK, my_restorer, 0x1234567812345678 + s}, b = {0}, c = {0};
        long set = RAW(SYS_rt_sigaction, s, &a, &c, 8);
        long get = RAW(SYS_rt_sigaction, s, 0, &b, 8);
        unsigned long want = a.mask & ~(1UL << (SIGKILL - 1)) & ~(1UL << (SIGSTOP - 1));
        printf("%d: set %ld get %ld old %s same %d %d %d %d\n", s, set, get, c.handler ? "something" : "default", a.handler == b.handler, a.flags == b.flags, a.restorer == b.restorer, want == b.mask);
        struct ksa d = {SIG_DFL, 0, 0, 0};
        RAW(SYS_rt_sigaction, s, &d, 0, 8);
    }
    OK(RAW(SYS_rt_sigaction, 0, 0, 0, 8) == -EINVAL);
    OK(RAW(SYS_rt_sigaction, 65, 0, 0, 8) == -EINVAL);
    OK(RAW(SYS_rt_sigaction, SIGUSR1, 0, 0, 4) == -EINVAL);
    // A restorer of the program's own, on no list of known ones.
    struct ksa a = {count, 0x04000000, my_restorer, 0};
    OK(RAW(SYS_rt_sigaction, SIGUSR1, &a, 0, 8) == 0);
    for (int i = 0; i < 10; i++) RAW(SYS_kill, getpid(), SIGUSR1);
    OK(got == 10);
    // Unknown flags are cleared, as since Linux 5.11.
    a.flags |= 0x00800000;
    struct ksa b;
    RAW(SYS_rt_sigaction, SIGUSR1, &a, 0, 8);
    RAW(SYS_rt_sigaction, SIGUSR1, 0, &b, 8);
    printf("flags %lx\n", b.flags);
    return done();
}
