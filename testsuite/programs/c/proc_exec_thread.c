//@ flags: -pthread
// exec from a thread that is not the main one: it takes over the process's pid, the others vanish.
#include "check.h"
static void *spin(void *a) { for (;;) getppid(); return a; }
static void *body(void *a) {
    char pid[20];
    sprintf(pid, "%d", getpid());
    execl("./prog", "prog", pid, NULL);
    return a;
}
int main(int argc, char **argv) {
    if (argc > 1) {
        OK(atoi(argv[1]) == getpid());
        OK(gettid() == getpid());
        OK(RAW(SYS_getpid) == getpid() && RAW(SYS_gettid) == getpid());
        return done();
    }
    pthread_t t;
    pthread_create(&t, NULL, spin, NULL);
    pthread_create(&t, NULL, spin, NULL);
    pthread_create(&t, NULL, body, NULL);
    pause();
    return 1;
}
