//@ variants: static
//@ flags: -pthread
//@ limit: 60
//@ stats: signals >= 50
//@ ring0-stats: guest.protections >= 80
//@ ring0-stats: guest.faults >= 40
// Threads write to pages all the time, while another takes away their right to: no write that comes after mprotect's return goes unseen by
// the handler. Handlers of several threads give rights back at once, and calls by which that could show are made meanwhile.
#include "check.h"
enum { PAGE = 4096, PAGES = 16, WRITERS = 3, ROUNDS = 40 };
static char *heap;
static volatile int dirty[PAGES], stop, wrong;
static int pipes[2];
// Held from a mark to the mprotect that goes with it.
static volatile int held;
static void take(void) { while (__atomic_exchange_n(&held, 1, __ATOMIC_ACQUIRE)) sched_yield(); }
static void give(void) { __atomic_store_n(&held, 0, __ATOMIC_RELEASE); }

static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    long page = ((char *)i->si_addr - heap) / PAGE;
    if (page < 0 || page >= PAGES || i->si_code != SEGV_ACCERR) { wrong = 1; _exit(9); }
    take();
    __atomic_store_n(&dirty[page], 1, __ATOMIC_SEQ_CST);
    mprotect(heap + page * PAGE, PAGE, PROT_READ | PROT_WRITE);
    give();
}

static volatile long *word(int page, int writer) { return (volatile long *)(heap + page * PAGE + writer * 64); }

static void *writer(void *p) {
    int me = (int)(intptr_t)p;
    for (unsigned i = 0; !stop; i++) {
        int page = (int)(i * 7 + (unsigned)me) % PAGES;
        ++*word(page, me);
        if (i % 512 == 0) {
            // A call that fails on a page that may be read only, or not; and one of which nothing is known.
            long r = read(pipes[0], heap + page * PAGE + 1024, 1);
            if (r != -1 || (errno != EAGAIN && errno != EFAULT)) wrong = 2;
            if (i % 4096 == 0) access("/", F_OK);
        }
    }
    return NULL;
}

int main(void) {
    heap = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(heap, 0, PAGES * PAGE);
    pipe2(pipes, O_NONBLOCK);
    handle(SIGSEGV, on, 0);
    pthread_t t[WRITERS];
    for (int i = 0; i < WRITERS; i++) pthread_create(&t[i], NULL, writer, (void *)(intptr_t)i);
    int unseen = 0, written = 0;
    long before[PAGES][WRITERS];
    for (int r = 0; r < ROUNDS; r++) {
        take();
        for (int p = 0; p < PAGES; p++) __atomic_store_n(&dirty[p], 0, __ATOMIC_SEQ_CST);
        MUST(mprotect(heap, PAGES * PAGE, r % 5 == 4 ? PROT_NONE : PROT_READ) == 0);
        if (r % 5 != 4)
            for (int p = 0; p < PAGES; p++)
                for (int w = 0; w < WRITERS; w++) before[p][w] = *word(p, w);
        give();
        usleep(2000);
        for (int p = 0; p < PAGES && r % 5 != 4; p++)
            for (int w = 0; w < WRITERS; w++) {
                int changed = *word(p, w) != before[p][w];
                written += changed;
                unseen += changed && !__atomic_load_n(&dirty[p], __ATOMIC_SEQ_CST);
            }
        MUST(mprotect(heap, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
    }
    stop = 1;
    for (int i = 0; i < WRITERS; i++) pthread_join(t[i], NULL);
    OK(unseen == 0);
    OK(written > 0);
    OK(wrong == 0);
    return done();
}
