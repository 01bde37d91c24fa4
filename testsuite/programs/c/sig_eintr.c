//@ variants: dynamic-pie static
//@ flags: -pthread
// EINTR or restart: read, pause, nanosleep, poll, futex, wait, accept-like blocking, with and without SA_RESTART.
#include "check.h"
#include <linux/futex.h>
#include <sys/epoll.h>
static volatile int got;
static int p[2];
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; if (++got == 2) write(p[1], "z", 1); }
static void twice(void) {
    // Two signals 60 ms apart, which a busy machine does not bring together; the second one's handler also writes to the pipe.
    struct itimerval t = {{0, 60000}, {0, 60000}};
    got = 0;
    setitimer(ITIMER_REAL, &t, NULL);
}
static void stop(void) {
    struct itimerval t = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &t, NULL);
    while (got < 2) { got = 2; write(p[1], "z", 1); }
    char c[16];
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    while (read(p[0], c, 16) > 0) {}
    fcntl(p[0], F_SETFL, 0);
}
#define TRY(name, expr) do { twice(); errno = 0; long r_ = (long)(expr); int e_ = errno; printf("%s: %ld errno %d signals %s\n", name, r_, e_, got >= 2 ? "2" : "1"); stop(); } while (0)
int main(void) {
    char c;
    pipe(p);
    static int f;
    for (int restart = 0; restart < 2; restart++) {
        printf("SA_RESTART: %d\n", restart);
        handle(SIGALRM, on, restart ? SA_RESTART : 0);
        TRY("read", read(p[0], &c, 1));
        TRY("pause", pause());
        struct timespec t = {5, 0}, rem = {0, 0};
        TRY("nanosleep", nanosleep(&t, &rem));
        OK(rem.tv_sec == 4);
        TRY("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL));
        struct pollfd pf = {p[0], POLLPRI, 0};
        TRY("poll", poll(&pf, 1, 5000));
        TRY("select", select(0, NULL, NULL, NULL, &(struct timeval){5, 0}));
        int ep = epoll_create1(0);
        struct epoll_event ev;
        TRY("epoll_wait", epoll_wait(ep, &ev, 1, 5000));
        sigset_t none;
        sigemptyset(&none);
        TRY("sigsuspend", sigsuspend(&none));
        if (!restart) TRY("futex", syscall(SYS_futex, &f, FUTEX_WAIT, 0, NULL));
        pid_t kid = fork();
        if (!kid) { millis(160); _exit(0); }
        twice();
        int st;
        long r = waitpid(kid, &st, 0);
        printf("waitpid: %s\n", r == kid ? "the child" : errno == EINTR ? "EINTR" : "error");
        stop();
        reap(kid);
    }
    return done();
}
