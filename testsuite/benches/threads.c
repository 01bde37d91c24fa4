// Operations of threads, N times, by pthreads or by the kernel's: threads OPERATION pthread|kernel N prints nanoseconds and cycles.
#define _GNU_SOURCE
#include "hrt.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int kernel;
static long n;

static void check(long r) {
    if (r) {
        fprintf(stderr, "error %ld\n", r);
        exit(1);
    }
}
typedef struct { hrt_thread_t k; pthread_t p; } thread;
static void start(thread *t, void *(*f)(void *), void *p) { check(kernel ? hrt_thread_create(&t->k, f, p, 0, 0) : pthread_create(&t->p, NULL, f, p)); }
static void join(thread *t) { check(kernel ? hrt_thread_join(t->k, NULL) : pthread_join(t->p, NULL)); }

static void *nothing(void *p) { return p; }
static void create(void) {
    for (long i = 0; i < n; i++) {
        thread t;
        start(&t, nothing, NULL);
        join(&t);
    }
}

static void *yields(void *p) {
    for (long i = 0; i < n; i++) kernel ? hrt_thread_yield() : sched_yield();
    return p;
}
// Two for each processor, so that there is somebody to yield to.
static void both(void *(*f)(void *)) {
    thread t[4];
    for (int i = 0; i < 4; i++) start(&t[i], f, (void *)(long)i);
    for (int i = 0; i < 4; i++) join(&t[i]);
}
static void yield(void) { both(yields); }

static hrt_mutex_t km;
static pthread_mutex_t pm = PTHREAD_MUTEX_INITIALIZER;
static void lock(void) {
    for (long i = 0; i < n; i++) {
        kernel ? (void)hrt_mutex_lock(&km) : (void)pthread_mutex_lock(&pm);
        kernel ? (void)hrt_mutex_unlock(&km) : (void)pthread_mutex_unlock(&pm);
    }
}
// A lock that another thread waits for whenever it is released.
static void *hands(void *p) {
    for (long i = 0; i < n; i++) {
        kernel ? (void)hrt_mutex_lock(&km) : (void)pthread_mutex_lock(&pm);
        kernel ? (void)hrt_thread_yield() : (void)sched_yield();
        kernel ? (void)hrt_mutex_unlock(&km) : (void)pthread_mutex_unlock(&pm);
    }
    return p;
}
static void handoff(void) { both(hands); }

static hrt_condition_t kc;
static pthread_cond_t pc = PTHREAD_COND_INITIALIZER;
static long turn;
static void *plays(void *p) {
    for (long i = 0; i < n; i++) {
        kernel ? (void)hrt_mutex_lock(&km) : (void)pthread_mutex_lock(&pm);
        while (turn != (long)p) kernel ? (void)hrt_condition_wait(&kc, &km) : (void)pthread_cond_wait(&pc, &pm);
        turn = !turn;
        kernel ? (void)hrt_condition_signal(&kc) : (void)pthread_cond_signal(&pc);
        kernel ? (void)hrt_mutex_unlock(&km) : (void)pthread_mutex_unlock(&pm);
    }
    return p;
}
static void condition(void) {
    thread t[2];
    for (long i = 0; i < 2; i++) start(&t[i], plays, (void *)i);
    for (int i = 0; i < 2; i++) join(&t[i]);
}

static void *counts(void *p) { __atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED); return p; }
// Many at once.
static void many(void) {
    thread *t = calloc((size_t)n, sizeof *t);
    for (long i = 0; i < n; i++) start(&t[i], counts, NULL);
    for (long i = 0; i < n; i++) join(&t[i]);
}

// Two threads that only compute, on one processor: by Linux's scheduler, or preempted.
static void *computes(void *p) {
    for (long i = 0; i < n; i++)
        for (long k = 0; k < 50000; k++) __asm__ volatile("" : "+r"(k));
    return p;
}
static void share(void) {
    thread t[2];
    for (int i = 0; i < 2; i++) check(kernel ? hrt_thread_create(&t[i].k, computes, NULL, HRT_THREAD_PREEMPT, 0) : pthread_create(&t[i].p, NULL, computes, NULL));
    for (int i = 0; i < 2; i++) join(&t[i]);
}
// The processors that this process may use: the first one or the last one alone.
static void on_processor(int last) {
    cpu_set_t set, one;
    check(sched_getaffinity(0, sizeof set, &set));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set)) continue;
        if (last) CPU_ZERO(&one);
        CPU_SET(i, &one);
        if (!last) break;
    }
    check(sched_setaffinity(0, sizeof one, &one));
}
// How long a thread that computes is away for one preemption, when the other one yields at once; by pthreads: for an empty handler of a signal from another processor.
static volatile int stop, carrier;
static unsigned long *gaps, n_gaps;
static void *looks(void *p) {
    carrier = (int)syscall(SYS_gettid);
    for (unsigned long was = __builtin_ia32_rdtsc(); !stop;) {
        unsigned long is = __builtin_ia32_rdtsc();
        if (is - was > 700 && n_gaps < (unsigned long)n) gaps[n_gaps++] = is - was;
        was = is;
    }
    return p;
}
static void *gives_way(void *p) {
    while (!stop) hrt_thread_yield();
    return p;
}
static void empty(int sig) { (void)sig; }
static int shorter(const void *a, const void *b) {
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}
static unsigned long away(void) {
    thread t[2];
    cpu_set_t all;
    union { int i[32]; unsigned long w[16]; } info = {{64, 0, -2}}; // as the kernel's timer: see threads/preempt.rs
    info.w[3] = 0x48525450;
    gaps = calloc((size_t)n, sizeof *gaps);
    check(sched_getaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) < 2) {
        fprintf(stderr, "there is one processor\n");
        exit(1);
    }
    on_processor(0);
    signal(SIGUSR1, empty);
    check(kernel ? hrt_threads_preempt(3600000000000) : 0);
    check(kernel ? hrt_thread_create(&t[0].k, looks, NULL, HRT_THREAD_PREEMPT, 0) : pthread_create(&t[0].p, NULL, looks, NULL));
    if (kernel) check(hrt_thread_create(&t[1].k, gives_way, NULL, 0, 0));
    check(sched_setaffinity(0, sizeof all, &all));
    on_processor(1);
    while (!carrier) usleep(100);
    while (__atomic_load_n(&n_gaps, __ATOMIC_RELAXED) < (unsigned long)n) {
        kernel ? (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), carrier, 64, &info) : (void)pthread_kill(t[0].p, SIGUSR1);
        usleep(50);
    }
    stop = 1;
    for (int i = 0; i <= kernel; i++) join(&t[i]);
    qsort(gaps, (size_t)n, sizeof *gaps, shorter);
    return gaps[n / 2];
}

static void (*operation)(void);
static double per;
static struct timespec from, to;
static unsigned long begin, end;
static void *measure(void *p) {
    long times = n;
    n = n < 20 ? n : 20; // carriers, stacks and code are there
    operation();
    n = times;
    clock_gettime(CLOCK_MONOTONIC, &from);
    begin = __builtin_ia32_rdtsc();
    operation();
    end = __builtin_ia32_rdtsc();
    clock_gettime(CLOCK_MONOTONIC, &to);
    return p;
}

int main(int argc, char **argv) {
    static const struct { const char *name; void (*f)(void); int each; } all[] = {
        {"create", create, 1}, {"yield", yield, 4}, {"lock", lock, 1}, {"handoff", handoff, 4}, {"condition", condition, 2}, {"many", many, 1},
        {"share-1ms", share, 2}, {"share-10ms", share, 2},
    };
    if (argc != 4) return 2;
    n = atol(argv[3]);
    if (!strcmp(argv[1], "preempt")) {
        kernel = !strcmp(argv[2], "kernel");
        unsigned long cycles = away();
        printf("%lu %lu\n", cycles * n, cycles * n);
        return 0;
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(argv[1], all[i].name)) operation = all[i].f, per = all[i].each;
    if (!operation) return 2;
    kernel = !strcmp(argv[2], "kernel");
    if (operation == share) on_processor(1);
    if (kernel) {
        // By a kernel thread, as a program does that uses them.
        hrt_thread_t t;
        check(hrt_threads_by_pthread());
        if (operation == share) check(hrt_threads_preempt(strstr(argv[1], "-1ms") ? 1000000 : 10000000));
        check(hrt_thread_create(&t, measure, NULL, 0, 1 << 18));
        check(hrt_thread_join(t, NULL));
    } else {
        measure(NULL);
    }
    double ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
    printf("%.0f %.0f\n", ns / per, (double)(end - begin) / per);
    return 0;
}
