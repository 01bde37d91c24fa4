//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 1
// Handlers that ask for no siginfo: one signal that is sent to a thread is one call, in a thread that sleeps, waits or computes.
#include "check.h"
static volatile int calls, where;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static void handler(int sig) { calls += sig == SIGUSR1; }
static void *waits(void *p) {
    where = 1;
    while (where == 1) millis(1000);
    where = 3;
    pthread_mutex_lock(&m);
    while (where == 3) pthread_cond_wait(&c, &m);
    pthread_mutex_unlock(&m);
    where = 5;
    while (where == 5) {}
    return p;
}
static void send(pthread_t t, int state) {
    int before = calls;
    while (where != state) usleep(1000);
    usleep(50000);
    MUST(pthread_kill(t, SIGUSR1) == 0);
    for (int i = 0; i < 10000 && calls == before; i++) usleep(1000);
    usleep(50000);
    MUST(calls == before + 1);
    pthread_mutex_lock(&m);
    where = state + 1;
    pthread_cond_signal(&c);
    pthread_mutex_unlock(&m);
}
int main(void) {
    pthread_t t;
    struct sigaction a, held;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    MUST(sigaction(SIGUSR1, &a, NULL) == 0);
    MUST(sigaction(SIGUSR1, NULL, &held) == 0 && held.sa_handler == handler && !(held.sa_flags & SA_SIGINFO));
    MUST(pthread_create(&t, NULL, waits, NULL) == 0);
    for (int state = 1; state <= 5; state += 2) send(t, state);
    MUST(pthread_join(t, NULL) == 0);
    MUST(calls == 3);
    return done();
}
