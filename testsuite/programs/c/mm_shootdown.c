//@ flags: -pthread
//@ variants: dynamic-pie static
//@ limit: 60
// What one thread changes of the mappings, another that uses the page all the time without a system call sees at once: it cannot
// write any more, reads the new page, or zeros. Nothing that a processor has kept of the old mapping may serve it.
#include "check.h"

enum { ROUNDS = 24, PAGE = 4096 };
static char *page;
static volatile int stop, faults, resume;
static volatile unsigned long turns, seen;
static sigjmp_buf back;

static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    if ((char *)i->si_addr < page || (char *)i->si_addr >= page + PAGE) abort();
    faults++;
    siglongjmp(back, 1);
}

// Waits until the other thread has looked at the page some times more.
static void look(int times) {
    unsigned long from = turns;
    double end = now() + 10;
    while (turns - from < (unsigned long)times && now() < end) sched_yield();
}
static int wait_faults(int n) {
    double end = now() + 10;
    while (faults < n && now() < end) sched_yield();
    return faults == n;
}

// Between two looks; where processors are emulated one after the other, the other one's turn.
static void next(void) {
    turns++;
    __builtin_ia32_pause();
}

static void *writes(void *arg) {
    volatile unsigned long *word = (volatile unsigned long *)page;
    unsigned long n = 0;
    sigsetjmp(back, 1);
    // Where it may not write it waits until it may again.
    while (faults != resume && !stop) __builtin_ia32_pause();
    while (!stop) {
        *word = ++n;
        next();
    }
    return arg;
}
static void *reads(void *arg) {
    volatile unsigned long *word = (volatile unsigned long *)page;
    while (!stop) {
        seen = *word;
        next();
    }
    return arg;
}

static pthread_t begin(void *(*f)(void *)) {
    pthread_t t;
    stop = 0, turns = 0;
    if (pthread_create(&t, NULL, f, NULL)) abort();
    look(100);
    return t;
}
static int finish(pthread_t t) {
    stop = 1;
    return pthread_join(t, NULL);
}

// How often the other thread did not see at once what was changed. After `change` returns, every look must find `want`.
static int rounds(void (*change)(int), unsigned long (*want)(int)) {
    int bad = 0;
    for (int i = 0; i < ROUNDS; i++) {
        look(5);
        change(i);
        look(2); // one may have begun before
        for (int k = 0; k < 3; k++) {
            bad += seen != want(i);
            look(1);
        }
    }
    return bad;
}

static void fill(int i) { memset(page, i % 100 + 1, PAGE); }
static unsigned long pattern(int i) { return (i % 100 + 1) * 0x0101010101010101ul; }
static unsigned long zero(int i) { return (void)i, 0; }

static void dontneed(int i) {
    fill(i);
    look(5);
    if (madvise(page, PAGE, MADV_DONTNEED)) abort();
}
// A page that is filled elsewhere and then takes the place of the old one.
static void replace(int i) {
    char *new = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(new, i % 100 + 1, PAGE);
    if (mremap(new, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) != page) abort();
}
static int file;
static void map_over(int i) {
    if (mmap(page, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, i % 8 * PAGE) != page) abort();
}
static unsigned long of_file(int i) { return (i % 8 + 1) * 0x0101010101010101ul; }

static void *unmapped(void *arg) {
    volatile unsigned long *word = (volatile unsigned long *)page;
    sigsetjmp(back, 1);
    while (faults != resume && !stop) __builtin_ia32_pause();
    while (!stop) {
        seen = *word;
        next();
    }
    return arg;
}

int main(void) {
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on, SA_NODEFER);

    pthread_t t = begin(writes);
    int late = 0, missing = 0;
    for (int i = 1; i <= ROUNDS && missing == 0; i++) {
        look(5);
        if (mprotect(page, PAGE, PROT_READ)) abort();
        unsigned long after = *(volatile unsigned long *)page;
        missing += !wait_faults(i);
        late += *(volatile unsigned long *)page != after;
        if (mprotect(page, PAGE, PROT_READ | PROT_WRITE)) abort();
        resume = i;
    }
    OK(missing == 0 && late == 0);
    OK(finish(t) == 0);

    faults = resume = 0;
    fill(0);
    t = begin(unmapped);
    late = missing = 0;
    for (int i = 1; i <= ROUNDS && missing == 0; i++) {
        look(5);
        if (munmap(page, PAGE)) abort();
        missing += !wait_faults(i);
        if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page) abort();
        fill(i);
        resume = i;
        look(2);
        late += seen != pattern(i);
    }
    OK(missing == 0 && late == 0);
    OK(finish(t) == 0);

    t = begin(reads);
    OK(rounds(dontneed, zero) == 0);
    OK(rounds(replace, pattern) == 0);
    file = memfd_create("pages", 0);
    for (int i = 0; i < 8; i++) {
        char one[PAGE];
        memset(one, i + 1, PAGE);
        MUST(write(file, one, PAGE) == PAGE);
    }
    OK(rounds(map_over, of_file) == 0);
    OK(finish(t) == 0);
    return done();
}
