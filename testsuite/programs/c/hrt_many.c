//@ variants: dynamic-pie
//@ flags: -pthread
//@ stats: kernel_threads.created >= 10001
//@ limit: 60
// A hundred thousand kernel threads that live at once; a tenth of that on a machine with less than 2 GiB of free memory.
#include "hrt_check.h"
#include <sys/sysinfo.h>
enum { MOST = 100000 };
static long MANY = MOST;
static hrt_event_t go = HRT_EVENT_INIT(1, 0);
static hrt_thread_t t[MOST];
static long alive, sum;
static void *waits(void *p) {
    __atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED);
    MUST(hrt_event_wait(&go) == 0);
    __atomic_add_fetch(&sum, (long)p, __ATOMIC_RELAXED);
    return p;
}
static void *all(void *p) {
    (void)p;
    for (long i = 0; i < MANY; i++) {
        if (hrt_thread_create(&t[i], waits, (void *)i, 0, 0) == 0) continue;
        MUST(!"a thread is made");
        exit(1);
    }
    while (__atomic_load_n(&alive, __ATOMIC_RELAXED) < MANY) hrt_thread_yield();
    struct hrt_threads_info info;
    MUST(hrt_threads_info(&info) == 0 && (long)info.live == MANY + 1 && info.carriers < 100);
    MUST(hrt_event_set(&go) == 0);
    for (long i = 0; i < MANY; i++) {
        void *r = NULL;
        MUST(hrt_thread_join(t[i], &r) == 0 && (long)r == i);
    }
    MUST(sum == (long)MANY * (MANY - 1) / 2);
    return NULL;
}
int main(void) {
    if (without_kernel()) return done();
    struct sysinfo machine;
    MUST(sysinfo(&machine) == 0);
    if (machine.freeram * machine.mem_unit < 2UL << 30) MANY = MOST / 10;
    hrt_thread_t first;
    MUST(hrt_thread_create(&first, all, NULL, 0, 0) == 0 && hrt_thread_join(first, NULL) == 0);
    return done();
}
