//@ variants: dynamic-pie static
// What no program may execute, wherever it runs: a SIGSEGV at the instruction, with the exception that the CPU makes of it at ring 3.
#include "check.h"
#include <sys/ucontext.h>
static sigjmp_buf back;
static volatile long sig, code, trap, error, at;
static void on(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    sig = s, code = i->si_code;
    trap = u->uc_mcontext.gregs[REG_TRAPNO], error = u->uc_mcontext.gregs[REG_ERR], at = u->uc_mcontext.gregs[REG_RIP];
    siglongjmp(back, 1);
}
#define TRY(name, text, s, vector, err, past)                                                                 \
    do {                                                                                                      \
        long here = 0;                                                                                        \
        sig = code = trap = error = at = 0;                                                                   \
        if (!sigsetjmp(back, 1)) {                                                                            \
            __asm__ volatile("lea 1f(%%rip), %%rax; mov %%rax, %0\n\t" text : "=m"(here)::"rax", "rdx", "rsi", "rdi", "rcx", "memory"); \
        }                                                                                                     \
        printf("%s: signal %ld, code %ld, trap %ld, at %+ld\n", name, sig, code, trap, at - here);            \
        MUST(sig == s && trap == vector && at == here + past);                                                \
        MUST(error == err || !strncmp(name, "int ", 4)); /* QEMU's software CPU has another one for `int` */   \
    } while (0)
#define GP(name, text) TRY(name, "xor %%eax, %%eax; mov $0x80, %%edx; mov %%rsp, %%rsi; mov %%rsp, %%rdi; mov $1, %%ecx\n1:\t" text, SIGSEGV, 13, 0, 0)
#define INT(n) TRY("int " #n, "1:\tint $" #n, SIGSEGV, 13, (n * 8 + 2), 0)
int main(void) {
    int sigs[] = {SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGSEGV};
    for (int i = 0; i < 5; i++) handle(sigs[i], on, 0);
    for (int round = 0; round < 2; round++) {
        GP("hlt", "hlt");
        GP("in", "inb $0x80, %%al");
        GP("in, 4 bytes", "inl %%dx, %%eax");
        GP("out", "outb %%al, $0x80");
        GP("out, 4 bytes", "outl %%eax, $0");
        GP("ins", "insb");
        GP("outs", "outsb");
        GP("rep outs", "rep outsl");
        INT(0);
        INT(1);
        INT(2);
        INT(5);
        INT(6);
        INT(7);
        INT(8);
        INT(10);
        INT(13);
        INT(14);
        INT(16);
        INT(17);
        INT(18);
        INT(19);
        INT(32);
        INT(0x81);
        INT(0xff);
        TRY("int 3", "1:\tint $3", SIGTRAP, 3, 0, 1); // the assembler makes it one byte
        TRY("int 3, 2 bytes", "1:\t.byte 0xcd, 3", SIGTRAP, 3, 0, 2);
        TRY("int 4", "1:\tint $4", SIGSEGV, 4, 0, 2);
    }
    return done();
}
