// 256 threads at once: all there together, each with calls and thread-local data of its own, then joined.
//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ limit: 30
//@ stats: threads >= 257
#include "check.h"

#define THREADS 256
#define STACK (128 * 1024)

static pthread_barrier_t all;
static _Thread_local int mine = -1;
static _Thread_local char area[300];
static pid_t tids[THREADS];
static int *where[THREADS];
static int wrong;

static void *work(void *arg) {
    int i = (int)(intptr_t)arg, bad = 0;
    char byte = (char)i;
    int fd[2];

    bad += mine != -1;
    mine = i;
    memset(area, i, sizeof area);
    where[i] = &mine;
    tids[i] = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&all);
    // All 256 are there now, and stay until the second barrier.
    bad += syscall(SYS_gettid) != tids[i] || getpid() == tids[i];
    bad += syscall(SYS_tgkill, getpid(), tids[(i + 1) % THREADS], 0) != 0;
    bad += close(-1) != -1 || errno != EBADF;
    if (i % 8 == 0) {
        bad += pipe(fd) != 0 || write(fd[1], &byte, 1) != 1 || read(fd[0], &byte, 1) != 1 || byte != (char)i;
        close(fd[0]);
        close(fd[1]);
    }
    sched_yield();
    for (size_t k = 0; k < sizeof area; k++) bad += area[k] != (char)i;
    bad += mine != i || where[i] != &mine;
    pthread_barrier_wait(&all);
    __atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
    return (void *)(intptr_t)(i * 3);
}

int main(void) {
    static pthread_t threads[THREADS];
    pthread_attr_t attr;
    int started = 0, joined = 0, twice = 0;

    pthread_attr_init(&attr);
    OK(pthread_attr_setstacksize(&attr, STACK) == 0);
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        int e = pthread_create(&threads[i], &attr, work, (void *)(intptr_t)i);
        if (e != 0) {
            // The others would wait for ever.
            printf("FAILED: thread %d: %s\n", i, strerror(e));
            return 1;
        }
        started++;
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        joined += pthread_join(threads[i], &result) == 0 && (intptr_t)result == i * 3;
    }
    for (int i = 0; i < THREADS; i++) {
        for (int k = 0; k < i; k++) twice += tids[i] == tids[k] || where[i] == where[k];
    }
    OK(started == THREADS);
    OK(joined == THREADS);
    OK(twice == 0);
    OK(wrong == 0);
    OK(mine == -1);
    return done();
}
