//@ variants: dynamic-pie static musl
// mmap in its forms, munmap of parts, mremap, mprotect, MAP_FIXED_NOREPLACE, errors, zero pages.
#include "check.h"
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
static sigjmp_buf back;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; siglongjmp(back, 1); }
static int faults(volatile char *p) { if (sigsetjmp(back, 1)) return 1; (void)*p; return 0; }
int main(void) {
    handle(SIGSEGV, on, 0);
    char *m = mmap(NULL, 10 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int zero = 1;
    for (int i = 0; i < 10 * 4096; i++) zero &= m[i] == 0;
    OK(zero);
    memset(m, 7, 10 * 4096);
    OK(munmap(m + 3 * 4096, 2 * 4096) == 0);
    OK(faults(m + 3 * 4096) && faults(m + 5 * 4096 - 1) && !faults(m + 3 * 4096 - 1) && !faults(m + 5 * 4096));
    OK(mmap(m, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    OK(mmap(m + 3 * 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m + 3 * 4096 && m[3 * 4096] == 0);
    char *n = mremap(m, 2 * 4096, 64 * 4096, MREMAP_MAYMOVE);
    OK(n != MAP_FAILED && n[4095] == 7 && n[3 * 4096] == 0);
    OK(mremap(n, 64 * 4096, 4096, 0) == n && faults(n + 4096));
    OK(RAW(SYS_mprotect, 4097, 4096, PROT_READ) == -EINVAL);
    OK(ERR(munmap(m + 1, 4096), EINVAL));
    OK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    OK(mmap(NULL, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    OK(mprotect(n, 4096, PROT_NONE) == 0 && faults(n));
    OK(mprotect(n, 4096, PROT_READ) == 0 && n[0] == 7);
    char *big = mmap(NULL, 1UL << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    OK(big != MAP_FAILED && mprotect(big + (1UL << 39), 4096, PROT_READ | PROT_WRITE) == 0 && (big[1UL << 39] = 1));
    OK(munmap(big, 1UL << 40) == 0);
    OK(mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)0x10000000);
#ifdef MAP_32BIT
    char *low = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    OK((unsigned long)low < 1UL << 31);
#endif
    return done();
}
