// What `calls.rs` times: one operation, ITERATIONS times, in this process. Prints the time in nanoseconds and in cycles of
// the time-stamp counter.
//
// usage: micro OPERATION ITERATIONS, or micro memory 0: the most memory that was resident, in KiB
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static char *page;

static void nothing(int sig) { (void)sig; }

static void barrier(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info, (void)context;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void *thread(void *arg) { return arg; }

// Local.
static void op_getpid(void) { getpid(); }
// Forwarded: by libc's own site, by its syscall(), and one that fails at once.
static void op_getppid(void) { getppid(); }
static void op_syscall(void) { syscall(SYS_getppid); }
static void op_read(void) {
    char c;
    (void)!read(-1, &c, 1);
}
static void op_write(void) { (void)!write(3, "x", 1); }
// Mediated.
static void op_sigprocmask(void) {
    sigset_t s;
    sigprocmask(SIG_BLOCK, NULL, &s);
}
static void op_mmap(void) { munmap(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096); }
static void op_signal(void) { raise(SIGUSR1); }
static void op_barrier(void) {
    mprotect(page, 4096, PROT_READ);
    *(volatile char *)page = 1;
}
static void op_thread(void) {
    pthread_t t;
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
}
static void op_fork(void) {
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    waitpid(p, NULL, 0);
}

// Memory: the first touch of a page, a page each; 512 at a time.
static void op_touch(void) {
    static char *area;
    static long next = 512;
    if (next == 512) {
        if (area)
            munmap(area, 512 * 4096);
        area = mmap(NULL, 512 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        next = 0;
    }
    area[4096 * next++] = 1;
}
// A byte to another thread and back.
static int there[2], back[2];
static void *echo(void *arg) {
    char c;
    while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1) {}
    return arg;
}
static void op_switch(void) {
    static pthread_t t;
    char c = 1;
    if (!t && (pipe(there) || pipe(back) || pthread_create(&t, NULL, echo, NULL)))
        exit(2);
    if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1)
        exit(2);
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {
    {"getpid", op_getpid},   {"getppid", op_getppid}, {"syscall", op_syscall}, {"read", op_read},
    {"write", op_write},     {"sigprocmask", op_sigprocmask}, {"mmap", op_mmap}, {"signal", op_signal},
    {"barrier", op_barrier}, {"thread", op_thread},   {"fork", op_fork},
    {"touch", op_touch},     {"switch", op_switch},
};

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    long n = atol(argv[2]);
    if (!strcmp(argv[1], "memory")) {
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        printf("%ld 0\n", u.ru_maxrss);
        return 0;
    }
    void (*run)(void) = NULL;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (!strcmp(operations[i].name, argv[1]))
            run = operations[i].run;
    if (!run)
        return 2;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction sa = {.sa_handler = nothing};
    sigaction(SIGUSR1, &sa, NULL);
    sa.sa_sigaction = barrier;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &sa, NULL);
    if (dup2(fileno(fopen("/dev/null", "w")), 3) != 3)
        return 2;
    for (int i = 0; i < 10; i++)
        run();
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    unsigned long long t = __rdtsc();
    for (long i = 0; i < n; i++)
        run();
    t = __rdtsc() - t;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%lld %llu\n", (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec, t);
    return 0;
}
