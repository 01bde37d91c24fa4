// A program that reads its own machine code: documents that two reads, before and after calls, agree with each
// other for code without system calls.
#include "check.h"
__attribute__((noinline, noclone)) static int pure(int x) { return x * 31 + 7; }
static unsigned long sum(const void *p, int n) {
    unsigned long h = 5381;
    for (int i = 0; i < n; i++) h = h * 33 + ((const unsigned char *)p)[i];
    return h;
}
int main(void) {
    unsigned long a = sum((void *)pure, 8);
    for (int i = 0; i < 1000; i++) RAW(SYS_getppid);
    OK(pure(1) == 38);
    OK(sum((void *)pure, 8) == a);
    // Own text may be written too, once it is made writable.
    void *page = (void *)((uintptr_t)pure & -4096);
    OK(mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    OK(RAW(SYS_getpid) == getpid());
    memcpy((void *)pure, "\xb8\x09\x00\x00\x00\xc3", 6);
    int (*volatile again)(int) = pure;
    OK(again(1) == 9);
    return done();
}
