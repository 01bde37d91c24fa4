// pidfd_open, pidfd_send_signal, poll on a pidfd, waitid by it.
#include "check.h"
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
int main(void) {
    pid_t p = fork();
    if (!p) for (;;) pause();
    int fd = RAW(SYS_pidfd_open, p, 0);
    OK(fd >= 0);
    struct pollfd pf = {fd, POLLIN, 0};
    OK(poll(&pf, 1, 0) == 0);
    OK(RAW(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0) == 0);
    OK(poll(&pf, 1, 5000) == 1);
    siginfo_t si;
    OK(waitid((idtype_t)P_PIDFD, fd, &si, WEXITED) == 0 && si.si_pid == p && si.si_status == SIGTERM);
    return done();
}
