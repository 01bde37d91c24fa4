//@ limit: 6
//@ flags: -mno-red-zone
// The trap flag: the program single-steps itself across a system call; it must not go astray.
#include "check.h"
static volatile int steps;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; steps++; }
int main(void) {
    handle(SIGTRAP, on, 0);
    long r;
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop; nop; pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
    printf("steps without a call: %d\n", steps);
    steps = 0;
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; mov $110, %%eax; syscall; nop; pushfq; andl $~0x100, (%%rsp); popfq" : "=a"(r)::"rcx", "r11", "memory", "cc");
    OK(r == getppid());
    OK(steps >= 4);
    return done();
}
