//@ variants: dynamic-pie static
//@ flags: -pthread
// fork from kernel threads and from Linux's: the child has the calling thread only, and makes kernel threads anew. exec, exit and signals of processes with
// kernel threads.
#include "hrt_check.h"
static void *adds(void *p) { return (void *)((long)p + 1); }
static volatile long end;
static void *spins(void *p) {
    while (!end) hrt_thread_yield();
    return p;
}
static int works(void) {
    hrt_thread_t t[20];
    long sum = 0;
    for (long i = 0; i < 20; i++) if (hrt_thread_create(&t[i], adds, (void *)i, 0, 65536)) return 1;
    for (long i = 0; i < 20; i++) {
        void *r;
        if (hrt_thread_join(t[i], &r)) return 2;
        sum += (long)r;
    }
    hrt_semaphore_t s = HRT_SEMAPHORE_INIT(0);
    if (hrt_semaphore_wait_until(&s, hrt_time() + 1000000) != -ETIMEDOUT) return 4;
    return sum == 210 ? 42 : 3;
}
static void *forks(void *p) {
    pid_t pid = fork();
    if (pid == 0) {
        int r = works();
        if ((long)p > 0 && r == 42) {
            pid_t next = fork();
            if (next == 0) _exit(works());
            if (reap(next) != 42) r = 9;
        }
        _exit(r);
    }
    MUST(reap(pid) == 42);
    return NULL;
}
static void *execs(void *p) {
    (void)p;
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
}
static void *exits(void *p) { exit((int)(long)p); }
static void *faults(void *p) { (void)p; *(volatile int *)(end + 8) = 1; return NULL; }
static int child(void *(*f)(void *), void *p) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hrt_thread_t t;
        for (int i = 0; i < 5; i++) hrt_thread_create(&t, spins, NULL, 0, 65536);
        hrt_thread_create(&t, f, p, 0, 1 << 18);
        hrt_thread_join(t, NULL);
        _exit(99);
    }
    return reap(pid);
}
int main(void) {
    if (without_kernel()) return done();
    MUST(works() == 42);
    hrt_thread_t t[4];
    for (long i = 0; i < 4; i++) MUST(hrt_thread_create(&t[i], forks, (void *)i, 0, 1 << 18) == 0);
    for (int i = 0; i < 4; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    forks((void *)1);
    MUST(works() == 42);
    MUST(child(execs, NULL) == 0);
    MUST(child(exits, (void *)7) == 7);
    MUST(child(faults, NULL) == 1000 + SIGSEGV);
    MUST(works() == 42);
    return done();
}
