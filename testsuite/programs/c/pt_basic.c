//@ variants: dynamic-pie static static-pie musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 1300
//@ stats: kernel_threads.switches >= 1300
// Threads of the C library as kernel threads: made, joined, detached, ended, their values, keys and numbers.
#include "check.h"
static __thread int mine = 7;
static pthread_key_t key;
static int destroyed;
static pthread_once_t once_ = PTHREAD_ONCE_INIT;
static int onces;
static void *same(void *p) { return p; }
static void *exits(void *p) { pthread_exit((char *)p + 1); }
static void *counts(void *p) {
    int *n = p;
    MUST(mine == 7);
    for (int i = 0; i < 20; i++) {
        mine++;
        errno = mine;
        __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
        sched_yield();
        MUST(errno == mine);
    }
    MUST(mine == 27);
    return (void *)(long)syscall(SYS_gettid);
}
static void gone(void *p) { __atomic_add_fetch(&destroyed, *(int *)p, __ATOMIC_RELAXED); free(p); }
static void *keyed(void *p) {
    int *v = malloc(sizeof *v);
    *v = 2;
    MUST(pthread_getspecific(key) == NULL);
    MUST(pthread_setspecific(key, v) == 0);
    sched_yield();
    MUST(pthread_getspecific(key) == v);
    return p;
}
static void once_only(void) { sched_yield(); onces++; }
static void *calls_once(void *p) { pthread_once(&once_, once_only); MUST(onces == 1); return p; }
static pthread_t self_of;
static void *says_self(void *p) { self_of = pthread_self(); MUST(!pthread_equal(self_of, *(pthread_t *)p)); return p; }
static void *nested(void *p) {
    long n = (long)p;
    if (n == 0) return (void *)1;
    pthread_t a, b;
    void *x = NULL, *y = NULL;
    MUST(pthread_create(&a, NULL, nested, (void *)(n - 1)) == 0);
    MUST(pthread_create(&b, NULL, nested, (void *)(n - 1)) == 0);
    MUST(pthread_join(a, &x) == 0 && pthread_join(b, &y) == 0);
    return (void *)((long)x + (long)y);
}
static int finished;
static void *detached(void *p) { __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST); return p; }
#ifdef __GLIBC__
static void *slow(void *p) { millis(300); return p; }
#endif
static void *deep(void *p) {
    volatile char room[3000000];
    for (size_t i = 0; i < sizeof room; i += 4096) room[i] = 1;
    return p;
}
int main(void) {
    static pthread_t t[1000];
    void *r;
    OK(pthread_create(&t[0], NULL, same, (void *)5) == 0);
    OK(pthread_join(t[0], &r) == 0 && r == (void *)5);
    OK(pthread_create(&t[0], NULL, exits, (void *)5) == 0);
    OK(pthread_join(t[0], &r) == 0 && r == (void *)6);
    int n = 0;
    for (int i = 0; i < 1000; i++) MUST(pthread_create(&t[i], NULL, counts, &n) == 0);
    int distinct = 1;
    long last = 0;
    for (int i = 0; i < 1000; i++) {
        MUST(pthread_join(t[i], &r) == 0);
        if ((long)r == last || (long)r <= 0) distinct = 0;
        last = (long)r;
    }
    OK(n == 20000);
    OK(distinct);
    OK(pthread_key_create(&key, gone) == 0);
    for (int i = 0; i < 50; i++) MUST(pthread_create(&t[i], NULL, keyed, NULL) == 0);
    for (int i = 0; i < 50; i++) MUST(pthread_join(t[i], NULL) == 0);
    OK(destroyed == 100);
    for (int i = 0; i < 50; i++) MUST(pthread_create(&t[i], NULL, calls_once, NULL) == 0);
    for (int i = 0; i < 50; i++) MUST(pthread_join(t[i], NULL) == 0);
    OK(onces == 1);
    pthread_t me = pthread_self();
    OK(pthread_create(&t[0], NULL, says_self, &me) == 0);
    OK(pthread_join(t[0], NULL) == 0 && pthread_equal(self_of, t[0]));
    OK(pthread_create(&t[0], NULL, nested, (void *)6) == 0);
    OK(pthread_join(t[0], &r) == 0 && r == (void *)64);
    pthread_attr_t a;
    pthread_attr_init(&a);
    OK(pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED) == 0);
    for (int i = 0; i < 50; i++) MUST(pthread_create(&t[i], &a, detached, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        MUST(pthread_create(&t[i], NULL, detached, NULL) == 0);
        MUST(pthread_detach(t[i]) == 0);
    }
    while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < 100) millis(1);
    OK(pthread_attr_setdetachstate(&a, PTHREAD_CREATE_JOINABLE) == 0);
    OK(pthread_attr_setstacksize(&a, 4 << 20) == 0);
    OK(pthread_create(&t[0], &a, deep, (void *)9) == 0 && pthread_join(t[0], &r) == 0 && r == (void *)9);
#ifdef __GLIBC__
    OK(pthread_create(&t[0], NULL, slow, (void *)3) == 0);
    OK(pthread_tryjoin_np(t[0], &r) == EBUSY);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) { until.tv_sec++; until.tv_nsec -= 1000000000; }
    OK(pthread_timedjoin_np(t[0], &r, &until) == ETIMEDOUT);
    OK(pthread_join(t[0], &r) == 0 && r == (void *)3);
    OK(pthread_join(pthread_self(), &r) == EDEADLK);
#endif
    return done();
}
