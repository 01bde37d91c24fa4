//@ variants: dynamic-pie static
//@ stats: sud_traps <= 500
// Clocks of which the vdso has to ask Linux: its own call is patched like any other's, though Linux does not let a part of the vdso be changed alone.
#include "check.h"
static long get(clockid_t id) {
    struct timespec t;
    MUST(clock_gettime(id, &t) == 0);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}
int main(void) {
    static const clockid_t ids[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC};
    for (int i = 0; i < 3000; i++) {
        long before = get(ids[i % 3]);
        MUST(get(ids[i % 3]) >= before);
        struct timespec t;
        MUST(clock_gettime(12345, &t) == -1 && errno == EINVAL);
    }
    return done();
}
