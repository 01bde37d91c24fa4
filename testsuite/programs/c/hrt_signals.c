//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: kernel_threads.created >= 4
//@ stats: signals >= 50
// Handlers of signals interrupt kernel threads, the scheduler and threads that wait, and post to semaphores and events; page protection in kernel threads.
#include "hrt_check.h"
static hrt_semaphore_t ticks = HRT_SEMAPHORE_INIT(0);
static hrt_event_t ticked = HRT_EVENT_INIT(0, 0);
static volatile long sent, posted, refused, stop, faults;
static void tick(int sig, siginfo_t *info, void *c) {
    (void)sig, (void)info, (void)c;
    long r = hrt_semaphore_post(&ticks);
    if (r == 0) __atomic_add_fetch(&posted, 1, __ATOMIC_SEQ_CST);
    else if (r == -EAGAIN) __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
    else __atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
    hrt_event_set(&ticked);
    __atomic_add_fetch(&sent, 1, __ATOMIC_SEQ_CST);
}
static hrt_mutex_t m;
static void *works(void *p) {
    while (!stop) {
        hrt_mutex_lock(&m);
        hrt_mutex_unlock(&m);
        hrt_thread_yield();
    }
    return p;
}
static char *page;
static void fault(int sig, siginfo_t *info, void *c) {
    (void)sig, (void)c;
    faults += (char *)info->si_addr == page;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}
static void *writes(void *p) {
    for (int i = 0; i < 10; i++) {
        mprotect(page, 4096, PROT_READ);
        *(volatile char *)page = 1;
        hrt_thread_yield();
    }
    return p;
}
int main(void) {
    if (without_kernel()) return done();
    handle(SIGALRM, tick, SA_RESTART);
    handle(SIGSEGV, fault, 0);
    hrt_thread_t t[3];
    for (int i = 0; i < 3; i++) MUST(hrt_thread_create(&t[i], works, NULL, 0, 65536) == 0);
    long us = pace(500);
    struct itimerval every = {{us / 1000000, us % 1000000}, {us / 1000000, us % 1000000}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 50; i++) MUST(hrt_semaphore_wait(&ticks) == 0);
    for (int i = 0; i < 10; i++) MUST(hrt_event_wait(&ticked) == 0);
    setitimer(ITIMER_REAL, &off, NULL);
    stop = 1;
    for (int i = 0; i < 3; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    long taken = 50;
    while (hrt_semaphore_try_wait(&ticks) == 0) taken++;
    MUST(taken == posted && sent == posted + refused);
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(hrt_thread_create(&t[0], writes, NULL, 0, 65536) == 0 && hrt_thread_join(t[0], NULL) == 0);
    MUST(faults == 10);
    return done();
}
