//@ variants: dynamic-pie static
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 9
// Cancellation of kernel threads that wait for each kind of thing, with cleanups; deferred, asynchronous and disabled.
#include "check.h"
#include <semaphore.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static sem_t sem, ready;
static int pipe_[2], cleaned;
static void clean(void *p) { cleaned += (int)(long)p; }
static void unlock(void *p) { cleaned += 100; pthread_mutex_unlock(p); }
static void *in_cond(void *p) {
    pthread_mutex_lock(&m);
    pthread_cleanup_push(unlock, &m);
    sem_post(&ready);
    for (;;) pthread_cond_wait(&c, &m);
    pthread_cleanup_pop(0);
    return p;
}
static void *in_sem(void *p) {
    pthread_cleanup_push(clean, (void *)1);
    pthread_cleanup_push(clean, (void *)2);
    sem_post(&ready);
    for (;;) sem_wait(&sem);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return p;
}
static void *in_read(void *p) {
    char b;
    pthread_cleanup_push(clean, (void *)4);
    sem_post(&ready);
    for (;;) if (read(pipe_[0], &b, 1) != 1) break;
    pthread_cleanup_pop(0);
    return p;
}
static void *in_sleep(void *p) { sem_post(&ready); for (;;) sleep(10); return p; }
static void *in_loop(void *p) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    for (;;) {}
    return p;
}
static void *in_test(void *p) { sem_post(&ready); for (;;) { pthread_testcancel(); sched_yield(); } return p; }
static void *in_join(void *p) {
    pthread_t t = *(pthread_t *)p;
    sem_post(&ready);
    pthread_join(t, NULL);
    return p;
}
static void *disabled(void *p) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    sem_post(&ready);
    millis(100);
    return p;
}
static void *waits_itself(void *p) { while (sem_wait(&sem)) {} return p; }
static void run(const char *name, void *(*f)(void *), void *p, int expect) {
    pthread_t t;
    void *r = NULL;
    cleaned = 0;
    MUST(pthread_create(&t, NULL, f, p) == 0);
    while (sem_wait(&ready)) {}
    millis(30);
    MUST(pthread_cancel(t) == 0);
    MUST(pthread_join(t, &r) == 0);
    printf("%s: %s, %d\n", name, r == PTHREAD_CANCELED ? "canceled" : "returned", cleaned);
    MUST(cleaned == expect);
}
int main(void) {
    pthread_t t;
    sem_init(&sem, 0, 0);
    sem_init(&ready, 0, 0);
    MUST(pipe(pipe_) == 0);
    run("cond", in_cond, NULL, 100);
    OK(pthread_mutex_trylock(&m) == 0 && pthread_mutex_unlock(&m) == 0);
    run("sem", in_sem, NULL, 3);
    run("read", in_read, NULL, 4);
    run("sleep", in_sleep, NULL, 0);
    run("loop", in_loop, NULL, 0);
    run("testcancel", in_test, NULL, 0);
    run("disabled", disabled, NULL, 0);
    MUST(pthread_create(&t, NULL, waits_itself, NULL) == 0);
    run("join", in_join, &t, 0);
    sem_post(&sem);
    OK(pthread_join(t, NULL) == 0);
    return done();
}
