// What the programs of the corpus share: raw system calls, and checks that print themselves.
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;

// Prints the condition, so that output tells what was looked at.
#define OK(cond)                                                                       \
    do {                                                                               \
        errno = 0;                                                                     \
        if (cond) printf("ok: %s\n", #cond);                                           \
        else { failures++; printf("FAILED: %s (line %d, errno %d)\n", #cond, __LINE__, errno); } \
    } while (0)

// Like OK, but silent when it holds: for loops and children.
#define MUST(cond)                                                                     \
    do {                                                                               \
        if (!(cond)) { failures++; printf("FAILED: %s (line %d, errno %d)\n", #cond, __LINE__, errno); } \
    } while (0)

// This machine cannot run the program.
#define CANNOT(why) do { printf("%s\n", why); exit(77); } while (0)

// The call fails with this errno.
#define ERR(call, e) ((call) == -1 && errno == (e))

static inline int done(void) {
    printf("done, %d failed\n", failures);
    return failures != 0;
}

// A `syscall` instruction of the program's own: gives -errno.
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return ret;
}
#define RAW_(n, a, b, c, d, e, f, ...) raw6((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define RAW(...) RAW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

// A timer's period in µs, at least `us`: 40 calls and 40 rounds of a handler fit in where calls are slow.
static inline long pace(long us) {
    double start = now();
    for (int i = 0; i < 50; i++) RAW(SYS_getppid);
    long some = (now() - start) / 50 * 1e6 * 80;
    return some > us ? some : us;
}
static inline void millis(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {}
}

// Waits for a child; its exit status, or 1000 plus the signal that ended it.
static inline int reap(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) == -1) {
        if (errno != EINTR) return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline void handle(int sig, void (*f)(int, siginfo_t *, void *), int flags) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = f;
    sa.sa_flags = SA_SIGINFO | flags;
    sigemptyset(&sa.sa_mask);
    if (sigaction(sig, &sa, NULL)) abort();
}

// Lines go out whole, so that a fork does not print them twice.
__attribute__((constructor)) static void check_start(void) { setvbuf(stdout, NULL, _IOLBF, 0); }
#endif
