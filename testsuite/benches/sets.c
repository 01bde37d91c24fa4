// Times what the sets of overrides replace: sets OPERATION prints cycles for one operation.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <x86intrin.h>

static void *volatile sink;

static double per(uint64_t start, double n) { return (double)(__rdtsc() - start) / n; }

// malloc and free of `size` bytes, one after the other.
static double pair(size_t size, int n) {
    uint64_t start = __rdtsc();
    for (int i = 0; i < n; i++) {
        void *p = malloc(size);
        sink = p;
        free(p);
    }
    return per(start, n);
}

// 10,000 objects, then all of them freed.
static double lists(void) {
    enum { N = 10000, ROUNDS = 100 };
    static void *p[N];
    uint64_t start = __rdtsc();
    for (int k = 0; k < ROUNDS; k++) {
        for (int i = 0; i < N; i++) p[i] = malloc(100);
        for (int i = 0; i < N; i++) free(p[i]);
    }
    return per(start, (double)N * ROUNDS);
}

// A large object, touched page by page.
static double touched(void) {
    enum { SIZE = 10000000, ROUNDS = 60 };
    uint64_t start = __rdtsc();
    for (int i = 0; i < ROUNDS; i++) {
        char *p = malloc(SIZE);
        for (size_t k = 0; k < SIZE; k += 4096) p[k] = 1;
        sink = p;
        free(p);
    }
    return per(start, (double)ROUNDS * SIZE / 4096);
}

// An array that grows to 32 MiB by doubling.
static double grown(void) {
    enum { ROUNDS = 10 };
    uint64_t start = __rdtsc();
    for (int i = 0; i < ROUNDS; i++) {
        char *p = NULL;
        for (size_t n = 1024; n <= 32 << 20; n *= 2) {
            p = realloc(p, n);
            memset(p + n / 2, 1, n / 2);
        }
        free(p);
    }
    return per(start, (double)ROUNDS * 8192);
}

// As in Larson's benchmark: each thread replaces random objects of random sizes, its own or everybody's.
enum { SLOTS = 4096, TURNS = 500000 };
static _Atomic(void *) shared[SLOTS];
static int mixed;
static void *larson(void *arg) {
    static _Thread_local _Atomic(void *) own[SLOTS];
    _Atomic(void *) *slots = mixed ? shared : own;
    unsigned r = (unsigned)(uintptr_t)arg * 7919;
    for (int i = 0; i < TURNS; i++) {
        r = r * 1103515245 + 12345;
        free(atomic_exchange(&slots[(r >> 8) % SLOTS], malloc((r >> 12) % 500 + 8)));
    }
    return NULL;
}
static double threads(int n, int mix) {
    pthread_t t[8];
    mixed = mix;
    uint64_t start = __rdtsc();
    for (intptr_t i = 0; i < n; i++) pthread_create(&t[i], NULL, larson, (void *)(i + 1));
    for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
    return per(start, (double)n * TURNS);
}

static double clocks(int which) {
    enum { N = 200000 };
    struct timespec t;
    struct timeval v;
    uint64_t start = __rdtsc();
    for (int i = 0; i < N; i++) {
        if (which == 0) clock_gettime(CLOCK_MONOTONIC, &t);
        else if (which == 1) gettimeofday(&v, NULL);
        else sink = (void *)time(NULL);
    }
    return per(start, N);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
#define IS(name) (!strcmp(what, name))
    double r = IS("pair-40")         ? pair(40, 2000000)
               : IS("pair-1000")     ? pair(1000, 2000000)
               : IS("pair-100000")   ? pair(100000, 200000)
               : IS("lists-100")     ? lists()
               : IS("touched-page")  ? touched()
               : IS("grown-page")    ? grown()
               : IS("larson-1")      ? threads(1, 0)
               : IS("larson-2")      ? threads(2, 0)
               : IS("larson-8")      ? threads(8, 0)
               : IS("handed-on-8")   ? threads(8, 1)
               : IS("clock_gettime") ? clocks(0)
               : IS("gettimeofday")  ? clocks(1)
               : IS("time")          ? clocks(2)
                                     : -1;
    if (r < 0) return 2;
    printf("%.1f\n", r);
    return 0;
}
