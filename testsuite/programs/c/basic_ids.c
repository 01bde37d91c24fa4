//@ variants: dynamic-pie static
//@ stats: by_number.39.local >= 1
// getpid, gettid, getppid agree with each other, with /proc and with what the parent knows.
#include "check.h"
static void *thread(void *main_pid) {
    MUST(getpid() == *(pid_t *)main_pid);
    MUST(RAW(SYS_getpid) == getpid());
    MUST(gettid() != getpid());
    MUST(RAW(SYS_gettid) == gettid());
    return NULL;
}
int main(void) {
    char link[32] = "";
    readlink("/proc/self", link, sizeof link - 1);
    OK(atoi(link) == getpid());
    OK(gettid() == getpid());
    pid_t me = getpid(), child;
    pthread_t t;
    OK(pthread_create(&t, NULL, thread, &me) == 0);
    pthread_join(t, NULL);
    int p[2];
    pipe(p);
    if ((child = fork()) == 0) {
        pid_t ids[4] = {getpid(), gettid(), getppid(), RAW(SYS_getpid)};
        pthread_t u;
        pthread_create(&u, NULL, thread, &ids[0]);
        pthread_join(u, NULL);
        write(p[1], ids, sizeof ids);
        _exit(failures);
    }
    pid_t ids[4];
    OK(read(p[0], ids, sizeof ids) == sizeof ids);
    OK(ids[0] == child && ids[1] == child && ids[3] == child);
    OK(ids[2] == me);
    OK(reap(child) == 0);
    OK(getpid() == me && RAW(SYS_getpid) == me);
    return done();
}
