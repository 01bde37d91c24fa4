// Stacks of threads, more than libc keeps: each is new memory, has its guard page, and is gone when it is unmapped.
//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 60
//@ stats: memory.keeps >= 50
//@ stats: memory.local >= 40
#include "check.h"
#define M (1UL << 20)
static sigjmp_buf back;
static volatile int code;
static void segv(int s, siginfo_t *i, void *u) {
    (void)s, (void)u;
    code = i->si_code;
    siglongjmp(back, 1);
}
// The si_code of a write, 0 if it succeeds.
static int probe(volatile char *p) {
    code = 0;
    if (!sigsetjmp(back, 1)) *p = 1;
    return code;
}
static int zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i += 16)
        if (p[i]) return 0;
    return 1;
}
// Uses its stack down to a depth; what is below must be new.
static void *deep(void *arg) {
    char block[96 << 10];
    volatile char *p = block;
    memset((void *)p, 0x5a, sizeof block);
    const char *below = (const char *)p - (1 << 20);
    MUST(zero(below, (1 << 20) - 4096));
    return arg;
}
static char *stack(size_t n) {
    char *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    MUST(p != MAP_FAILED);
    return p;
}
int main(void) {
    struct sigaction sa = {.sa_sigaction = segv, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    pthread_attr_t a;
    pthread_attr_init(&a);
    OK(pthread_attr_setstacksize(&a, 48 * M) == 0);
    for (int i = 0; i < 40; i++) {
        pthread_t t;
        MUST(pthread_create(&t, &a, deep, NULL) == 0);
        MUST(pthread_join(t, NULL) == 0);
    }
    // By hand.
    size_t n = 8 * M;
    for (int i = 0; i < 30; i++) {
        char *s = stack(n);
        MUST(probe(s + n - 1) == SEGV_ACCERR);
        MUST(mprotect(s + 4096, n - 4096, PROT_READ | PROT_WRITE) == 0);
        MUST(probe(s) == SEGV_ACCERR && zero(s + 4096, n - 4096 - (i % 2) * (n / 2)));
        memset(s + n - 100000, 7, 100000);
        // Deep at times.
        if (i % 3 == 0) memset(s + 4 * M, 7, 100);
        if (i % 7 == 0) memset(s + M, 7, 7 * M);
        MUST(munmap(s, n) == 0);
        MUST(probe(s + n - 1) == SEGV_MAPERR && probe(s + 4 * M) == SEGV_MAPERR);
        unsigned char in[1];
        MUST(i % 5 || ERR(mincore(s + n - 4096, 4096, in), ENOMEM));
    }
    // In parts, with rights of its own, at a place that the program names.
    char *s = stack(n);
    OK(mprotect(s, n, PROT_READ | PROT_WRITE) == 0);
    memset(s, 3, n);
    OK(munmap(s + 2 * M, M) == 0 && s[2 * M - 1] == 3 && s[3 * M] == 3 && probe(s + 2 * M) == SEGV_MAPERR);
    OK(mmap(s + 2 * M, M, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == s + 2 * M && zero(s + 2 * M, M));
    OK(mprotect(s + 5 * M, M, PROT_READ) == 0 && munmap(s, n) == 0 && probe(s + 5 * M) == SEGV_MAPERR);
    s = stack(n);
    OK(mprotect(s, n, PROT_READ) == 0 && zero(s, n) && munmap(s, n) == 0);
    s = stack(n);
    pid_t p = fork();
    if (!p) _exit(mprotect(s, n, PROT_READ | PROT_WRITE) == 0 && zero(s, n) && munmap(s, n) == 0 && zero(stack(n) ? "" : "x", 1) ? 3 : 4);
    OK(reap(p) == 3);
    return done();
}
