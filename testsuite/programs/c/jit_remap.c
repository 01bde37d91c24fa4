// Code freed and other code mapped at the same place; MAP_FIXED over code; mremap of code.
#include "check.h"
static unsigned char *at(void *p, int flags) { return mmap(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0); }
int main(void) {
    int bad = 0;
    unsigned char *m = at(NULL, 0);
    for (int i = 0; i < 300; i++) {
        memcpy(m, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
        bad += ((int (*)(void))m)() != getpid();
        bad += ((int (*)(void))m)() != getpid();
        if (i % 2) munmap(m, 4096);
        MUST(at(m, MAP_FIXED) == m);
        bad += m[0] != 0 || m[5] != 0;
        // The same offset, now in the middle of another instruction: mov $0xc3050f.., eax
        memcpy(m, "\x90\x90\x90\xb8\x01\x0f\x05\x02\xc3", 9);
        bad += ((int (*)(void))m)() != 0x02050f01;
        MUST(at(m, MAP_FIXED) == m);
    }
    OK(bad == 0);
    memcpy(m, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
    bad += ((int (*)(void))m)() != getpid();
    unsigned char *n = mremap(m, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, m + (1 << 30));
    OK(n == m + (1 << 30));
    for (int i = 0; i < 100; i++) bad += ((int (*)(void))n)() != getpid();
    n[1] = SYS_getppid;
    bad += ((int (*)(void))n)() != getppid();
    OK(bad == 0);
    return done();
}
