//@ flags: -mno-red-zone
// After `syscall`, rcx is the address behind the instruction and r11 the flags, as the manual says.
#include "check.h"
int main(void) {
    for (int turn = 0; turn < 3; turn++) {
        unsigned long rcx, r11, next, flags;
        long ret;
        __asm__ volatile(
            "stc\n\tsyscall\n1:\n\t"
            "pushfq; pop %3\n\t"
            "lea 1b(%%rip), %4\n\t"
            : "=a"(ret), "=c"(rcx), "=&r"(r11), "=&r"(flags), "=&r"(next)
            : "a"(SYS_getppid)
            : "r11", "memory", "cc");
        __asm__ volatile("stc; syscall; mov %%r11, %0" : "=r"(r11), "=a"(ret) : "a"(SYS_getppid) : "rcx", "r11", "memory", "cc");
        printf("turn %d: carry before the call is in r11: %lu, carry after it: %lu, rcx is the next instruction: %d\n", turn, r11 & 1, flags & 1, rcx == next);
    }
    return done();
}
