/* What a program can do in ring 0 that it cannot do in Linux: read its page tables, change a page's protection by one
 * store, and serve a page fault without leaving the processor's kernel mode. */
#include "hrt.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

enum { PAGE = 4096, ROUNDS = 200 };

static char *page;
static volatile uint64_t *entry;
static unsigned long faults;

/* A write barrier: notes the write, and lets it through. */
HRT_FAULT_HANDLER static int on_fault(const struct hrt_fault *f) {
    (void)f;
    faults++;
    *entry |= HRT_PTE_WRITE;
    __asm__ volatile("invlpg (%0)" : : "r"(page) : "memory");
    return 1;
}

/* The same with Linux's means. */
static void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)info, (void)context;
    faults++;
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static int by_number(const void *a, const void *b) {
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

static unsigned long median(unsigned long *cycles) {
    qsort(cycles, ROUNDS, sizeof *cycles, by_number);
    return cycles[ROUNDS / 2];
}

static int check(int good, const char *what) {
    if (!good) printf("WRONG: %s\n", what);
    return !good;
}

static void protect_by_entry(void) {
    *entry &= ~HRT_PTE_WRITE;
    hrt_invalidate(page);
}

static void protect_by_call(void) { mprotect(page, PAGE, PROT_READ); }

/* Protects the page and writes to it, again and again; prints what both take. True if each write met the protection. */
static int measure(void (*protect)(void), const char *format) {
    static unsigned long change[ROUNDS], fault[ROUNDS];
    faults = 0;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned long a = __rdtsc();
        protect();
        unsigned long b = __rdtsc();
        page[i] = 1;
        unsigned long c = __rdtsc();
        change[i] = b - a, fault[i] = c - b;
    }
    printf(format, median(change), median(fault));
    return faults == ROUNDS;
}

int main(void) {
    int wrong = 0;
    if (!hrt_in_ring0()) {
        puts("not in ring 0: HRT_PLATFORM=kvm HRT_RING=0 asks for it");
        return 0;
    }
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(page, "hello, tables");

    int level;
    entry = hrt_entry(page, &level);
    if (!entry || level != 0) return puts("WRONG: no entry for the page"), 1;
    const char *same = hrt_physical(*entry & HRT_PTE_ADDRESS);
    printf("ring %u, page tables at %#llx\n", hrt_ring(), (unsigned long long)hrt_read_cr3());
    printf("the page at %p has entry %#llx\n", (void *)page, (unsigned long long)*entry);
    wrong += check(same && strcmp(same, "hello, tables") == 0, "the entry leads to the page");

    /* From now on the entry is the program's. */
    *entry |= HRT_PTE_OWNED;
    wrong += check(hrt_set_fault_handler(on_fault, page, PAGE) == 0, "a handler of its own");
    wrong += check(measure(protect_by_entry, "protect a page: %lu cycles; fault, handler, unprotect, write: %lu cycles\n"),
                   "each write to the protected page came to the handler");
    hrt_set_fault_handler(NULL, NULL, 0);
    *entry = (*entry | HRT_PTE_WRITE) & ~HRT_PTE_OWNED;

    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    wrong += check(measure(protect_by_call, "by mprotect and SIGSEGV: %lu cycles; %lu cycles\n"),
                   "each write to the protected page came to the signal handler");
    return wrong != 0;
}
