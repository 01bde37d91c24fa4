//@ variants: dynamic-pie no-pie static static-pie musl
//@ toml: sets = ["time"]
//@ stats: overrides.clock_gettime.calls >= 3000
//@ stats: overrides.gettimeofday.calls >= 1000
//@ stats: overrides.time.calls >= 1000
//@ stats: overrides.time.places >= 1
// The kernel's clocks are Linux's: the same offsets, never backwards, the same errors.
#include "check.h"
static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
// Linux itself, before and after what the library says.
static void between(clockid_t clock, const char *name) {
    int wrong = 0, backwards = 0;
    int64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        struct timespec a, b, c;
        RAW(SYS_clock_gettime, clock, &a);
        if (clock_gettime(clock, &b)) wrong++;
        RAW(SYS_clock_gettime, clock, &c);
        // A coarse clock stands still for a tick; both kinds only go forward.
        if (ns(b) < ns(a) || ns(c) < ns(b)) wrong++;
        if (ns(b) < last) backwards++;
        last = ns(b);
    }
    printf("%s: wrong %d, backwards %d\n", name, wrong, backwards);
}
int main(void) {
    between(CLOCK_REALTIME, "realtime");
    between(CLOCK_MONOTONIC, "monotonic");
    between(CLOCK_BOOTTIME, "boottime");
    between(CLOCK_THREAD_CPUTIME_ID, "thread");
    int wrong = 0;
    for (int i = 0; i < 1000; i++) {
        struct timespec a, c;
        struct timeval b;
        RAW(SYS_clock_gettime, CLOCK_REALTIME, &a);
        if (gettimeofday(&b, NULL)) wrong++;
        RAW(SYS_clock_gettime, CLOCK_REALTIME, &c);
        int64_t us = b.tv_sec * 1000000LL + b.tv_usec;
        if (us < ns(a) / 1000 || us > ns(c) / 1000) wrong++;
        RAW(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &a);
        time_t t, s = time(&t);
        RAW(SYS_clock_gettime, CLOCK_REALTIME, &c);
        if (s != t || s < a.tv_sec || s > c.tv_sec) wrong++;
        if (time(NULL) < s) wrong++;
    }
    printf("wrong %d\n", wrong);
    struct timespec t;
    OK(ERR(clock_gettime(12345, &t), EINVAL));
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 && ns(t) > 0);
    clockid_t clock;
    OK(clock_getcpuclockid(0, &clock) == 0 && clock_gettime(clock, &t) == 0);
    OK(gettimeofday(NULL, NULL) == 0);
    return done();
}
