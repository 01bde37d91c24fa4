//@ variants: dynamic-pie static
//@ stats: signals >= 10000
//@ ring0-stats: guest.faults >= 9000
//@ ring0-stats: guest.returns >= 9000
//@ ring0-stats: guest.protections >= 9000
//@ ring0-stats: exits <= 1500
// As generational collectors do: pages protected, 10,000 write faults, each unprotected by the handler and retried.
#include "check.h"
enum { PAGES = 500, ROUNDS = 20 };
static char *heap;
static volatile int faults;
static unsigned char dirty[PAGES];
static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    long page = ((char *)i->si_addr - heap) / 4096;
    if (i->si_code != SEGV_ACCERR || page < 0 || page >= PAGES) { write(1, "FAILED\n", 7); _exit(1); }
    dirty[page]++;
    faults++;
    mprotect(heap + page * 4096, 4096, PROT_READ | PROT_WRITE);
}
int main(void) {
    heap = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on, 0);
    for (int r = 0; r < ROUNDS; r++) {
        mprotect(heap, PAGES * 4096, PROT_READ);
        for (int p = 0; p < PAGES; p++) { heap[p * 4096 + r * 8] += 1; heap[p * 4096 + 2000] += 1; }
    }
    OK(faults == PAGES * ROUNDS);
    int good = 1;
    for (int p = 0; p < PAGES; p++) good &= dirty[p] == ROUNDS && heap[p * 4096 + 2000] == ROUNDS;
    OK(good);
    // A system call that writes into a protected page gives EFAULT and no signal.
    mprotect(heap, 4096, PROT_READ);
    int p[2];
    pipe(p);
    write(p[1], "x", 1);
    OK(ERR(read(p[0], heap, 1), EFAULT));
    OK(faults == PAGES * ROUNDS);
    return done();
}
