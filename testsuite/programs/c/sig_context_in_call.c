//@ variants: dynamic-pie static
// A signal that arrives in a blocked system call: the context shows the program's own rip right behind the call (at it,
// if it is to be restarted), its rsp, rax, and every other register.
#include "check.h"
#include <ucontext.h>
extern char call_at[], call_next[];
extern long blocked(int fd, char *buf);
__asm__(".globl blocked, call_at, call_next\nblocked: push %rbx; push %r12; mov $0x1234, %ebx; mov $0x5678, %r12d; mov $0x99, %r8d; xor %eax, %eax; mov $1, %edx\n"
        "call_at: syscall\ncall_next: pop %r12; pop %rbx; ret\n");
static volatile int n, restart;
static int p[2];
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    n++;
    printf("rip %s rax %lld rbx %d r12 %d r8 %d rdx %d rdi %d\n", g[REG_RIP] == (long)call_next ? "behind the call" : g[REG_RIP] == (long)call_at ? "at the call" : "FAILED: elsewhere",
        g[REG_RAX], g[REG_RBX] == 0x1234, g[REG_R12] == 0x5678, g[REG_R8] == 0x99, g[REG_RDX] == 1, g[REG_RDI] == p[0]);
    if (restart) write(p[1], "x", 1);
}
int main(void) {
    char b;
    pipe(p);
    struct itimerval t = {{0, 0}, {0, 20000}};
    for (int k = 0; k < 4; k++) {
        restart = k & 1;
        handle(SIGALRM, on, restart ? SA_RESTART : 0);
        setitimer(ITIMER_REAL, &t, NULL);
        printf("result %ld\n", blocked(p[0], &b));
    }
    OK(n == 4);
    return done();
}
