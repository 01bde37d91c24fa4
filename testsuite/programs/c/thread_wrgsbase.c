//@ variants: dynamic-pie static
//@ native-only: the GS base is the kernel's on this platform (docs/limits.md)
// wrgsbase and wrfsbase, where the processor and kernel allow them, and a selector loaded into GS.
#include "check.h"
#include <asm/prctl.h>
#include <sys/auxv.h>
static unsigned long cell[2] = {11, 22};
static unsigned long gs0(void) { unsigned long v; __asm__ volatile("mov %%gs:0, %0" : "=r"(v)); return v; }
int main(void) {
    if (!(getauxval(AT_HWCAP2) & 2)) CANNOT("no wrgsbase");
    for (int i = 0; i < 1000; i++) {
        unsigned long *want = cell + i % 2, v = 0;
        __asm__ volatile("wrgsbase %0" ::"r"(want));
        MUST(gs0() == *want);
        RAW(SYS_getpid);
        MUST(gs0() == *want);
        RAW(SYS_getppid);
        MUST(gs0() == *want);
        RAW(SYS_arch_prctl, ARCH_GET_GS, &v);
        MUST(v == (unsigned long)want);
        __asm__ volatile("rdgsbase %0" : "=r"(v));
        MUST(v == (unsigned long)want);
    }
    unsigned long fs, r, back;
    __asm__ volatile("rdfsbase %0; wrfsbase %3; syscall; rdfsbase %2; wrfsbase %0" : "=&r"(fs), "=a"(r), "=&r"(back) : "r"(cell), "a"(SYS_getpid) : "rcx", "r11", "memory");
    OK((long)r == getpid() && back == (unsigned long)cell);
    // A null selector clears the base on Intel, as the program may do it.
    __asm__ volatile("mov %0, %%gs" ::"r"(0));
    OK(RAW(SYS_getpid) == getpid());
    return done();
}
