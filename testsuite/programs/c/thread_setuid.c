//@ flags: -pthread
// setresgid in a process with threads: glibc stops all of them by a signal and makes the call in each.
#include "check.h"
static volatile int stop;
static int p[2];
static void *body(void *a) { while (!stop) { getppid(); } return (void *)(long)RAW(SYS_getegid) + 0 * (long)a; }
static void *blocked(void *a) { char c; (void)a; read(p[0], &c, 1); return (void *)(long)RAW(SYS_getegid); }
int main(void) {
    if (getuid() != 0) CANNOT("must be root");
    pthread_t t[4];
    pipe(p);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, i < 2 ? body : blocked, NULL);
    millis(10);
    OK(setresgid(-1, 1234, -1) == 0);
    OK(setresuid(-1, 1234, -1) == 0);
    OK(geteuid() == 1234 && getegid() == 1234);
    stop = 1;
    close(p[1]);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        MUST((long)r == 1234);
    }
    OK(setresuid(-1, 0, -1) == 0);
    return done();
}
