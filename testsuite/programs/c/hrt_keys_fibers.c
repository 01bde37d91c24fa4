//@ variants: dynamic-pie static
//@ flags: -pthread
// Values of threads with their destructors, fibers, timers.
#include "hrt_check.h"
static long key, other, destroyed;
static void destroy(void *p) {
    if (__atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST) % 2) MUST(hrt_key_set(key, p) == 0); // once more
}
static void *keeps(void *p) {
    MUST(hrt_key_get(key) == NULL && hrt_key_get(other) == NULL);
    MUST(hrt_key_set(key, p) == 0);
    hrt_thread_yield();
    MUST(hrt_key_get(key) == p);
    return NULL;
}
static hrt_fiber_t home, a, b;
static void *generates(void *p) {
    for (long i = 0;; i++) {
        void *back;
        MUST(hrt_fiber_switch(home, (void *)(i * 10 + (long)p), &back) == 0);
        p = back;
        if ((long)p < 0) return (void *)77;
    }
}
static void *fibers(void *p) {
    (void)p;
    void *v;
    home = hrt_fiber_self();
    MUST(hrt_fiber_create(&a, generates, 0) == 0);
    MUST(hrt_fiber_create(&b, generates, 64 * 1024) == 0);
    MUST(hrt_fiber_switch(home, NULL, NULL) == -EBUSY);
    for (long i = 0; i < 1000; i++) {
        MUST(hrt_fiber_switch(a, (void *)(i % 10), &v) == 0 && (long)v == i * 10 + i % 10);
        MUST(hrt_fiber_switch(b, (void *)3, &v) == 0 && (long)v == i * 10 + 3);
        if (i % 100 == 0) hrt_thread_yield();
    }
    MUST(hrt_fiber_switch(a, (void *)-1, &v) == 0 && (long)v == 77);
    MUST(hrt_fiber_switch(a, NULL, NULL) == -ESRCH);
    MUST(hrt_fiber_delete(a) == 0 && hrt_fiber_delete(a) == -ESRCH && hrt_fiber_delete(b) == 0);
    MUST(hrt_fiber_delete(home) == -EINVAL);
    return NULL;
}
static hrt_semaphore_t called = HRT_SEMAPHORE_INIT(0);
static void *calls(void *p) { MUST((long)p == 9); hrt_semaphore_post(&called); return NULL; }
int main(void) {
    if (without_kernel()) return done();
    key = hrt_key_create(destroy);
    MUST(key >= 0);
    long last = key;
    for (int i = 0; i < 20; i++) last = hrt_key_create(NULL);
    other = last;
    MUST(other > key && hrt_key_set(other, &key) == 0 && hrt_key_get(other) == &key);
    hrt_thread_t t[8];
    for (long i = 0; i < 8; i++) MUST(hrt_thread_create(&t[i], keeps, (void *)(i + 1), 0, 0) == 0);
    for (int i = 0; i < 8; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    MUST(destroyed == 16);
    MUST(hrt_key_delete(other) == 0 && hrt_key_get(other) == NULL && hrt_key_set(other, &key) == -EINVAL);
    MUST(hrt_key_create(NULL) == other && hrt_key_get(other) == NULL);

    fibers(NULL);
    MUST(hrt_thread_create(&t[0], fibers, NULL, 0, 0) == 0 && hrt_thread_join(t[0], NULL) == 0);

    static hrt_event_t e = HRT_EVENT_INIT(0, 0);
    static hrt_timer_t once = HRT_TIMER_SETS(&e), often = HRT_TIMER_CALLS(calls, (void *)9), none;
    uint64_t start = hrt_time();
    MUST(hrt_timer_start(&none, 1, 0) == -EINVAL && hrt_timer_stop(&once) == 0);
    MUST(hrt_timer_start(&once, 5000000, 0) == 0 && hrt_event_wait(&e) == 0 && hrt_time() - start >= 5000000);
    MUST(hrt_timer_stop(&once) == 0 && once.count == 1);
    MUST(hrt_timer_start(&often, 1000000, 1000000) == 0);
    for (int i = 0; i < 5; i++) MUST(hrt_semaphore_wait(&called) == 0);
    MUST(hrt_timer_stop(&often) == 1 && often.count >= 5);
    MUST(hrt_timer_start(&once, 3600000000000, 0) == 0 && hrt_timer_stop(&once) == 1 && once.count == 1);
    return done();
}
