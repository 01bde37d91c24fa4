//@ no-trace: writing the trace is itself under RLIMIT_FSIZE
// RLIMIT_CPU gives SIGXCPU; RLIMIT_FSIZE gives SIGXFSZ or EFBIG; RLIMIT_NPROC-like refusals of fork are errors.
#include "check.h"
#include <sys/resource.h>
static volatile int sig;
static void on(int s, siginfo_t *i, void *c) { (void)i, (void)c; sig = s; }
int main(void) {
    struct rlimit off = {0, 0};
    setrlimit(RLIMIT_CORE, &off);
    struct rlimit rl = {4096, 4096};
    handle(SIGXFSZ, on, 0);
    setrlimit(RLIMIT_FSIZE, &rl);
    char b[8192] = {0};
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    OK(write(fd, b, 8192) == 4096);
    OK(ERR(write(fd, b, 1), EFBIG) && sig == SIGXFSZ);
    handle(SIGXCPU, on, 0);
    struct rlimit cpu = {1, 5};
    setrlimit(RLIMIT_CPU, &cpu);
    while (sig != SIGXCPU) getppid();
    OK(sig == SIGXCPU);
    return done();
}
