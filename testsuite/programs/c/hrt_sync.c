//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: kernel_threads.created >= 20
// Every object by which threads synchronize, used by kernel threads and by Linux's threads at once.
#include "hrt_check.h"
enum { KERNEL = 6, LINUX = 2, ALL = KERNEL + LINUX, TURNS = 3000 };
static hrt_mutex_t m;
static long n;
static void *locks(void *p) {
    for (int i = 0; i < TURNS; i++) {
        if (i % 5 == 0) {
            while (hrt_mutex_lock_until(&m, hrt_time() + 20000) == -ETIMEDOUT) {}
        } else if (i % 7 == 0) {
            while (hrt_mutex_try_lock(&m) == -EBUSY) hrt_thread_yield();
        } else {
            MUST(hrt_mutex_lock(&m) == 0);
        }
        long was = n;
        if (i % 64 == 0) hrt_thread_yield();
        n = was + 1;
        MUST(hrt_mutex_unlock(&m) == 0);
    }
    return p;
}
static hrt_condition_t full = HRT_CONDITION_INIT, empty = HRT_CONDITION_INIT;
static long slot, sum;
static void *cells(void *p) {
    for (long i = 1; i <= TURNS; i++) {
        MUST(hrt_mutex_lock(&m) == 0);
        if ((long)p % 2) {
            while (slot) hrt_condition_wait(&empty, &m);
            slot = i;
            hrt_condition_signal(&full);
        } else {
            while (!slot) hrt_condition_wait_until(&full, &m, hrt_time() + 50000);
            sum += slot;
            slot = 0;
            i % 3 ? hrt_condition_signal(&empty) : hrt_condition_broadcast(&empty);
        }
        MUST(hrt_mutex_unlock(&m) == 0);
    }
    return p;
}
static hrt_semaphore_t units = HRT_SEMAPHORE_INIT(2);
static long inside, worst;
static void *takes(void *p) {
    for (int i = 0; i < TURNS; i++) {
        MUST(hrt_semaphore_wait(&units) == 0);
        long now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        if (now > worst) worst = now;
        if (i % 32 == 0) hrt_thread_yield();
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        MUST(hrt_semaphore_post(&units) == 0);
    }
    return p;
}
static hrt_barrier_t b = HRT_BARRIER_INIT(ALL);
static long arrived, serial;
static void *meets(void *p) {
    for (long i = 1; i <= 200; i++) {
        __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
        long last = hrt_barrier_wait(&b);
        MUST(last == 0 || last == 1);
        __atomic_add_fetch(&serial, last, __ATOMIC_SEQ_CST);
        MUST(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) >= i * ALL);
        MUST(hrt_barrier_wait(&b) >= 0);
    }
    return p;
}
static hrt_rwlock_t l = HRT_RWLOCK_INIT;
static long readers, written;
static void *reads(void *p) {
    for (int i = 0; i < TURNS; i++) {
        if ((long)p % 4 == 0 && i % 4 == 0) {
            if (hrt_rwlock_write_until(&l, i % 8 ? hrt_time() + 30000 : UINT64_MAX)) continue;
            MUST(readers == 0);
            written++;
        } else {
            MUST(hrt_rwlock_read(&l) == 0);
            __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
            if (i % 100 == 0) hrt_thread_yield();
            __atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        }
        MUST(hrt_rwlock_unlock(&l) == 0);
    }
    return p;
}
static hrt_event_t go = HRT_EVENT_INIT(1, 0), ping = HRT_EVENT_INIT(0, 0), pong = HRT_EVENT_INIT(0, 0);
static void *plays(void *p) {
    MUST(hrt_event_wait(&go) == 0);
    if ((long)p > 1) return p;
    for (int i = 0; i < TURNS; i++) {
        if (p) {
            MUST(hrt_event_set(&ping) == 0 && hrt_event_wait(&pong) == 0);
        } else {
            MUST(hrt_event_wait(&ping) == 0 && hrt_event_set(&pong) == 0);
        }
    }
    return p;
}
static hrt_once_t o;
static long times;
static void initialize(void) { hrt_thread_yield(); times++; }
static void *once(void *p) { MUST(hrt_once(&o, initialize) == 0 && times == 1); return p; }

static void together(void *(*f)(void *), int kernel, int linux_threads) {
    hrt_thread_t k[KERNEL];
    pthread_t t[LINUX];
    for (long i = 0; i < linux_threads; i++) MUST(pthread_create(&t[i], NULL, f, (void *)(kernel + i)) == 0);
    for (long i = 0; i < kernel; i++) MUST(hrt_thread_create(&k[i], f, (void *)i, 0, 0) == 0);
    if (f == plays) { millis(2); hrt_event_set(&go); }
    for (int i = 0; i < kernel; i++) MUST(hrt_thread_join(k[i], NULL) == 0);
    for (int i = 0; i < linux_threads; i++) MUST(pthread_join(t[i], NULL) == 0);
}
int main(void) {
    if (without_kernel()) return done();
    static const int kinds[] = {HRT_MUTEX_NORMAL, HRT_MUTEX_RECURSIVE, HRT_MUTEX_ERRORCHECK};
    for (int i = 0; i < 3; i++) {
        m = (hrt_mutex_t)HRT_MUTEX_INIT(kinds[i]);
        n = 0;
        together(locks, KERNEL, LINUX);
        MUST(n == ALL * TURNS);
    }
    MUST(hrt_mutex_unlock(&m) == -EPERM && hrt_mutex_lock(&m) == 0 && hrt_mutex_lock(&m) == -EDEADLK);
    MUST(hrt_mutex_unlock(&m) == 0);
    m = (hrt_mutex_t)HRT_MUTEX_INIT(HRT_MUTEX_NORMAL);
    together(cells, KERNEL, LINUX);
    MUST(sum == ALL / 2 * (long)TURNS * (TURNS + 1) / 2);
    together(takes, KERNEL, LINUX);
    MUST(worst <= 2 && inside == 0);
    MUST(hrt_semaphore_try_wait(&units) == 0 && hrt_semaphore_wait(&units) == 0 && hrt_semaphore_try_wait(&units) == -EAGAIN);
    MUST(hrt_semaphore_wait_until(&units, hrt_time() + 1000) == -ETIMEDOUT);
    together(meets, KERNEL, LINUX);
    MUST(serial == 200);
    together(reads, KERNEL, LINUX);
    MUST(written > 0);
    together(plays, KERNEL, LINUX);
    hrt_event_reset(&go);
    MUST(hrt_event_wait_until(&go, 0) == -ETIMEDOUT);
    together(once, KERNEL, LINUX);
    return done();
}
