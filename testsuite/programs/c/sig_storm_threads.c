//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 30
// Threads signal each other without end while making calls, forking, mapping and allocating.
#include "check.h"
static pthread_t t[4];
static volatile int stop, ready;
static long hits;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; __atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED); RAW(SYS_gettid); }
static void *body(void *a) {
    long id = (long)a, n = 0;
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (ready < 4) sched_yield();
    pid_t tid = gettid();
    while (!stop) {
        pthread_kill(t[(id + 1) % 4], SIGUSR1);
        MUST(RAW(SYS_gettid) == tid);
        char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        m[5000] = id;
        MUST(m[5000] == id);
        munmap(m, 8192);
        if (++n % 200 == 0 && id == 0) {
            pid_t p = fork();
            if (!p) _exit(RAW(SYS_getpid) == getpid() ? 6 : 7);
            MUST(reap(p) == 6);
        }
    }
    return a;
}
int main(void) {
    handle(SIGUSR1, on, SA_RESTART);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, body, (void *)i);
    sigprocmask(SIG_BLOCK, &s, NULL);
    double last = now() + 20;
    do millis(1000);
    while (hits <= 100 && now() < last);
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    OK(hits > 100);
    return done();
}
