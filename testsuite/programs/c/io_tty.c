// A pseudo terminal: isatty, window size, ^C as SIGINT to the foreground group.
#include "check.h"
#include <sys/ioctl.h>
#include <termios.h>
static volatile int got;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; got = 1; }
int main(void) {
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    if (m < 0) CANNOT("no pseudo terminals");
    OK(grantpt(m) == 0 && unlockpt(m) == 0);
    OK(isatty(m) && !isatty(0));
    struct winsize w = {24, 80, 0, 0}, v;
    OK(ioctl(m, TIOCSWINSZ, &w) == 0);
    int p[2];
    pipe(p);
    pid_t k = fork();
    if (!k) {
        setsid();
        int s = open(ptsname(m), O_RDWR);
        ioctl(s, TIOCSCTTY, 0);
        handle(SIGINT, on, 0);
        ioctl(s, TIOCGWINSZ, &v);
        write(p[1], "r", 1);
        char c;
        int r = read(s, &c, 1), e = errno;
        _exit(got && r == -1 && e == EINTR && v.ws_col == 80 ? 3 : 4);
    }
    char c;
    read(p[0], &c, 1);
    millis(20);
    write(m, "\3", 1);
    OK(reap(k) == 3);
    OK(ERR(ioctl(p[0], TIOCGWINSZ, &v), ENOTTY));
    return done();
}
