//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: kernel_threads.rescues >= 1
// A system call that waits stops its own kernel thread only; and threads that compute do not keep others from executing.
#include "hrt_check.h"
enum { BLOCKED = 12 };
static int pipes[BLOCKED][2];
static long got, stop;
static void *reads(void *p) {
    char c = 0;
    MUST(read(pipes[(long)p][0], &c, 1) == 1 && c == 'x');
    __atomic_add_fetch(&got, 1, __ATOMIC_SEQ_CST);
    return p;
}
static void *writes(void *p) {
    for (int i = 0; i < BLOCKED; i++) MUST(write(pipes[i][1], "x", 1) == 1);
    return p;
}
static void *computes(void *p) {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) __asm__ volatile("pause");
    return p;
}
static void *ends(void *p) { __atomic_store_n(&stop, 1, __ATOMIC_RELAXED); return p; }
static void *sleeps(void *p) { MUST(usleep(20000) == 0); return p; }
int main(void) {
    if (without_kernel()) return done();
    hrt_thread_t t[BLOCKED], last;
    for (long i = 0; i < BLOCKED; i++) {
        MUST(pipe(pipes[i]) == 0);
        MUST(hrt_thread_create(&t[i], reads, (void *)i, 0, 65536) == 0);
    }
    MUST(hrt_thread_create(&last, writes, NULL, 0, 65536) == 0);
    for (int i = 0; i < BLOCKED; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    MUST(hrt_thread_join(last, NULL) == 0 && got == BLOCKED);

    for (long i = 0; i < 4; i++) MUST(hrt_thread_create(&t[i], computes, NULL, 0, 65536) == 0);
    MUST(hrt_thread_create(&last, ends, NULL, 0, 65536) == 0);
    for (int i = 0; i < 4; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    MUST(hrt_thread_join(last, NULL) == 0);

    double start = now();
    for (long i = 0; i < BLOCKED; i++) MUST(hrt_thread_create(&t[i], sleeps, NULL, 0, 65536) == 0);
    for (int i = 0; i < BLOCKED; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    double took = now() - start;
    MUST(took >= 0.02);
    return done();
}
