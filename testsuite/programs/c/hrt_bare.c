//@ variants: dynamic-pie static musl
//@ stats: kernel_threads.created >= 500
// Without pthread_create the carriers are made by clone(2); kernel threads that compute and call the kernel need no libc.
#include "../../../hrt-runtime-shim/api/hrt.h"
#include "check.h"
static hrt_mutex_t m;
static hrt_barrier_t b = HRT_BARRIER_INIT(100);
static long n, sum;
static double parts[100];
static void *works(void *p) {
    double x = (double)(long)p;
    for (int i = 0; i < 50; i++) {
        hrt_mutex_lock(&m);
        n++;
        hrt_mutex_unlock(&m);
        x = x / 3 + 1;
        if (i % 10 == 0) hrt_thread_yield();
    }
    parts[(long)p] = x;
    errno = 5; // its carrier's
    hrt_barrier_wait(&b);
    long system = RAW(SYS_getppid);
    __atomic_add_fetch(&sum, system > 0, __ATOMIC_RELAXED);
    return p;
}
int main(void) {
    struct hrt_info info;
    if (hrt_get_info(&info) != 0) {
        MUST(hrt_thread_create(NULL, works, NULL, 0, 0) == HRT_ENOTSUP);
        return done();
    }
    for (int round = 0; round < 5; round++) {
        hrt_thread_t t[100];
        for (long i = 0; i < 100; i++) MUST(hrt_thread_create(&t[i], works, (void *)i, 0, 0) == 0);
        for (int i = 0; i < 100; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    }
    MUST(n == 5 * 100 * 50 && sum == 500);
    for (int i = 0; i < 100; i++) MUST(parts[i] > 1.499 && parts[i] < 1.501);
    return done();
}
