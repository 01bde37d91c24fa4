//@ flags: -pthread
// Bare futex operations: wait with a wrong value, timeout, wake, requeue, bitset, PI lock.
#include "check.h"
#include <linux/futex.h>
static int f, g, woken, pi;
static void *waits(void *a) {
    while (RAW(SYS_futex, &f, FUTEX_WAIT, 0, 0) == -EINTR) {}
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return a;
}
static void *pilock(void *a) {
    MUST(RAW(SYS_futex, &pi, FUTEX_LOCK_PI, 0, 0) == 0);
    MUST((pi & FUTEX_TID_MASK) == gettid());
    MUST(RAW(SYS_futex, &pi, FUTEX_UNLOCK_PI, 0, 0) == 0);
    return a;
}
int main(void) {
    struct timespec t = {0, 20000000};
    OK(RAW(SYS_futex, &f, FUTEX_WAIT, 1, 0) == -EAGAIN);
    OK(RAW(SYS_futex, &f, FUTEX_WAIT, 0, &t) == -ETIMEDOUT);
    OK(RAW(SYS_futex, &f, FUTEX_WAKE, 1) == 0);
    OK(RAW(SYS_futex, &f, FUTEX_WAIT_BITSET, 0, 0, 0, 0) == -EINVAL);
    OK(RAW(SYS_futex, (char *)&f + 1, FUTEX_WAIT, 0, 0) == -EINVAL);
    OK(RAW(SYS_futex, &f, 99, 0, 0) == -ENOSYS);
    pthread_t th[4];
    for (int i = 0; i < 4; i++) pthread_create(&th[i], NULL, waits, NULL);
    int moved = 0;
    for (int i = 0; i < 1000 && moved < 3; i++) { moved += RAW(SYS_futex, &f, FUTEX_REQUEUE, 0, 4, &g); millis(1); }
    while (woken < 4) { RAW(SYS_futex, &g, FUTEX_WAKE, 10); RAW(SYS_futex, &f, FUTEX_WAKE, 10); millis(1); }
    OK(woken == 4);
    for (int i = 0; i < 4; i++) pthread_join(th[i], NULL);
    OK(RAW(SYS_futex, &pi, FUTEX_LOCK_PI, 0, 0) == 0);
    for (int i = 0; i < 2; i++) pthread_create(&th[i], NULL, pilock, NULL);
    millis(10);
    OK(RAW(SYS_futex, &pi, FUTEX_UNLOCK_PI, 0, 0) == 0);
    for (int i = 0; i < 2; i++) pthread_join(th[i], NULL);
    OK(pi == 0 || (pi & FUTEX_TID_MASK) == 0);
    return done();
}
