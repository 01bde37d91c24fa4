//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 8
//@ limit: 60
// Handlers that wait, with the signal blocked, while other threads execute and get the same signal: each thread keeps its mask and its alternate signal stack, and
// returns from its handler wherever it then executes.
#include "check.h"
#include <semaphore.h>
#include <sys/mman.h>
enum { THREADS = 8, ROUNDS = 40 };
static char *page[THREADS];
static char *stack[THREADS];
static __thread int number;
static int alternate;
static volatile int handled[THREADS];
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static void has(int sig, int blocked) {
    sigset_t now;
    MUST(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    MUST(sigismember(&now, sig) == blocked);
}
static void handler(int sig, siginfo_t *info, void *uc) {
    (void)uc;
    char *here = (char *)&info;
    MUST(!alternate == !(here > stack[number] && here < stack[number] + 65536));
    MUST(((unsigned long)info->si_addr ^ (unsigned long)page[number]) < 4096);
    has(sig, 1), has(SIGUSR2, 1);
    switch (handled[number] % 3) {
    case 0: sched_yield(); break;
    case 1: millis(1); break;
    default:
        pthread_mutex_lock(&m);
        millis(1);
        pthread_mutex_unlock(&m);
    }
    has(sig, 1), has(SIGUSR2, 1);
    handled[number]++;
    MUST(mprotect(page[number], 4096, PROT_READ | PROT_WRITE) == 0);
}
static void *writes(void *p) {
    number = (int)(long)p;
    handled[number] = 0;
    if (alternate) {
        stack_t own = {.ss_sp = stack[number], .ss_size = 65536};
        MUST(sigaltstack(&own, NULL) == 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        MUST(mprotect(page[number], 4096, PROT_READ) == 0);
        has(SIGSEGV, 0), has(SIGUSR2, 0);
        page[number][i] = 1;
        has(SIGSEGV, 0), has(SIGUSR2, 0);
        if (i % 4 == 0) sched_yield();
        stack_t now;
        MUST(sigaltstack(NULL, &now) == 0);
        MUST(alternate ? now.ss_sp == (void *)stack[number] && now.ss_flags == 0 : now.ss_flags == SS_DISABLE);
    }
    return NULL;
}
// A signal of another's in a thread that has waited in a handler, and in one that waits in it.
static sem_t entered, go_on;
static volatile int got, nested;
static pthread_t target;
static void two(int sig) {
    (void)sig;
    got++;
}
static void one(int sig) {
    (void)sig;
    sem_post(&entered);
    while (sem_wait(&go_on) != 0) MUST(errno == EINTR);
    nested = got;
}
static void *is_sent(void *p) {
    while (got < 2) millis(1);
    return p;
}
int main(void) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = handler, a.sa_flags = SA_SIGINFO;
    sigemptyset(&a.sa_mask);
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGSEGV, &a, NULL);
    pthread_t t[THREADS];
    for (long i = 0; i < THREADS; i++) {
        page[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack[i] = malloc(65536);
        MUST(page[i] != MAP_FAILED && stack[i]);
    }
    for (alternate = 0; alternate < 2; alternate++) {
        if (alternate) {
            a.sa_flags |= SA_ONSTACK;
            sigaction(SIGSEGV, &a, NULL);
        }
        for (long i = 0; i < THREADS; i++) MUST(pthread_create(&t[i], NULL, writes, (void *)i) == 0);
        for (int i = 0; i < THREADS; i++) MUST(pthread_join(t[i], NULL) == 0 && handled[i] == ROUNDS);
    }

    a.sa_flags = 0;
    a.sa_handler = two;
    sigaction(SIGUSR2, &a, NULL);
    a.sa_handler = one;
    sigaction(SIGUSR1, &a, NULL);
    MUST(sem_init(&entered, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    MUST(pthread_create(&target, NULL, is_sent, NULL) == 0);
    MUST(pthread_kill(target, SIGUSR1) == 0);
    while (sem_wait(&entered) != 0) MUST(errno == EINTR);
    MUST(pthread_kill(target, SIGUSR2) == 0); // blocked in the handler
    millis(20);
    MUST(got == 0);
    sem_post(&go_on);
    while (got < 1) millis(1);
    MUST(nested == 0);
    MUST(pthread_kill(target, SIGUSR2) == 0);
    MUST(pthread_join(target, NULL) == 0);
    MUST(got == 2);
    return done();
}
