//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 8
//@ limit: 60
// Two signals to the process, again and again as soon as they are handled, while one thread has them unblocked: none is lost, and the thread goes on where it was, whether
// it calls the kernel all the time or waits.
#include "check.h"
#include <semaphore.h>
static volatile int stop;
static sem_t handled[2];
static volatile long sent[2], rounds, ran;
static sigset_t both;
static void handler(int sig) { sem_post(&handled[sig == SIGUSR2]); }
static void *sends(void *p) {
    long i = (long)p;
    pthread_sigmask(SIG_BLOCK, &both, NULL);
    while (!stop) {
        MUST(sem_wait(&handled[i]) == 0);
        sent[i]++;
        MUST(kill(getpid(), i ? SIGUSR2 : SIGUSR1) == 0);
    }
    return p;
}
static void init(void) { ran++; }
static void *calls(void *p) {
    pthread_sigmask(SIG_UNBLOCK, &both, NULL);
    while (!stop) {
        pthread_once_t once = PTHREAD_ONCE_INIT;
        long before = ran;
        MUST(pthread_once(&once, init) == 0 && ran == before + 1);
        rounds++;
    }
    // The last ones.
    millis(200);
    return p;
}
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static void *waits(void *p) {
    pthread_sigmask(SIG_UNBLOCK, &both, NULL);
    while (!stop) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 1000000;
        if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
        pthread_mutex_lock(&m);
        MUST(pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT);
        pthread_mutex_unlock(&m);
        rounds++;
    }
    millis(200);
    return p;
}
static void storm(void *(*f)(void *)) {
    pthread_t t[3];
    stop = 0, rounds = sent[0] = sent[1] = 0;
    for (int i = 0; i < 2; i++) MUST(sem_init(&handled[i], 0, 1) == 0);
    MUST(pthread_create(&t[2], NULL, f, NULL) == 0);
    for (long i = 0; i < 2; i++) MUST(pthread_create(&t[i], NULL, sends, (void *)i) == 0);
    double start = now();
    while (now() - start < 20 && (rounds < 300 || sent[0] < 300 || sent[1] < 300)) millis(10);
    stop = 1;
    for (int i = 0; i < 3; i++) MUST(pthread_join(t[i], NULL) == 0);
    MUST(rounds >= 300 && sent[0] >= 300 && sent[1] >= 300);
}
int main(void) {
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &both, NULL);
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGUSR2, &a, NULL);
    storm(calls);
    storm(waits);
    storm(calls);
    return done();
}
