/* Fine-grained fork-join, as Cilk has it: each call of fib makes a thread for one half of its work. Kernel threads beside pthreads. With an argument it prints
 * figures, too. */
#include "hrt.h"
#include <pthread.h>
#include <stdio.h>

enum { KERNEL = 20, PTHREADS = 12 };

static void *fib(void *p) {
    long n = (long)p;
    if (n < 2) return p;
    hrt_thread_t t;
    void *a = NULL, *b;
    /* The new thread executes at once; whoever is idle takes this one over. */
    if (hrt_thread_create(&t, fib, (void *)(n - 1), HRT_THREAD_FIRST, 0)) return fib((void *)(n - 1));
    b = fib((void *)(n - 2));
    hrt_thread_join(t, &a);
    return (void *)((long)a + (long)b);
}

static void *fib_by_pthreads(void *p) {
    long n = (long)p;
    if (n < 2) return p;
    pthread_t t;
    void *a = NULL, *b;
    if (pthread_create(&t, NULL, fib_by_pthreads, (void *)(n - 1))) return NULL;
    b = fib_by_pthreads((void *)(n - 2));
    pthread_join(t, &a);
    return (void *)((long)a + (long)b);
}

static long plain(long n) { return n < 2 ? n : plain(n - 1) + plain(n - 2); }
/* How many threads fib(n) makes. */
static long threads(long n) { return n < 2 ? 0 : 1 + threads(n - 1) + threads(n - 2); }
static unsigned long cycles(void) { return __builtin_ia32_rdtsc(); }

int main(int argc, char **argv) {
    (void)argv;
    void *r = (void *)plain(KERNEL);
    unsigned long kernel = 0;
    struct hrt_info info;
    int there = hrt_get_info(&info) == 0;
    if (there) {
        hrt_thread_t t;
        hrt_threads_by_pthread();
        for (int i = 0; i < 2; i++) { /* once to make carriers and stacks */
            unsigned long start = cycles();
            if (hrt_thread_create(&t, fib, (void *)KERNEL, 0, 0) || hrt_thread_join(t, &r)) return 1;
            kernel = cycles() - start;
        }
    }
    printf("fib(%d) = %ld\n", KERNEL, (long)r);
    unsigned long start = cycles();
    r = fib_by_pthreads((void *)PTHREADS);
    unsigned long pthreads = cycles() - start;
    printf("fib(%d) = %ld\n", PTHREADS, (long)r);
    if (argc > 1)
        printf("cycles a thread: kernel %lu%s, pthread %lu\n", kernel / threads(KERNEL), there ? "" : " (no kernel)", pthreads / threads(PTHREADS));
    return 0;
}
