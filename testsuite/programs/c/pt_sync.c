//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 20
//@ stats: kernel_threads.switches >= 1000
// Mutexes of all kinds, condition variables, reader-writer locks, barriers, semaphores and spin locks between kernel threads and the first thread.
#include "check.h"
#include <semaphore.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static sem_t sem, room;
static long total, queue[4], head, tail, readers, most, serials, turn;
static struct timespec in(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static void *adds(void *p) {
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&m);
        long v = total;
        if (i % 100 == 0) sched_yield();
        total = v + 1;
        pthread_mutex_unlock(&m);
    }
    return p;
}
static void *spins(void *p) {
    for (int i = 0; i < 500; i++) {
        pthread_spin_lock(&spin);
        total++;
        pthread_spin_unlock(&spin);
    }
    return p;
}
static void *produces(void *p) {
    for (long i = 1; i <= 500; i++) {
        pthread_mutex_lock(&m);
        while (head - tail == 4) pthread_cond_wait(&c, &m);
        queue[head++ % 4] = i;
        pthread_cond_broadcast(&c);
        pthread_mutex_unlock(&m);
    }
    return p;
}
static void *consumes(void *p) {
    long sum = 0;
    for (long i = 1; i <= 500; i++) {
        pthread_mutex_lock(&m);
        while (head == tail) pthread_cond_wait(&c, &m);
        sum += queue[tail++ % 4];
        pthread_cond_broadcast(&c);
        pthread_mutex_unlock(&m);
    }
    (void)p;
    return (void *)sum;
}
static void *holds(void *p) {
    pthread_mutex_t *x = p;
    MUST(pthread_mutex_trylock(x) == EBUSY);
    struct timespec t = in(CLOCK_REALTIME, 20);
    MUST(pthread_mutex_timedlock(x, &t) == ETIMEDOUT);
    return NULL;
}
static void kind(int k, const char *name) {
    pthread_mutexattr_t a;
    pthread_mutex_t x;
    pthread_t t;
    pthread_mutexattr_init(&a);
    MUST(pthread_mutexattr_settype(&a, k) == 0);
    MUST(pthread_mutex_init(&x, &a) == 0);
    MUST(pthread_mutex_lock(&x) == 0);
    if (k == PTHREAD_MUTEX_RECURSIVE) MUST(pthread_mutex_lock(&x) == 0 && pthread_mutex_unlock(&x) == 0);
    if (k == PTHREAD_MUTEX_ERRORCHECK) MUST(pthread_mutex_lock(&x) == EDEADLK);
    MUST(pthread_create(&t, NULL, holds, &x) == 0 && pthread_join(t, NULL) == 0);
    MUST(pthread_mutex_unlock(&x) == 0);
    if (k == PTHREAD_MUTEX_ERRORCHECK) MUST(pthread_mutex_unlock(&x) == EPERM);
    MUST(pthread_mutex_destroy(&x) == 0);
    printf("%s mutex\n", name);
}
static void *reads(void *p) {
    for (int i = 0; i < 200; i++) {
        pthread_rwlock_rdlock(&rw);
        long n = __atomic_add_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        if (n > __atomic_load_n(&most, __ATOMIC_SEQ_CST)) __atomic_store_n(&most, n, __ATOMIC_SEQ_CST);
        sched_yield();
        __atomic_sub_fetch(&readers, 1, __ATOMIC_SEQ_CST);
        pthread_rwlock_unlock(&rw);
    }
    return p;
}
static void *writes(void *p) {
    for (int i = 0; i < 200; i++) {
        pthread_rwlock_wrlock(&rw);
        MUST(__atomic_load_n(&readers, __ATOMIC_SEQ_CST) == 0);
        total++;
        pthread_rwlock_unlock(&rw);
        sched_yield();
    }
    return p;
}
static void *meets(void *p) {
    for (int i = 0; i < 50; i++)
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_add_fetch(&serials, 1, __ATOMIC_SEQ_CST);
    return p;
}
static void *posts(void *p) {
    for (int i = 0; i < 300; i++) { sem_wait(&room); sem_post(&sem); }
    return p;
}
static void *late(void *p) {
    struct timespec t = in(CLOCK_REALTIME, 20);
    MUST(sem_timedwait(&sem, &t) == -1 && errno == ETIMEDOUT);
    pthread_mutex_lock(&m);
    t = in(CLOCK_REALTIME, 20);
    MUST(pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT);
    t.tv_sec = 1;
    MUST(pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT);
    t.tv_nsec = 1000000000;
    MUST(pthread_cond_timedwait(&c, &m, &t) == EINVAL);
    pthread_mutex_unlock(&m);
    pthread_condattr_t a;
    pthread_cond_t mono;
    pthread_condattr_init(&a);
    MUST(pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(&mono, &a) == 0);
    pthread_mutex_lock(&m);
    double start = now();
    t = in(CLOCK_MONOTONIC, 30);
    MUST(pthread_cond_timedwait(&mono, &m, &t) == ETIMEDOUT);
    MUST(now() - start >= 0.029);
    pthread_mutex_unlock(&m);
    MUST(pthread_cond_destroy(&mono) == 0);
    t = in(CLOCK_REALTIME, 10);
    MUST(pthread_rwlock_timedwrlock(&rw, &t) == ETIMEDOUT);
    start = now();
    millis(20);
    usleep(20000);
    t = in(CLOCK_MONOTONIC, 20);
    MUST(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0);
    MUST(now() - start >= 0.059);
    return p;
}
// The first thread and a kernel thread, in turns.
static void *answers(void *p) {
    pthread_mutex_lock(&m);
    for (int i = 0; i < 500; i++) {
        while (turn != 1) pthread_cond_wait(&c, &m);
        turn = 0;
        pthread_cond_signal(&c);
    }
    pthread_mutex_unlock(&m);
    return p;
}
#define GO(n, f) for (int i = 0; i < n; i++) MUST(pthread_create(&t[i], NULL, f, NULL) == 0)
#define END(n) for (int i = 0; i < n; i++) MUST(pthread_join(t[i], &r) == 0)
int main(void) {
    pthread_t t[16];
    void *r;
    GO(8, adds);
    adds(NULL);
    END(8);
    OK(total == 18000);
    total = 0;
    pthread_spin_init(&spin, 0);
    GO(4, spins);
    END(4);
    OK(total == 2000);
    kind(PTHREAD_MUTEX_NORMAL, "normal");
    kind(PTHREAD_MUTEX_RECURSIVE, "recursive");
    kind(PTHREAD_MUTEX_ERRORCHECK, "errorcheck");
    MUST(pthread_create(&t[0], NULL, produces, NULL) == 0);
    MUST(pthread_create(&t[1], NULL, consumes, NULL) == 0);
    END(2);
    OK(r == (void *)125250L);
    MUST(pthread_create(&t[0], NULL, produces, NULL) == 0);
    OK(consumes(NULL) == (void *)125250L);
    END(1);
    total = 0;
    MUST(pthread_create(&t[8], NULL, writes, NULL) == 0);
    GO(8, reads);
    END(9);
    OK(total == 200 && most > 1);
    pthread_barrier_init(&barrier, NULL, 9);
    GO(8, meets);
    meets(NULL);
    END(8);
    OK(serials == 50);
    sem_init(&sem, 0, 0);
    sem_init(&room, 0, 2);
    GO(3, posts);
    for (int i = 0; i < 900; i++) { sem_wait(&sem); sem_post(&room); }
    END(3);
    int left = -1;
    OK(sem_getvalue(&room, &left) == 0 && left == 2);
    pthread_rwlock_rdlock(&rw);
    GO(3, late);
    END(3);
    pthread_rwlock_unlock(&rw);
    MUST(pthread_create(&t[0], NULL, answers, NULL) == 0);
    pthread_mutex_lock(&m);
    for (int i = 0; i < 500; i++) {
        turn = 1;
        pthread_cond_signal(&c);
        while (turn != 0) pthread_cond_wait(&c, &m);
    }
    pthread_mutex_unlock(&m);
    END(1);
    // A mutex that processes share, between processes.
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long *number = (long *)(shared + 1);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    MUST(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
    MUST(pthread_mutex_init(shared, &a) == 0);
    pid_t child = fork();
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(shared);
        long v = *number;
        if (i % 10 == 0) sched_yield();
        *number = v + 1;
        pthread_mutex_unlock(shared);
    }
    if (child == 0) _exit(0);
    OK(reap(child) == 0 && *number == 600);
    return done();
}
