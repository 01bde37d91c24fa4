//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: by_number.110 >= 80000
// Eight threads make many system calls at the same time, local, forwarded and failing ones.
#include "check.h"
static void *body(void *arg) {
    int id = (long)arg, p[2];
    pid_t tid = RAW(SYS_gettid), pid = getpid(), ppid = getppid();
    pipe(p);
    for (int i = 0; i < 10000; i++) {
        MUST(RAW(SYS_gettid) == tid);
        MUST(RAW(SYS_getpid) == pid);
        MUST(RAW(SYS_getppid) == ppid);
        MUST(close(-1) == -1 && errno == EBADF);
        if (i % 10 == 0) {
            int v = id * 100000 + i, w = 0;
            MUST(write(p[1], &v, 4) == 4 && read(p[0], &w, 4) == 4 && w == v);
        }
    }
    return NULL;
}
int main(void) {
    pthread_t t[8];
    for (long i = 0; i < 8; i++) pthread_create(&t[i], NULL, body, (void *)i);
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    return done();
}
