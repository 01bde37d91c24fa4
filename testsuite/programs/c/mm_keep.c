//@ variants: dynamic-pie static
//@ env: HRT_MEMORY=keep
//@ stats: memory.keeps >= 50
//@ stats: memory.local >= 10
// Memory that is kept within reach is still new to the next one who maps it.
#include "check.h"
int main(void) {
    for (int i = 0; i < 100; i++) {
        size_t n = 4096 * (1 + (size_t)(i * 37 % 500));
        char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST(p != MAP_FAILED);
        for (size_t j = 0; j < n; j++)
            if (p[j]) {
                MUST(!"not new");
                break;
            }
        memset(p, i + 1, n);
        MUST(munmap(p, n) == 0);
    }
    // Code where its last owner gave up the right to execute.
    for (int i = 0; i < 8; i++) {
        unsigned char *c = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST((void *)c != MAP_FAILED);
        memcpy(c, "\xb8\x2a\0\0\0\xc3", 6);
        MUST(((int (*)(void))c)() == 42);
        MUST(mprotect(c, 1 << 20, PROT_READ | PROT_WRITE) == 0);
        MUST(munmap(c, 1 << 20) == 0);
    }
    return done();
}
