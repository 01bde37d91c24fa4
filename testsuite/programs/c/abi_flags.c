//@ flags: -mno-red-zone
//@ variants: dynamic-pie static
// The flags after a system call are those before it.
#include "check.h"
int main(void) {
    long calls[] = {SYS_getpid, SYS_gettid, SYS_getppid, 9999, SYS_rt_sigaction};
    int bad = 0;
    for (int k = 0; k < 5; k++)
        for (unsigned long want = 0; want < 0x1000; want++) {
            unsigned long set = (want & 0xcd5) | 0x202, got, ret;
            __asm__ volatile("push %2; popfq; syscall; pushfq; pop %1; cld"
                : "=a"(ret), "=&r"(got) : "r"(set), "a"(calls[k]), "D"(-1L), "S"(0L), "d"(0L) : "rcx", "r11", "memory", "cc");
            bad += (got & 0xcd5) != (set & 0xcd5);
        }
    OK(bad == 0);
    return done();
}
