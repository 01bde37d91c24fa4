// The mask in the ucontext is what sigreturn installs; the handler may change it, and the FPU state too.
#include "check.h"
#include <ucontext.h>
static volatile int n;
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    ucontext_t *u = c;
    n++;
    MUST(!sigismember(&u->uc_sigmask, SIGUSR2));
    sigaddset(&u->uc_sigmask, SIGUSR2);
    u->uc_mcontext.fpregs->_xmm[3].element[0] = 0xabcd;
    __asm__ volatile("pxor %%xmm3, %%xmm3; fninit; fldpi" ::: "xmm3");
    volatile unsigned mx = 0x7f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mx));
}
int main(void) {
    handle(SIGUSR1, on, 0);
    handle(SIGUSR2, on, 0);
    long a = 0x1111, b, r, sum = getpid();
    unsigned mx;
    __asm__ volatile("movq %3, %%xmm3; movq %3, %%xmm4; syscall; movq %%xmm3, %1; stmxcsr %2" : "=a"(r), "=&r"(b), "=m"(mx) : "r"(a), "a"(SYS_kill), "D"(sum), "S"((long)SIGUSR1) : "rcx", "r11", "memory", "xmm3", "xmm4");
    OK(r == 0 && n == 1);
    OK((b & 0xffffffff) == 0xabcd);
    OK(mx == 0x1f80);
    sigset_t m;
    sigprocmask(SIG_SETMASK, NULL, &m);
    OK(sigismember(&m, SIGUSR2) && !sigismember(&m, SIGUSR1));
    return done();
}
