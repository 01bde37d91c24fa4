//@ variants: dynamic-pie static no-pie
//@ limit: 60
//@ stats: memory.local >= 20
//@ stats: memory.keeps >= 1
// Memory that the kernel places, maps ahead and keeps behaves as Linux's: new memory is zero, what was unmapped faults (SEGV_MAPERR),
// is not resident and cannot be used by calls, and a place that is free to the program can be mapped by it.
#include "check.h"
#include <sys/resource.h>
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define K 1024UL
#define M (K * K)
static sigjmp_buf back;
static volatile int code;
static void *volatile where;
static void segv(int s, siginfo_t *i, void *u) {
    (void)s, (void)u;
    code = i->si_code;
    where = i->si_addr;
    siglongjmp(back, 1);
}
// The si_code of an access, 0 if it succeeds.
static int probe(volatile char *p, int write) {
    code = 0;
    if (!sigsetjmp(back, 1)) {
        if (write) *p = 1;
        else (void)*p;
    } else MUST(where == (void *)p);
    return code;
}
static char *map(size_t n) {
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(p != MAP_FAILED);
    return p;
}
static int zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i]) return 0;
    return 1;
}
int main(void) {
    struct sigaction sa = {.sa_sigaction = segv, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    int pipes[2];
    pipe(pipes);
    unsigned char vec[8192];
    OK(mmap(NULL, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);

    // Many, of all sizes, in no order: all new, none over another.
    enum { N = 200 };
    static char *at[N];
    static size_t size[N];
    unsigned seed = 1;
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < N; i++) {
            seed = seed * 1103515245 + 12345;
            if (at[i]) {
                for (size_t j = 0; j < size[i]; j += 4096) MUST(at[i][j] == (char)(i + 1));
                MUST(munmap(at[i], size[i]) == 0);
            }
            size[i] = 4096 * (1 + (seed >> 16) % (seed & 0x8000000 ? 300 : 12));
            at[i] = map(size[i]);
            MUST(zero(at[i], size[i]));
            memset(at[i], i + 1, size[i]);
        }
    for (int i = 0; i < N; i++) MUST(munmap(at[i], size[i]) == 0);
    printf("many mappings\n");

    // What was unmapped is gone, for accesses and for calls.
    char *p = map(4 * M);
    memset(p, 7, 4 * M);
    OK(munmap(p + M, 2 * M) == 0);
    OK(probe(p + M, 0) == SEGV_MAPERR);
    OK(probe(p + 3 * M - 1, 1) == SEGV_MAPERR);
    OK(probe(p + M - 1, 0) == 0 && probe(p + 3 * M, 1) == 0);
    OK(RAW(SYS_write, pipes[1], p + M, 4) == -EFAULT);
    OK(ERR(mincore(p + M, 2 * M, vec), ENOMEM));
    OK(munmap(p + M, 2 * M) == 0);
    memset(p, 7, M);
    char *q = map(2 * M);
    OK(zero(q, 2 * M));
    memset(q, 9, 2 * M);
    OK(munmap(q, 2 * M) == 0);
    OK(ERR(mprotect(q, M, PROT_READ | PROT_WRITE), ENOMEM));
    OK(ERR(madvise(q, M, MADV_DONTNEED), ENOMEM));
    OK(ERR(msync(q, M, MS_ASYNC), ENOMEM));
    OK(mremap(q, M, 2 * M, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    OK(probe(q, 0) == SEGV_MAPERR);
    OK(munmap(p, M) == 0 && munmap(p + 3 * M, M) == 0);

    // A free place can be had by its address, where the kernel keeps or has mapped ahead, too.
    p = map(3 * M);
    memset(p, 3, 3 * M);
    OK(munmap(p, 3 * M) == 0);
    OK(mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
    OK(*p == 0);
    OK(mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    OK(mmap(p + M, M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + M);
    OK(zero(p + M, M));
    p[M] = 1;
    q = map(M);
    MUST(q + M <= p + M || q >= p + 2 * M);
    OK(p[M] == 1 && munmap(p, 3 * M) == 0);
    int fd = memfd_create("x", 0);
    MUST(ftruncate(fd, M) == 0 && pwrite(fd, "file", 4, 0) == 4);
    OK(mmap(q, M / 2, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == q && !memcmp(q, "file", 4));
    OK(munmap(q, M) == 0);
    OK(probe(q, 0) == SEGV_MAPERR && probe(q + M - 1, 0) == SEGV_MAPERR);
    for (int i = 0; i < 8; i++) {
        char *r = map(M);
        MUST(zero(r, M));
        memset(r, 4, M);
    }

    // Protection is the program's, and kept memory has none of what the last owner did to it.
    p = map(2 * M);
    memset(p, 5, 2 * M);
    OK(mprotect(p + 64 * K, 64 * K, PROT_NONE) == 0 && probe(p + 64 * K, 0) == SEGV_ACCERR);
    OK(mprotect(p + 512 * K, 64 * K, PROT_READ) == 0 && probe(p + 512 * K, 1) == SEGV_ACCERR);
    OK(munmap(p, 2 * M) == 0 && probe(p + 64 * K, 0) == SEGV_MAPERR);
    for (int i = 0; i < 4; i++) {
        q = map(2 * M);
        MUST(zero(q, 2 * M));
        memset(q, 6, 2 * M);
    }
    OK(madvise(q, 2 * M, MADV_DONTNEED) == 0 && zero(q, 2 * M));
    q[5] = 1;
    OK(mlock(q, 4096) == 0 && munlock(q, 4096) == 0);

    // mremap: grows, moves, shrinks.
    p = map(M);
    memset(p, 8, M);
    q = mremap(p, M, 3 * M, MREMAP_MAYMOVE);
    OK(q != MAP_FAILED && q[M - 1] == 8 && zero(q + M, 2 * M));
    if (q != p) MUST(probe(p, 0) == SEGV_MAPERR);
    OK(mremap(q, 3 * M, M, 0) == q && probe(q + M, 0) == SEGV_MAPERR);
    p = map(M);
    OK(mremap(q, M, M, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p && p[0] == 8);
    OK(probe(q, 0) == SEGV_MAPERR && munmap(p, M) == 0);

    // Copy on write across fork, with memory kept and mapped ahead on both sides.
    p = map(2 * M);
    memset(p, 1, 2 * M);
    q = map(2 * M);
    memset(q, 2, 2 * M);
    munmap(q, 2 * M);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        memset(p, 3, M);
        q = map(2 * M);
        int ok = zero(q, 2 * M) && p[M] == 1 && p[0] == 3;
        memset(q, 4, 2 * M);
        munmap(q, 2 * M);
        _exit(ok ? 21 : 1);
    }
    int status;
    OK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 21);
    OK(p[0] == 1);
    q = map(2 * M);
    OK(zero(q, 2 * M));

    // Reserved memory is committed piece by piece.
    p = mmap(NULL, 256 * M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    OK(p != MAP_FAILED && probe(p, 0) == SEGV_ACCERR);
    OK(mprotect(p + M, M, PROT_READ | PROT_WRITE) == 0 && zero(p + M, M));
    OK(mmap(p + 8 * M, 8 * M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 8 * M);
    memset(p + 8 * M, 1, 8 * M);
    OK(munmap(p, 256 * M) == 0 && probe(p + 8 * M, 0) == SEGV_MAPERR);

    // The heap; before there is anything in MAP_32BIT's place, where a static program's heap may begin.
    char *heap = sbrk(0);
    for (int i = 0; i < 100; i++) {
        char *h = sbrk(132 * K);
        MUST(h == heap + i * 132 * K && zero(h, 132 * K));
        memset(h, 1, 132 * K);
    }
    OK(sbrk(0) == heap + 100 * 132 * K);
    OK(sbrk(-50 * 132 * (long)K) == heap + 100 * 132 * K);
    OK(probe(heap + 51 * 132 * K, 0) == SEGV_MAPERR);
    OK(sbrk(132 * K) == heap + 50 * 132 * K && zero(heap + 50 * 132 * K, 132 * K));

    // MAP_32BIT stays below 2 GiB.
    for (int i = 0; i < 20; i++) {
        p = mmap(NULL, 2 * M + 16 * K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        MUST(p != MAP_FAILED && (uintptr_t)p + 2 * M + 16 * K <= 1UL << 31);
        MUST(zero(p, 2 * M + 16 * K));
        memset(p, i, 2 * M + 16 * K);
        if (i % 3 == 0) munmap(p, 2 * M + 16 * K);
    }
    // Code in memory to write and execute.
    for (int i = 0; i < 3; i++) {
        unsigned char *c = mmap(NULL, M, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST((void *)c != MAP_FAILED && zero((char *)c, M));
        memcpy(c, "\xb8\x2a\0\0\0\xc3", 6);
        MUST(((int (*)(void))c)() == 42);
    }
    return done();
}
