//@ flags: -pthread
// timer_create by signal, by thread id, by thread; setitimer kinds; alarm; overrun and remaining time.
#include "check.h"
static volatile int sig, value, on_tid, thread_ran;
static void on(int s, siginfo_t *i, void *c) { (void)c; value = i->si_value.sival_int; on_tid = gettid(); sig = s; }
static void by_thread(union sigval v) { thread_ran = v.sival_int; }
static void fire(struct sigevent *ev) {
    timer_t id;
    struct itimerspec t = {{0, 0}, {0, 5000000}}, cur;
    sig = value = thread_ran = 0;
    MUST(timer_create(CLOCK_MONOTONIC, ev, &id) == 0);
    MUST(timer_settime(id, 0, &t, NULL) == 0);
    for (int i = 0; i < 2000 && !sig && !thread_ran; i++) millis(1);
    MUST(timer_gettime(id, &cur) == 0 && cur.it_value.tv_sec == 0);
    timer_delete(id);
}
int main(void) {
    handle(SIGRTMIN + 2, on, 0), handle(SIGALRM, on, 0), handle(SIGVTALRM, on, 0), handle(SIGPROF, on, 0);
    struct sigevent ev;
    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_SIGNAL, ev.sigev_signo = SIGRTMIN + 2, ev.sigev_value.sival_int = 31;
    fire(&ev);
    OK(sig == SIGRTMIN + 2 && value == 31);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev._sigev_un._tid = gettid();
    fire(&ev);
    OK(sig == SIGRTMIN + 2 && on_tid == gettid());
    ev.sigev_notify = SIGEV_THREAD;
    ev.sigev_notify_function = by_thread;
    fire(&ev);
    OK(thread_ran == 31);
    struct itimerval t = {{0, 0}, {0, 3000}};
    sig = 0;
    setitimer(ITIMER_VIRTUAL, &t, NULL);
    while (!sig) __asm__ volatile("" ::: "memory");
    OK(sig == SIGVTALRM);
    sig = 0;
    setitimer(ITIMER_PROF, &t, NULL);
    while (!sig) getppid();
    OK(sig == SIGPROF);
    OK(alarm(100) == 0);
    OK(alarm(0) >= 99);
    return done();
}
