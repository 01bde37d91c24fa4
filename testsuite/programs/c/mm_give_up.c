// What a program gives up in large parts (MADV_DONTNEED) reads as zero, however the kernel does it; what it writes then stays, also
// beside a child that does the same; memory of other kinds is Linux's.
//@ variants: dynamic-pie static
//@ limit: 60
//@ stats: memory.zeroes >= 6
#include "check.h"
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define M (1UL << 20)
static int all(const char *p, size_t n, char c) {
    for (size_t i = 0; i < n; i += 64)
        if (p[i] != c) return 0;
    return p[n - 1] == c;
}
static char *other;
static volatile int stop;
// Works beside what is given up.
static void *worker(void *unused) {
    for (unsigned i = 1; !stop; i++) {
        memset(other, (int)i, 64 << 10);
        for (size_t k = 0; k < 64 << 10; k += 512) MUST(other[k] == (char)i);
    }
    return unused;
}
int main(void) {
    size_t n = 64 * M;
    // As collectors do: one large mapping at a place of its own.
    char *m = mmap((void *)0x2000000000, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    OK(m == (void *)0x2000000000);
    for (int round = 0; round < 4; round++) {
        memset(m, 1 + round, n);
        MUST(madvise(m + M, 20 * M, MADV_DONTNEED) == 0);
        MUST(all(m, M, 1 + round) && all(m + M, 20 * M, 0) && all(m + 21 * M, n - 21 * M, 1 + round));
    }
    // Written again in part; the rest may go at any moment, which nobody notices.
    memset(m + 2 * M, 9, M);
    madvise(m + M, 20 * M, MADV_PAGEOUT);
    OK(all(m + M, M, 0) && all(m + 2 * M, M, 9) && all(m + 3 * M, 18 * M, 0));
    // Only in part resident.
    OK(madvise(m, n, MADV_DONTNEED) == 0 && all(m, n, 0));
    memset(m + 30 * M, 3, 30 * M);
    OK(madvise(m + 28 * M, 32 * M, MADV_DONTNEED) == 0 && all(m + 28 * M, 32 * M, 0));
    // A child has its own.
    memset(m, 7, n);
    pid_t p = fork();
    if (!p) {
        int fine = madvise(m, n / 2, MADV_DONTNEED) == 0 && all(m, n / 2, 0) && all(m + n / 2, n / 2, 7);
        memset(m, 8, n);
        _exit(fine ? 3 : 4);
    }
    OK(reap(p) == 3 && all(m, n, 7));
    p = fork();
    if (!p) {
        usleep(20000);
        _exit(all(m, n, 7) ? 3 : 4);
    }
    OK(madvise(m, n, MADV_DONTNEED) == 0 && all(m, n, 0) && reap(p) == 3);
    // A thread works on, next to it.
    memset(m, 7, n);
    other = m + 32 * M;
    pthread_t t;
    pthread_create(&t, NULL, worker, NULL);
    for (int i = 0; i < 30; i++) {
        memset(m, 1, 16 * M);
        MUST(madvise(m, 32 * M, MADV_DONTNEED) == 0 && all(m, 32 * M, 0));
    }
    stop = 1;
    pthread_join(t, NULL);
    // Read-only, locked, with a hole, of a file: as Linux has it.
    memset(m, 7, n);
    OK(mprotect(m + 4 * M, 4 * M, PROT_READ) == 0 && madvise(m + 3 * M, 6 * M, MADV_DONTNEED) == 0 && all(m + 3 * M, 6 * M, 0) && all(m, 3 * M, 7));
    OK(munmap(m + 12 * M, M) == 0 && ERR(madvise(m + 10 * M, 4 * M, MADV_DONTNEED), ENOMEM) && all(m + 10 * M, 2 * M, 0) && all(m + 13 * M, M, 0));
    memset(m + 20 * M, 6, M);
    if (mlock(m + 20 * M, 64 << 10) == 0) {
        MUST(ERR(madvise(m + 20 * M, M, MADV_DONTNEED), EINVAL) && m[20 * M] == 6);
        munlock(m + 20 * M, 64 << 10);
    }
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    OK(fd >= 0 && ftruncate(fd, M) == 0 && pwrite(fd, "x", 1, 0) == 1);
    char *f = mmap(m + 40 * M, M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
    memset(f, 5, M);
    OK(f == m + 40 * M && madvise(f, M, MADV_DONTNEED) == 0 && f[0] == 'x' && f[1] == 0);
    memset(m + 39 * M, 5, 3 * M);
    OK(madvise(m + 39 * M, 3 * M, MADV_DONTNEED) == 0 && all(m + 39 * M, M, 0) && f[0] == 'x' && all(m + 41 * M, M, 0));
    char *s = mmap(m + 44 * M, M, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(s, 5, M);
    OK(madvise(s, M, MADV_DONTNEED) == 0 && all(s, M, 5));
    // Moved.
    memset(m + 50 * M, 4, 10 * M);
    char *moved = mremap(m + 50 * M, 10 * M, 20 * M, MREMAP_MAYMOVE);
    OK(moved != MAP_FAILED && all(moved, 10 * M, 4) && madvise(moved, 20 * M, MADV_DONTNEED) == 0 && all(moved, 20 * M, 0));
    // And what the kernel places itself.
    char *a = mmap(NULL, 8 * M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(a, 2, 8 * M);
    OK(madvise(a + M, 4 * M, MADV_DONTNEED) == 0 && all(a + M, 4 * M, 0) && all(a, M, 2) && all(a + 5 * M, 3 * M, 2));
    return done();
}
