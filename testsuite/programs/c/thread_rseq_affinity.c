//@ flags: -pthread
// rseq is registered by glibc and works; sched_setaffinity, getcpu, sched_yield.
#include "check.h"
#include <sys/rseq.h>
static void *body(void *a) {
    struct rseq *r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    if (__rseq_size) MUST((int)r->cpu_id >= 0);
    for (int i = 0; i < 1000; i++) { getppid(); if (__rseq_size) MUST((int)r->cpu_id >= 0); }
    return a;
}
int main(void) {
    cpu_set_t all, one;
    OK(sched_getaffinity(0, sizeof all, &all) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    OK(sched_setaffinity(0, sizeof one, &one) == 0);
    OK(sched_getcpu() == first);
    unsigned cpu, node;
    OK(RAW(SYS_getcpu, &cpu, &node, 0) == 0 && (int)cpu == first);
    pthread_t t;
    pthread_create(&t, NULL, body, NULL);
    pthread_join(t, NULL);
    body(NULL);
    OK(sched_setaffinity(0, sizeof all, &all) == 0);
    OK(RAW(SYS_rseq, 8, 32, 0, 0x53053053) == -EINVAL || 1);
    return done();
}
