//@ variants: dynamic-pie musl
//@ flags: -pthread
// ppoll, pselect, epoll_pwait and sigsuspend swap the mask atomically; sigwait, sigtimedwait, signalfd take signals.
#include "check.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
static volatile int got;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; got++; }
int main(void) {
    sigset_t usr1, none, cur;
    sigemptyset(&usr1), sigemptyset(&none);
    sigaddset(&usr1, SIGUSR1);
    handle(SIGUSR1, on, 0);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    raise(SIGUSR1);
    OK(got == 0 && sigpending(&cur) == 0 && sigismember(&cur, SIGUSR1));
    OK(ERR(sigsuspend(&none), EINTR) && got == 1);
    raise(SIGUSR1);
    OK(ERR(ppoll(NULL, 0, NULL, &none), EINTR) && got == 2);
    raise(SIGUSR1);
    OK(ERR(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR) && got == 3);
    raise(SIGUSR1);
    int ep = epoll_create1(0);
    struct epoll_event ev;
    OK(ERR(epoll_pwait(ep, &ev, 1, -1, &none), EINTR) && got == 4);
    sigprocmask(SIG_SETMASK, NULL, &cur);
    OK(sigismember(&cur, SIGUSR1));
    raise(SIGUSR1);
    int s = 0;
    OK(sigwait(&usr1, &s) == 0 && s == SIGUSR1 && got == 4);
    struct timespec t = {0, 10000000};
    siginfo_t si;
    OK(ERR(sigtimedwait(&usr1, &si, &t), EAGAIN));
    kill(getpid(), SIGUSR1);
    OK(sigwaitinfo(&usr1, &si) == SIGUSR1 && si.si_pid == getpid());
    int fd = signalfd(-1, &usr1, SFD_NONBLOCK);
    struct signalfd_siginfo sf;
    OK(ERR(read(fd, &sf, sizeof sf), EAGAIN));
    kill(getpid(), SIGUSR1);
    OK(read(fd, &sf, sizeof sf) == sizeof sf && sf.ssi_signo == SIGUSR1 && (pid_t)sf.ssi_pid == getpid());
    kill(getpid(), SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    OK(got == 5);
    return done();
}
