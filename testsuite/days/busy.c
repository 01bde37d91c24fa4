// Never ends: threads that make calls, map memory, start threads and processes. To be killed at any moment.
#include "check.h"
#include <sys/prctl.h>

static void *turn(void *arg) {
    int fd[2];
    char c;
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        memset(p, 1, 1 << 20);
        munmap(p, 1 << 20);
    }
    if (pipe(fd) == 0) {
        if (write(fd[1], "x", 1) == 1) read(fd[0], &c, 1);
        close(fd[0]);
        close(fd[1]);
    }
    return arg;
}

static void *forever(void *arg) {
    for (;;) {
        turn(arg);
        pthread_t t;
        if (pthread_create(&t, NULL, turn, NULL) == 0) pthread_join(t, NULL);
    }
    return arg;
}

int main(void) {
    pthread_t t;
    pid_t parent = getpid();
    for (int i = 0; i < 3; i++) pthread_create(&t, NULL, forever, NULL);
    for (;;) {
        pid_t child = fork();
        if (child == 0) {
            // It is to go with its parent, like what a shell starts.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) _exit(1);
            turn(NULL);
            millis(5);
            _exit(0);
        }
        if (child > 0) reap(child);
    }
}
