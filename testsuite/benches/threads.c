// Operations of threads, N times, by pthreads or by the kernel's: threads OPERATION pthread|kernel N prints nanoseconds and cycles.
#define _GNU_SOURCE
#include "hrt.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    };
    if (argc != 4) return 2;
    n = atol(argv[3]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(argv[1], all[i].name)) operation = all[i].f, per = all[i].each;
    if (!operation) return 2;
    kernel = !strcmp(argv[2], "kernel");
    if (kernel) {
        // By a kernel thread, as a program does that uses them.
        hrt_thread_t t;
        check(hrt_threads_by_pthread());
        check(hrt_thread_create(&t, measure, NULL, 0, 1 << 18));
        check(hrt_thread_join(t, NULL));
    } else {
        measure(NULL);
    }
    double ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
    printf("%.0f %.0f\n", ns / per, (double)(end - begin) / per);
    return 0;
}
