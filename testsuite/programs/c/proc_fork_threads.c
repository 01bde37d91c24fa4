//@ flags: -pthread
// fork from threads while others run: the child has one thread, working locks, timers and allocation.
#include "check.h"
static volatile int stop;
static void *noise(void *a) { while (!stop) { free(malloc(100)); getppid(); RAW(SYS_getpid); } return a; }
static void *forker(void *a) {
    for (int i = 0; i < 25; i++) {
        pid_t pid = fork();
        if (!pid) {
            if (RAW(SYS_gettid) != RAW(SYS_getpid) || gettid() != getpid()) _exit(1);
            char *m = malloc(100000);
            memset(m, 1, 100000);
            pthread_t t;
            pthread_create(&t, NULL, (void *(*)(void *))strdup, "x");
            pthread_join(t, NULL);
            pid_t g = fork();
            if (!g) _exit(3);
            _exit(reap(g) == 3 ? 7 : 2);
        }
        MUST(reap(pid) == 7);
    }
    return a;
}
int main(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, i < 2 ? noise : forker, NULL);
    pthread_join(t[2], NULL);
    pthread_join(t[3], NULL);
    stop = 1;
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    return done();
}
