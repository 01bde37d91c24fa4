// Posted calls beside plain ones: posts OPERATION N makes N calls in chunks of 16, and prints the cycles of a call in the median chunk and in the mean. Plainly linked, the
// same calls are made one by one.
#include "hrt.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BATCH = 16, WORK = 3000 };
static __attribute__((aligned(64))) hrt_call_t calls[BATCH];
static char bytes[BATCH][64];
static int kernel, null, file;
static long parent;
static enum { ROUND_TRIP, POST, GETPPIDS, WRITES, PREADS, OVERLAP } what;
static const char *const names[] = {"round-trip", "post", "getppids", "writes", "preads", "overlap"};

static uint64_t stamp(void) { return __builtin_ia32_rdtsc(); }
static void check(int good) {
    if (good) return;
    fprintf(stderr, "a wrong result\n");
    exit(1);
}
static void work(void) {
    uint64_t x = 1;
    for (int k = 0; what == OVERLAP && k < WORK; k++) {
        x = x * 6364136223846793005u + 1;
        __asm__ volatile("" : "+r"(x));
    }
}
static int by_cycles(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}
static long wanted(void) { return what >= WRITES ? 64 : parent; }

static uint64_t plain(void) {
    uint64_t from = stamp();
    for (int k = 0; k < BATCH; k++) {
        if (what == PREADS) check(pread(file, bytes[k], 64, 64 * k) == 64);
        else if (what > GETPPIDS) check(write(null, bytes[k], 64) == 64);
        else check(syscall(SYS_getppid) == parent);
    }
    work();
    return stamp() - from;
}

static uint64_t posted(void) {
    uint64_t from = stamp(), to;
    if (what == ROUND_TRIP) {
        for (int k = 0; k < BATCH; k++) {
            hrt_call_post(&calls[0], SYS_getppid, 0, 0, 0, 0, 0, 0);
            check(hrt_call_wait(&calls[0]) == 0 && calls[0].result == parent);
        }
        return stamp() - from;
    }
    if (what == POST) {
        // Only that is measured.
        for (int k = 0; k < BATCH; k++) hrt_call_post(&calls[k], SYS_getppid, 0, 0, 0, 0, 0, 0);
        to = stamp();
        check(hrt_calls_wait(calls, BATCH) == 0);
    } else {
        for (int k = 0; k < BATCH; k++) {
            hrt_call_t *c = &calls[k];
            c->number = what == GETPPIDS ? SYS_getppid : what == PREADS ? SYS_pread64 : SYS_write;
            c->arguments[0] = what == PREADS ? file : null;
            c->arguments[1] = (long)bytes[k];
            c->arguments[2] = 64;
            c->arguments[3] = 64 * k;
        }
        check(hrt_calls_post(calls, BATCH) == 0);
        work();
        check(hrt_calls_wait(calls, BATCH) == 0);
        to = stamp();
    }
    for (int k = 0; k < BATCH; k++) check(calls[k].result == wanted());
    return to - from;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    while (strcmp(names[what], argv[1])) check(++what <= OVERLAP);
    long chunks = atol(argv[2]) / BATCH;
    uint64_t *each = malloc(chunks * sizeof *each), sum = 0;
    struct hrt_info info;
    kernel = hrt_get_info(&info) == 0;
    parent = getppid();
    null = open("/dev/null", O_WRONLY), file = open(argv[0], O_RDONLY);
    check(chunks > 0 && each && null >= 0 && file >= 0);
    // The server wakes when calls come often.
    for (int i = 0; kernel && i < 20; i++) {
        posted();
        if (i % 5 == 4) usleep(200);
    }
    for (long i = 0; i < chunks; i++) sum += each[i] = kernel ? posted() : plain();
    qsort(each, chunks, sizeof *each, by_cycles);
    printf("%llu %llu\n", (unsigned long long)each[chunks / 2] / BATCH, (unsigned long long)sum / chunks / BATCH);
    return 0;
}
