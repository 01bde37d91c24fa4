//@ variants: dynamic-pie static musl
//@ flags: -pthread
// Cancellation of a thread blocked in read (deferred), of one that spins (asynchronous), cleanup handlers run.
#include "check.h"
static int cleaned, p[2];
static volatile int ready;
static void cleanup(void *a) { cleaned += (long)a; }
static void *blocked(void *a) {
    pthread_cleanup_push(cleanup, (void *)1);
    char b;
    ready = 1;
    read(p[0], &b, 1);
    pthread_cleanup_pop(0);
    return a;
}
static void *spins(void *a) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cleanup_push(cleanup, (void *)10);
    ready = 1;
    for (;;) __asm__ volatile("" ::: "memory");
    pthread_cleanup_pop(0);
    return a;
}
static void *calls(void *a) {
    pthread_cleanup_push(cleanup, (void *)100);
    ready = 1;
    for (;;) { getppid(); pthread_testcancel(); }
    pthread_cleanup_pop(0);
    return a;
}
static void *sleeps(void *a) {
    pthread_cleanup_push(cleanup, (void *)1000);
    ready = 1;
    for (;;) pause();
    pthread_cleanup_pop(0);
    return a;
}
static void *off(void *a) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    ready = 1;
    millis(20);
    return a;
}
int main(void) {
    pipe(p);
    void *(*bodies[])(void *) = {blocked, spins, calls, sleeps, off};
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < 5; i++) {
            pthread_t t;
            void *r;
            ready = 0;
            MUST(pthread_create(&t, NULL, bodies[i], NULL) == 0);
            while (!ready) sched_yield();
            millis(2);
            MUST(pthread_cancel(t) == 0);
            MUST(pthread_join(t, &r) == 0);
            MUST((r == PTHREAD_CANCELED) == (i != 4));
        }
    printf("cleaned %d\n", cleaned);
    OK(cleaned == 5555);
    return done();
}
