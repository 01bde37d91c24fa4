//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 10
// Signals to kernel threads: pthread_kill to one that waits, computes, reads or sleeps; masks; sigwait; raise.
#include "check.h"
#include <semaphore.h>
static pthread_t who[64];
static volatile int count[64];
static volatile sig_atomic_t went;
static sem_t ready, sem;
static int pipe_[2];
static void handler(int sig, siginfo_t *info, void *uc) {
    (void)uc;
    int saved = errno;
    who[sig] = pthread_self();
    count[sig]++;
    MUST(info->si_signo == sig && info->si_code == SI_TKILL && info->si_pid == getpid());
    went = 1;
    errno = saved;
}
static void *waits(void *p) {
    sem_post(&ready);
    int r = sem_wait(&sem);
    if (p) MUST(r == -1 && errno == EINTR);
    else MUST(r == 0);
    return p;
}
static void *reads(void *p) {
    char b;
    sem_post(&ready);
    MUST(read(pipe_[0], &b, 1) == -1 && errno == EINTR);
    return p;
}
static void *sleeps(void *p) {
    struct timespec t = {10, 0}, left;
    sem_post(&ready);
    MUST(nanosleep(&t, &left) == -1 && errno == EINTR && left.tv_sec >= 5 && left.tv_sec < 10);
    return p;
}
static void *computes(void *p) {
    sem_post(&ready);
    while (!went) {}
    return p;
}
static void *masked(void *p) {
    sigset_t s, old;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    MUST(pthread_sigmask(SIG_BLOCK, &s, &old) == 0 && !sigismember(&old, SIGUSR1));
    sem_post(&ready);
    while (sem_wait(&sem)) {}
    MUST(!went);
    MUST(pthread_sigmask(SIG_SETMASK, NULL, &old) == 0 && sigismember(&old, SIGUSR1));
    pthread_sigmask(SIG_UNBLOCK, &s, NULL);
    MUST(went && pthread_equal(who[SIGUSR1], pthread_self()));
    return p;
}
static void *sigwaits(void *p) {
    sigset_t s;
    int sig = 0;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &s, NULL);
    sem_post(&ready);
    if (p) while (sem_wait(&sem)) {}
    MUST(sigwait(&s, &sig) == 0 && sig == SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &s, NULL);
    return p;
}
static void *raises(void *p) {
    MUST(raise(SIGUSR1) == 0);
    MUST(went && pthread_equal(who[SIGUSR1], pthread_self()));
    MUST(pthread_kill(pthread_self(), SIGUSR1) == 0);
    MUST(count[SIGUSR1] >= 2);
    return p;
}
static pthread_t start(void *(*f)(void *), void *p) {
    pthread_t t;
    went = 0;
    MUST(pthread_create(&t, NULL, f, p) == 0);
    if (f != raises) sem_wait(&ready);
    millis(30);
    return t;
}
static void ends(pthread_t t, const char *what) {
    MUST(pthread_join(t, NULL) == 0);
    printf("%s: %d\n", what, (int)went);
}
#define HIT(t, sig) (pthread_kill(t, sig) == 0)
int main(void) {
    sem_init(&ready, 0, 0);
    sem_init(&sem, 0, 0);
    MUST(pipe(pipe_) == 0);
    handle(SIGUSR1, handler, 0);
    handle(SIGUSR2, handler, SA_RESTART);
    pthread_t t = start(waits, &t);
    MUST(HIT(t, SIGUSR1));
    ends(t, "waiting");
    MUST(pthread_equal(who[SIGUSR1], t));
    t = start(waits, NULL);
    MUST(HIT(t, SIGUSR2));
    while (!went) millis(1);
    sem_post(&sem);
    ends(t, "waiting, restarted");
    MUST(pthread_equal(who[SIGUSR2], t));
    t = start(reads, NULL);
    MUST(HIT(t, SIGUSR1));
    ends(t, "reading");
    t = start(sleeps, NULL);
    MUST(HIT(t, SIGUSR1));
    ends(t, "sleeping");
    t = start(computes, NULL);
    MUST(HIT(t, SIGUSR1));
    ends(t, "computing");
    MUST(pthread_equal(who[SIGUSR1], t));
    t = start(masked, NULL);
    MUST(HIT(t, SIGUSR1));
    millis(20);
    MUST(!went);
    sem_post(&sem);
    ends(t, "masked");
    t = start(sigwaits, NULL);
    MUST(HIT(t, SIGUSR2));
    ends(t, "sigwait");
    t = start(sigwaits, &t);
    MUST(HIT(t, SIGUSR2));
    sem_post(&sem);
    ends(t, "sigwait, sent before");
    t = start(raises, NULL);
    ends(t, "raise");
    // Many, while others work.
    pthread_t w[8];
    for (int i = 0; i < 8; i++) w[i] = start(waits, &t);
    for (int i = 0; i < 8; i++) MUST(HIT(w[7 - i], SIGUSR1));
    for (int i = 0; i < 8; i++) ends(w[i], "one of many");
    return done();
}
