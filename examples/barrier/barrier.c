/* A generational collector's write barrier by page protection: the old generation is read-only, and the first write to each of its pages is noted. Two
 * ways: in ring 0 the program changes its own page tables and serves the page faults itself; and as on any Linux, by mprotect and SIGSEGV. */
#define _GNU_SOURCE
#include "hrt.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGES = 64, PAGE = 4096, WRITES = 200, ROUNDS = 5 };
static char *old_generation;
static unsigned char dirty[PAGES];
static volatile uint64_t *entries[PAGES];

static unsigned long cycles(void) { return __builtin_ia32_rdtsc(); }

/* The barrier in ring 0: notes the page and makes it writable again. */
HRT_FAULT_HANDLER static int on_fault(const struct hrt_fault *f) {
    unsigned long page = (f->address - (uint64_t)old_generation) / PAGE;
    if (page >= PAGES || !(f->error & 2)) return 0;
    dirty[page] = 1;
    *entries[page] |= HRT_PTE_WRITE;
    hrt_invalidate((void *)f->address);
    return 1;
}

/* The barrier of Linux. */
static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    unsigned long page = (unsigned long)((char *)info->si_addr - old_generation) / PAGE;
    if (page >= PAGES) abort();
    dirty[page] = 1;
    mprotect(old_generation + page * PAGE, PAGE, PROT_READ | PROT_WRITE);
}

/* The mutator: writes here and there into old objects. */
static void mutate(unsigned seed) {
    for (int i = 0; i < WRITES; i++) {
        seed = seed * 1103515245 + 12345;
        old_generation[(seed >> 8) % (PAGES * PAGE / 4)]++;
    }
}

/* What a minor collection does: the noted pages are the roots, and are protected again. */
static int collect(int ring0) {
    int roots = 0;
    for (int i = 0; i < PAGES; i++) {
        roots += dirty[i];
        if (dirty[i] && ring0) {
            *entries[i] &= ~HRT_PTE_WRITE;
            hrt_invalidate(old_generation + i * PAGE);
        }
        dirty[i] = 0;
    }
    if (!ring0) mprotect(old_generation, PAGES * PAGE, PROT_READ);
    return roots;
}

static int run(const char *name, int ring0, int figures) {
    int roots = 0;
    unsigned long start = cycles();
    for (int round = 0; round < ROUNDS; round++) {
        mutate((unsigned)round);
        roots += collect(ring0);
    }
    unsigned long took = cycles() - start;
    printf("%s: %d pages noted\n", name, roots);
    if (figures) printf("%s: %lu cycles for each\n", name, took / (unsigned long)roots);
    return roots;
}

int main(int argc, char **argv) {
    (void)argv;
    old_generation = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (old_generation == MAP_FAILED) return 1;
    memset(old_generation, 1, PAGES * PAGE);
    int expected = 0;
    if (hrt_in_ring0()) {
        for (int i = 0; i < PAGES; i++) {
            int level;
            entries[i] = hrt_entry(old_generation + i * PAGE, &level);
            if (!entries[i] || level != 0) {
                puts("ring 0: the heap is in large pages");
                return 1;
            }
            *entries[i] = (*entries[i] | HRT_PTE_OWNED) & ~HRT_PTE_WRITE;
            hrt_invalidate(old_generation + i * PAGE);
        }
        if (hrt_set_fault_handler(on_fault, old_generation, PAGES * PAGE)) return 1;
        expected = run("ring 0, page tables", 1, argc > 1);
        hrt_set_fault_handler(NULL, NULL, 0);
        for (int i = 0; i < PAGES; i++) *entries[i] = (*entries[i] | HRT_PTE_WRITE) & ~HRT_PTE_OWNED;
    } else {
        fputs("SKIPPED the barrier by page tables: this is not ring 0 of the kvm platform\n", stderr);
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    mprotect(old_generation, PAGES * PAGE, PROT_READ);
    int roots = run("mprotect, SIGSEGV", 0, argc > 1);
    return expected && expected != roots;
}
