//@ variants: dynamic-pie musl
//@ flags: -pthread
// Mutex, condition variable with timeout, barrier, rwlock, semaphore, once.
#include "check.h"
#include <semaphore.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t bar;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t sem;
static int count, onces, serial, go;
static void first(void) { onces++; }
static void *body(void *a) {
    pthread_once(&once, first);
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&m);
        count++;
        pthread_mutex_unlock(&m);
    }
    if (pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
    pthread_rwlock_rdlock(&rw);
    pthread_rwlock_unlock(&rw);
    pthread_mutex_lock(&m);
    while (!go) pthread_cond_wait(&c, &m);
    pthread_mutex_unlock(&m);
    sem_post(&sem);
    return a;
}
int main(void) {
    pthread_t t[4];
    pthread_barrier_init(&bar, NULL, 5);
    sem_init(&sem, 0, 0);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, body, NULL);
    if (pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
    OK(count == 80000);
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += 20000000;
    if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
    pthread_mutex_lock(&m);
    double begin = now();
    OK(pthread_cond_timedwait(&c, &m, &at) == ETIMEDOUT);
    OK(now() - begin > 0.01);
    go = 1;
    pthread_cond_broadcast(&c);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 4; i++) sem_wait(&sem);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    OK(onces == 1);
    OK(serial == 1);
    return done();
}
