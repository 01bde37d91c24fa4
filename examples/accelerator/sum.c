/* Sums an array: by one loop, by pthreads, and by functions that the HRT kernel executes, in many small pieces. With an argument it prints figures, too. */
#include "hrt.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 1 << 22, PIECES = 1024 };
static unsigned *numbers;
static unsigned long parts[PIECES];

static unsigned long add(long from, long to) {
    unsigned long sum = 0;
    for (long i = from; i < to; i++) sum += numbers[i];
    return sum;
}

/* A piece, as a kernel thread. */
static long piece(long n) {
    parts[n] = add(n * (NUMBERS / PIECES), (n + 1) * (NUMBERS / PIECES));
    return 0;
}

/* The same pieces for pthreads; there is one thread for each. */
static void *piece_by_pthread(void *n) { return (void *)piece((long)n); }

static unsigned long total(void) {
    unsigned long sum = 0;
    for (int i = 0; i < PIECES; i++) sum += parts[i], parts[i] = 0;
    return sum;
}

/* Executes in the kernel: invokes all pieces and waits for them. */
static long by_kernel_threads(void) {
    static hrt_thread_t t[PIECES];
    for (long i = 0; i < PIECES; i++)
        if (hrt_invoke_async(&t[i], piece, i)) return 1;
    for (long i = 0; i < PIECES; i++) hrt_thread_join(t[i], NULL);
    return 0;
}

static unsigned long cycles(void) { return __builtin_ia32_rdtsc(); }

int main(int argc, char **argv) {
    (void)argv;
    numbers = malloc(NUMBERS * sizeof *numbers);
    for (unsigned i = 0; i < NUMBERS; i++) numbers[i] = i * 2654435761u;

    unsigned long sum = add(0, NUMBERS), start = cycles();
    sum += add(0, NUMBERS);
    sum /= 2;
    unsigned long alone = cycles() - start, pthreads = 0, kernel = 0;
    printf("one loop          %lu\n", sum);

    long kernel_is_there = hrt_init();
    if (kernel_is_there == 0) {
        hrt_merge(numbers, NUMBERS * sizeof *numbers);
        void *failed = NULL;
        hrt_invoke(&failed, by_kernel_threads); /* carriers are made */
        total();
        start = cycles();
        hrt_invoke(&failed, by_kernel_threads);
        kernel = cycles() - start;
        if (failed) return 1;
    } else {
        for (long i = 0; i < PIECES; i++) piece(i); /* plain Linux: this very thread does it */
    }
    printf("kernel threads    %lu\n", total());

    pthread_t t[PIECES];
    start = cycles();
    for (long i = 0; i < PIECES; i++)
        if (pthread_create(&t[i], NULL, piece_by_pthread, (void *)i)) return 1;
    for (int i = 0; i < PIECES; i++) pthread_join(t[i], NULL);
    pthreads = cycles() - start;
    printf("pthreads          %lu\n", total());
    if (argc > 1)
        printf("cycles: one loop %lu, %d pthreads %lu, %d kernel threads %lu%s\n", alone, PIECES, pthreads, PIECES, kernel,
               kernel_is_there == 0 ? "" : " (no kernel)");
    return 0;
}
