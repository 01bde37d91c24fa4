//@ variants: dynamic-pie static static-pie musl
// The clocks, by vdso and by system call, agree and never go back.
#include "check.h"
#include <sys/times.h>
int main(void) {
    struct timespec a, b, c;
    int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE};
    for (int i = 0; i < 5; i++) {
        int back = 0;
        for (int k = 0; k < 1000; k++) {
            MUST(clock_gettime(clocks[i], &a) == 0 && RAW(SYS_clock_gettime, clocks[i], &b) == 0 && clock_gettime(clocks[i], &c) == 0);
            back += b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec) || c.tv_sec < b.tv_sec || (c.tv_sec == b.tv_sec && c.tv_nsec < b.tv_nsec);
        }
        printf("clock %d goes back: %d\n", clocks[i], back);
    }
    OK(RAW(SYS_clock_gettime, 99, &a) == -EINVAL);
    OK(time(NULL) - RAW(SYS_time, 0) <= 1);
    double s = now();
    millis(30);
    OK(now() - s >= 0.03 && now() - s < 5);
    volatile long x = 0;
    for (long i = 0; i < 50000000; i++) x += i;
    OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a) == 0 && a.tv_sec + a.tv_nsec / 1e9 > 0.005);
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a) == 0 && a.tv_sec + a.tv_nsec / 1e9 > 0.005);
    struct tms tm;
    OK(times(&tm) != -1);
    return done();
}
