//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 60
//@ stats: posts.served >= 100
//@ no-trace: a trace is of calls that threads make themselves
// Posted calls are made by another core while their thread computes: their effect is there before they are collected. By a Linux thread and by a kernel thread.
#include "hrt_check.h"
static int fd;
static off_t size(void) {
    struct stat st;
    MUST(fstat(fd, &st) == 0);
    return st.st_size;
}
static void compute(long us) {
    double end = now() + us / 1e6;
    while (now() < end) {}
}
// How many of 16 writes were made before one was collected.
static long overlapped(void) {
    hrt_call_t c[16];
    memset(c, 0, sizeof c);
    long before = size();
    for (int i = 0; i < 16; i++) {
        c[i].number = SYS_pwrite64;
        c[i].arguments[0] = fd;
        c[i].arguments[1] = (long)"x";
        c[i].arguments[2] = 1;
        c[i].arguments[3] = before + i;
    }
    MUST(hrt_calls_post(c, 16) == 0);
    compute(60);
    long made = size() - before;
    MUST(hrt_calls_wait(c, 16) == 0 && size() == before + 16);
    for (int i = 0; i < 16; i++) MUST(c[i].result == 1);
    return made;
}
static void *posts(void *p) {
    double end = now() + 20;
    for (long sum = 0; sum < 200 && now() < end;) sum += *(long *)p = overlapped();
    return p;
}
int main(void) {
    if (without_kernel()) return done();
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    char name[] = "hrt_call_XXXXXX";
    fd = mkstemp(name);
    unlink(name);
    long made = 0;
    posts(&made);
    MUST(cores < 2 || made > 0 || overlapped() > 0 || overlapped() > 0);
    hrt_thread_t t;
    MUST(hrt_thread_create(&t, posts, &made, 0, 1 << 18) == 0 && hrt_thread_join(t, NULL) == 0);
    return done();
}
