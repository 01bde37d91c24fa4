//@ variants: dynamic-pie no-pie static static-pie musl
// At a fault the ucontext holds the program's registers, and what the handler changes in it takes effect.
#include "check.h"
#include <ucontext.h>
extern char fault_at[], fault_next[];
__asm__(".globl probe\nprobe:\n push %rbx; push %r12; mov $0x1234, %ebx; mov $0x5678, %r12d; mov $8, %edi; mov $0x99, %ecx\n stc\n"
        ".globl fault_at, fault_next\nfault_at: mov (%rdi), %rax\nfault_next: nop\n adc $0, %rax; add %rcx, %rax; pop %r12; pop %rbx; ret\n");
extern long probe(void);
static volatile int n;
static void on(int s, siginfo_t *i, void *c) {
    greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    MUST(s == SIGSEGV && i->si_code == SEGV_MAPERR && i->si_addr == (void *)8);
    MUST(g[REG_RIP] == (long)fault_at && g[REG_RBX] == 0x1234 && g[REG_R12] == 0x5678 && g[REG_RDI] == 8 && g[REG_RCX] == 0x99 && (g[REG_EFL] & 1));
    MUST(g[REG_TRAPNO] == 14 && g[REG_CR2] == 8 && (g[REG_ERR] & 4));
    MUST(((ucontext_t *)c)->uc_mcontext.fpregs != NULL);
    RAW(SYS_getppid);
    printf("in the handler %d\n", ++n);
    g[REG_RIP] = (long)fault_next;
    g[REG_RAX] = 1000;
    g[REG_RCX] = n;
    g[REG_EFL] &= ~1L;
}
int main(void) {
    handle(SIGSEGV, on, 0);
    for (int k = 1; k <= 5; k++) printf("%ld\n", probe());
    // The handler moves rsp and rip: a jump to another stack altogether.
    return done();
}
