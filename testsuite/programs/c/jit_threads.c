//@ flags: -pthread
// Four threads run the same freshly made code at once, while a fifth makes more of it.
#include "check.h"
static unsigned char *m;
static int made, bad, stop;
static void *runner(void *arg) {
    unsigned seed = (long)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        int n = __atomic_load_n(&made, __ATOMIC_ACQUIRE);
        if (!n) { sched_yield(); continue; }
        int (*f)(void) = (void *)(m + 16 * (rand_r(&seed) % n));
        if (f() != getpid()) __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}
int main(void) {
    m = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t t[4];
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, runner, (void *)i);
    for (int i = 0; i < 4096; i++) {
        memcpy(m + 16 * i, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
        __atomic_store_n(&made, i + 1, __ATOMIC_RELEASE);
        if (i % 64 == 0) sched_yield();
    }
    millis(50);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    OK(bad == 0);
    return done();
}
