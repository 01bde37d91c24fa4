//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ limit: 60
//@ stats: posts.posted >= 3000
// Posted system calls have the results and the effects of direct ones, errors included: those that a server may make, those that only the thread itself can make,
// and both in one batch; more than there is room for; collected in any order; from kernel threads and from many Linux threads; and what must not be posted.
#include "hrt_check.h"
#include <sys/uio.h>
#include <sys/utsname.h>

enum { ALL = 24, MANY = 100 };
static int fd, null, closed, zero[2], overlap;
static char *readonly;

static long post(hrt_call_t *c, long n, long a, long b, long d, long e) { return hrt_call_post(c, n, a, b, d, e, 0, 0); }
static long result(long n, long a, long b, long d, long e) {
    hrt_call_t c = {0};
    MUST(post(&c, n, a, b, d, e) == 0);
    if (overlap) a_while();
    MUST(hrt_call_wait(&c) == 0 && hrt_call_wait(&c) == 0 && hrt_call_done(&c) == 1);
    return c.result;
}
#define SAME(n, a, b, d, e) MUST(result(n, (long)(a), (long)(b), (long)(d), (long)(e)) == RAW(n, a, b, d, e))

static void same(void) {
    char text[64], other[64];
    struct stat st, su;
    struct utsname u;
    struct iovec v[2] = {{text, 3}, {text + 8, 5}};
    // By a server, or as if.
    SAME(SYS_getppid, 0, 0, 0, 0);
    SAME(SYS_getuid, 0, 0, 0, 0);
    SAME(SYS_pread64, fd, text, 8, 2);
    MUST(memcmp(text, "23456789", 8) == 0);
    SAME(SYS_pread64, fd, text, 8, 100);
    SAME(SYS_pread64, fd, text, 8, -1);
    SAME(SYS_write, null, text, 64, 0);
    SAME(SYS_lseek, fd, 3, SEEK_SET, 0);
    MUST(result(SYS_read, fd, (long)text, 4, 0) == 4 && memcmp(text, "3456", 4) == 0);
    MUST(result(SYS_lseek, fd, 0, SEEK_CUR, 0) == 7);
    MUST(result(SYS_readv, fd, (long)v, 2, 0) == 8 && memcmp(text, "789", 3) == 0 && memcmp(text + 8, "abcde", 5) == 0);
    SAME(SYS_uname, &u, 0, 0, 0);
    SAME(SYS_getcwd, text, sizeof text, 0, 0);
    SAME(SYS_getcwd, other, 1, 0, 0);
    MUST(result(SYS_fstat, fd, (long)&st, 0, 0) == 0 && fstat(fd, &su) == 0 && memcmp(&st, &su, sizeof st) == 0);
    MUST(result(SYS_clock_gettime, CLOCK_MONOTONIC, (long)text, 0, 0) == 0);
    // Errors, with bad descriptors and addresses.
    SAME(SYS_read, closed, text, 8, 0);
    SAME(SYS_fstat, closed, &st, 0, 0);
    SAME(SYS_pread64, fd, 8, 8, 0);
    SAME(SYS_pread64, fd, readonly, 8, 0);
    SAME(SYS_fstat, fd, readonly, 0, 0);
    SAME(SYS_fstat, fd, 8, 0, 0);
    SAME(SYS_lseek, fd, 0, 77, 0);
    SAME(SYS_clock_gettime, CLOCK_REALTIME, 8, 0, 0);
    // Only by the thread itself.
    SAME(SYS_getpid, 0, 0, 0, 0);
    SAME(SYS_gettid, 0, 0, 0, 0);
    SAME(SYS_write, zero[1], "abcd", 4, 0);
    SAME(SYS_write, zero[1], 8, 4, 0);
    SAME(SYS_read, zero[0], text, 4, 0);
    SAME(SYS_openat, AT_FDCWD, "/nothing/there", O_RDONLY, 0);
    SAME(SYS_clock_gettime, 77, text, 0, 0);
    SAME(100000, 0, 0, 0, 0);
    long page = hrt_linux(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hrt_call_t c = {0};
    MUST(hrt_call_post(&c, SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == 0 && hrt_call_wait(&c) == 0);
    MUST(c.result > 0 && c.result != page);
    memset((void *)c.result, 1, 8192);
    MUST(result(SYS_munmap, c.result, 8192, 0, 0) == 0 && result(SYS_munmap, page, 4096, 0, 0) == 0);
    uint64_t mask = 1ull << (SIGUSR1 - 1), old = 0;
    MUST(result(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, 8) == 0);
    MUST(RAW(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, &old, 8) == 0 && old & mask);
}

// What is posted together, of both kinds, is made in that order, however it is collected.
static void batches(int backwards) {
    hrt_call_t c[ALL];
    char text[ALL][4];
    memset(c, 0, sizeof c);
    for (int i = 0; i < ALL; i++) {
        long *a = c[i].arguments;
        switch (i % 4) {
        case 0: c[i].number = SYS_lseek, a[0] = fd, a[1] = i % 12; break;
        case 1: c[i].number = SYS_read, a[0] = fd, a[1] = (long)text[i], a[2] = 2; break;
        case 2: c[i].number = SYS_write, a[0] = zero[1], a[1] = (long)"xyz", a[2] = 3; break;
        default: c[i].number = SYS_read, a[0] = zero[0], a[1] = (long)text[i], a[2] = 3; break;
        }
    }
    MUST(hrt_calls_post(c, ALL) == 0);
    MUST(hrt_calls_post(&c[5], 1) == -EBUSY);
    if (overlap) a_while();
    if (backwards == 2) {
        MUST(hrt_calls_wait(c, ALL) == 0);
    } else {
        for (int i = 0; i < ALL; i++) {
            hrt_call_t *one = &c[backwards ? ALL - 1 - i : i];
            long done = hrt_call_done(one);
            MUST(done >= 0 && done <= 2);
            if (done != 1) MUST(hrt_call_wait(one) == 0);
        }
    }
    const char *digits = "0123456789abcdef";
    for (int i = 0; i < ALL; i++) {
        long wanted[] = {i % 12, 2, 3, 3};
        MUST(c[i].result == wanted[i % 4]);
        if (i % 4 == 1) MUST(memcmp(text[i], digits + (i - 1) % 12, 2) == 0);
        if (i % 4 == 3) MUST(memcmp(text[i], "xyz", 3) == 0);
    }
}

// More than there is room for: what is oldest is collected meanwhile.
static void many(void) {
    hrt_call_t c[MANY];
    memset(c, 0, sizeof c);
    for (int i = 0; i < MANY; i++) MUST(post(&c[i], i % 10 == 9 ? SYS_getpid : SYS_getppid, 0, 0, 0, 0) == 0);
    for (int i = MANY; i-- > 0;) MUST(hrt_call_wait(&c[i]) == 0);
    for (int i = 0; i < MANY; i++) MUST(c[i].result == (i % 10 == 9 ? getpid() : getppid()));
    for (int i = 0; i < MANY; i++) c[i].number = SYS_getppid;
    MUST(hrt_calls_post(c, MANY) == 0 && hrt_calls_wait(c, MANY) == 0);
    for (int i = 0; i < MANY; i++) MUST(c[i].result == getppid());
    // A program that only asks is served, too.
    MUST(post(&c[0], SYS_getppid, 0, 0, 0, 0) == 0);
    long r;
    while ((r = hrt_call_done(&c[0])) == 0) hrt_thread_yield();
    MUST(r == 1 && c[0].result == getppid());
    MUST(post(&c[0], SYS_gettid, 0, 0, 0, 0) == 0 && post(&c[1], SYS_getppid, 0, 0, 0, 0) == 0);
    while ((r = hrt_call_done(&c[1])) == 0) hrt_thread_yield();
    // (1: a thread without a queue.)
    MUST((r == 2 || r == 1) && hrt_call_wait(&c[1]) == 0 && hrt_call_done(&c[0]) == 1 && c[0].result == RAW(SYS_gettid));
}

static void refused(void) {
    static const long bad[] = {SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_rt_sigreturn};
    hrt_call_t c[3] = {{0}, {0}, {0}};
    MUST(hrt_call_wait(c) == -EINVAL && hrt_call_done(c) == -EINVAL && hrt_calls_wait(c, 0) == 0);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) MUST(post(c, bad[i], 0, 0, 0, 0) == -EINVAL);
    c[0].number = c[2].number = SYS_getppid, c[1].number = SYS_exit;
    MUST(hrt_calls_post(c, 3) == -EINVAL && hrt_call_wait(c) == -EINVAL);
}

static hrt_call_t theirs;
static void *other(void *p) {
    MUST(hrt_call_wait(&theirs) == -EPERM && hrt_call_done(&theirs) == -EPERM);
    return p;
}
static void *works(void *p) {
    for (int i = 0; i < 2; i++) {
        many();
        hrt_call_t c[2] = {{0}, {0}};
        char text[8];
        MUST(post(&c[0], SYS_pread64, fd, (long)text, 8, 4) == 0 && post(&c[1], SYS_write, null, (long)text, 8, 0) == 0);
        hrt_thread_yield();
        MUST(hrt_calls_wait(c, 2) == 0 && c[0].result == 8 && c[1].result == 8 && memcmp(text, "456789ab", 8) == 0);
    }
    return p;
}

int main(void) {
    if (without_kernel()) {
        hrt_call_t c = {0};
        MUST(post(&c, SYS_getppid, 0, 0, 0, 0) == HRT_ENOTSUP && hrt_call_wait(&c) == HRT_ENOTSUP && hrt_call_done(&c) == HRT_ENOTSUP);
        return done();
    }
    char name[] = "/tmp/hrt_call_XXXXXX";
    fd = mkstemp(name);
    unlink(name);
    MUST(write(fd, "0123456789abcdef", 16) == 16);
    null = open("/dev/null", O_WRONLY);
    MUST(pipe(zero) == 0);
    closed = dup(null);
    close(closed);
    readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 40; i++) {
        overlap = i % 4;
        same();
        batches(i % 3);
    }
    many();
    refused();
    MUST(post(&theirs, SYS_getppid, 0, 0, 0, 0) == 0);
    pthread_t p[70];
    hrt_thread_t k[20];
    MUST(pthread_create(&p[0], NULL, other, NULL) == 0 && pthread_join(p[0], NULL) == 0);
    MUST(hrt_thread_create(&k[0], other, NULL, 0, 1 << 18) == 0 && hrt_thread_join(k[0], NULL) == 0);
    MUST(hrt_call_wait(&theirs) == 0 && theirs.result == getppid());
    for (int i = 0; i < 20; i++) MUST(hrt_thread_create(&k[i], works, NULL, 0, 1 << 18) == 0);
    for (int i = 0; i < 20; i++) MUST(hrt_thread_join(k[i], NULL) == 0);
    for (int i = 0; i < 4; i++) MUST(pthread_create(&p[i], NULL, works, NULL) == 0);
    for (int i = 0; i < 4; i++) MUST(pthread_join(p[i], NULL) == 0);
    // More threads than there are queues for.
    for (int i = 0; i < 70; i++) MUST(pthread_create(&p[i], NULL, works, NULL) == 0);
    for (int i = 0; i < 70; i++) MUST(pthread_join(p[i], NULL) == 0);
    overlap = 0;
    same();
    return done();
}
