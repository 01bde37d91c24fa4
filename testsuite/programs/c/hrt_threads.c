//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: kernel_threads.created >= 1000
//@ stats: kernel_threads.switches >= 2000
// Kernel threads: made, joined, detached, from Linux's thread and from kernel threads.
#include "hrt_check.h"
static long order[4], at;
static void *add(void *p) { return (void *)((long)p + 1); }
static void *leaves(void *p) { hrt_thread_exit(p); return NULL; }
static void *counts(void *p) {
    for (int i = 0; i < 100; i++) {
        __atomic_add_fetch((long *)p, 1, __ATOMIC_RELAXED);
        hrt_thread_yield();
    }
    return p;
}
static void *first(void *p) { order[at++] = (long)p; return NULL; }
static void *tree(void *p) {
    long n = (long)p;
    if (n == 0) return (void *)1;
    hrt_thread_t a, b;
    void *x = NULL, *y = NULL;
    MUST(hrt_thread_create(&a, tree, (void *)(n - 1), n % 2 ? HRT_THREAD_FIRST : 0, 0) == 0);
    MUST(hrt_thread_create(&b, tree, (void *)(n - 1), 0, 0) == 0);
    MUST(hrt_thread_join(a, &x) == 0);
    MUST(hrt_thread_join(b, &y) == 0);
    return (void *)((long)x + (long)y);
}
static void *deep(void *p) {
    volatile char room[200000];
    for (size_t i = 0; i < sizeof room; i += 4096) room[i] = 1;
    return p;
}
static void *in_kernel_thread(void *p) {
    hrt_thread_t t;
    MUST(hrt_thread_join(hrt_thread_self(), NULL) == -EDEADLK);
    MUST(hrt_thread_create(&t, first, (void *)2, HRT_THREAD_FIRST, 0) == 0);
    order[at++] = 3;
    MUST(hrt_thread_join(t, NULL) == 0);
    return p;
}
static void *sets(void *p) { hrt_event_set((hrt_event_t *)p); return NULL; }
static hrt_event_t awake = HRT_EVENT_INIT(0, 0);
static void *sleeps(void *p) { hrt_event_wait(&awake); hrt_thread_sleep((long)p); return p; }
int main(void) {
    if (without_kernel()) return done();
    hrt_thread_t t;
    void *result = NULL;
    MUST(hrt_thread_create(&t, NULL, NULL, 0, 0) == -EINVAL);
    MUST(hrt_thread_create(&t, add, NULL, 64, 0) == -EINVAL);
    MUST(hrt_thread_create(&t, add, NULL, 0, (size_t)1 << 40) == -EINVAL);
    MUST(hrt_thread_create(&t, add, (void *)41, 0, 0) == 0);
    MUST(hrt_thread_join(t, &result) == 0 && (long)result == 42);
    MUST(hrt_thread_join(t, &result) == -ESRCH);
    MUST(hrt_thread_create(&t, leaves, (void *)7, 0, 0) == 0);
    MUST(hrt_thread_join(t, &result) == 0 && (long)result == 7);
    MUST(hrt_thread_exit(NULL) == -EPERM);

    static hrt_thread_t many[200];
    long sum = 0;
    for (int i = 0; i < 200; i++) MUST(hrt_thread_create(&many[i], counts, &sum, i % 2 ? HRT_THREAD_FIRST : 0, 0) == 0);
    for (int i = 0; i < 200; i++) MUST(hrt_thread_join(many[i], &result) == 0 && result == &sum);
    MUST(sum == 20000);

    MUST(hrt_thread_create(&t, tree, (void *)9, 0, 0) == 0);
    MUST(hrt_thread_join(t, &result) == 0 && (long)result == 512);
    MUST(hrt_thread_create(&t, deep, (void *)5, 0, 256 * 1024) == 0);
    MUST(hrt_thread_join(t, &result) == 0 && (long)result == 5);

    MUST(hrt_thread_create(&t, in_kernel_thread, (void *)1, 0, 0) == 0);
    MUST(hrt_thread_join(t, &result) == 0 && (long)result == 1);
    MUST(at == 2 && order[0] == 2 && order[1] == 3);

    static hrt_event_t over = HRT_EVENT_INIT(0, 0);
    for (int i = 0; i < 50; i++) {
        MUST(hrt_thread_create(&t, sets, &over, i % 2 ? HRT_THREAD_DETACHED : 0, 0) == 0);
        if (i % 2 == 0) MUST(hrt_thread_detach(t) == 0);
        MUST(hrt_event_wait(&over) == 0);
    }
    uint64_t start = hrt_time();
    MUST(hrt_thread_create(&t, sleeps, (void *)20000000, 0, 0) == 0);
    MUST(hrt_thread_join_until(t, NULL, start + 1000000) == -ETIMEDOUT);
    MUST(hrt_event_set(&awake) == 0 && hrt_thread_join(t, NULL) == 0);
    MUST(hrt_time() - start >= 20000000);
    MUST(hrt_thread_sleep(1000000) == 0 && hrt_time() - start >= 21000000);

    struct hrt_threads_info info;
    MUST(hrt_threads_info(&info) == 0 && info.created > 1000 && info.groups >= 1 && info.carriers >= 1);
    for (int i = 0; info.live && i < 1000; i++) { millis(1); hrt_threads_info(&info); }
    MUST(info.live == 0);
    return done();
}
