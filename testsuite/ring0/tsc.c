// Prints the frequency of this machine's time-stamp counter in kHz, which QEMU's software processors show, too. A busy machine does not
// disturb it: of many pairs of readings at each end the one that was taken most quickly counts.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static void read_both(uint64_t *tsc, uint64_t *ns) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        struct timespec t;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC, &t);
        uint64_t after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *tsc = before + best / 2;
            *ns = t.tv_sec * 1000000000ull + t.tv_nsec;
        }
    }
}

int main(void) {
    uint64_t tsc[2], ns[2];
    struct timespec pause = {0, 100000000};
    read_both(&tsc[0], &ns[0]);
    nanosleep(&pause, NULL);
    read_both(&tsc[1], &ns[1]);
    printf("%.0f\n", (double)(tsc[1] - tsc[0]) * 1e6 / (ns[1] - ns[0]));
    return 0;
}
