//@ variants: dynamic-pie static
// Write, protect, run, unprotect, rewrite: as JIT compilers with W^X do.
#include "check.h"
static void put(unsigned char *m, int nr, int pad) {
    memset(m, 0x90, 64);
    unsigned char code[] = {0xb8, nr, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(m + pad, code, 8);
}
int main(void) {
    unsigned char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long (*f)(void) = (void *)m;
    int bad = 0;
    for (int i = 0; i < 500; i++) {
        mprotect(m, 4096, PROT_READ | PROT_WRITE);
        put(m, SYS_getpid, i % 50);
        mprotect(m, 4096, PROT_READ | PROT_EXEC);
        bad += f() != getpid();
        bad += f() != getpid();
        mprotect(m, 4096, PROT_READ | PROT_WRITE);
        put(m, SYS_getppid, (i * 7) % 50);
        mprotect(m, 4096, PROT_READ | PROT_EXEC);
        bad += f() != getppid();
        mprotect(m, 4096, PROT_READ | PROT_WRITE);
        memcpy(m, "\xb8\x11\x22\x33\x00\xc3", 6);
        mprotect(m, 4096, PROT_READ | PROT_EXEC);
        bad += f() != 0x332211;
    }
    OK(bad == 0);
    return done();
}
