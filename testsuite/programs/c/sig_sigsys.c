//@ limit: 6
//@ variants: dynamic-pie static
// SIGSYS is the program's own to use: raise, kill, block, wait for, query, ignore, die by.
#include "check.h"
static volatile int n, code;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)c; n++; code = i->si_code; RAW(SYS_getppid); }
int main(void) {
    struct sigaction sa;
    OK(sigaction(SIGSYS, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL && sa.sa_flags == 0);
    handle(SIGSYS, on, SA_RESTART);
    OK(sigaction(SIGSYS, NULL, &sa) == 0 && sa.sa_sigaction == on);
    raise(SIGSYS);
    OK(n == 1 && code == SI_TKILL);
    kill(getpid(), SIGSYS);
    OK(n == 2 && code == SI_USER);
    sigset_t s, p;
    sigemptyset(&s);
    sigaddset(&s, SIGSYS);
    OK(sigprocmask(SIG_BLOCK, &s, NULL) == 0);
    sigprocmask(SIG_SETMASK, NULL, &p);
    OK(sigismember(&p, SIGSYS));
    raise(SIGSYS);
    OK(n == 2 && sigpending(&p) == 0 && sigismember(&p, SIGSYS));
    // Made-at-run-time code still works while SIGSYS is blocked.
    unsigned char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(m, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3", 8);
    for (int i = 0; i < 10; i++) MUST(((int (*)(void))m)() == getppid());
    int w;
    OK(sigwait(&s, &w) == 0 && w == SIGSYS);
    OK(sigprocmask(SIG_UNBLOCK, &s, NULL) == 0 && n == 2);
    sigfillset(&s);
    sigprocmask(SIG_SETMASK, &s, NULL);
    for (int i = 0; i < 10; i++) { m[0] = 0xb8; MUST(((int (*)(void))m)() == getppid()); }
    sigemptyset(&s);
    sigprocmask(SIG_SETMASK, &s, NULL);
    signal(SIGSYS, SIG_IGN);
    raise(SIGSYS);
    memcpy(m + 64, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3", 8);
    OK(((int (*)(void))(m + 64))() == getppid());
    pid_t k = fork();
    if (!k) { signal(SIGSYS, SIG_DFL); memcpy(m + 128, m + 64, 8); ((int (*)(void))(m + 128))(); raise(SIGSYS); _exit(1); }
    OK(reap(k) == 1000 + SIGSYS);
    return done();
}
