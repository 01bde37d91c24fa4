//@ variants: static dynamic-pie
//@ flags: -pthread
//@ limit: 40
//@ stats: signals >= 2000
//@ ring0-stats: guest.protections >= 1000
//@ ring0-stats: guest.faults >= 1500
//@ ring0-stats: guest.returns >= 1500
// Protection of private memory, and whatever may see it: system calls that get its addresses, other processes and threads, mappings that
// change, handlers of all kinds.
#include "check.h"
#include <sys/uio.h>
enum { PAGE = 4096, PAGES = 64, SIZE = PAGE * PAGES };
static char *heap;
static volatile int faults, code;
static char *volatile where;

static void open_page(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    faults++;
    code = i->si_code;
    where = i->si_addr;
    mprotect((void *)((uintptr_t)i->si_addr & -(uintptr_t)PAGE), PAGE, PROT_READ | PROT_WRITE);
}

// A write to each page, after all were protected: how many faulted.
static int round_of_writes(int rights) {
    int before = faults;
    mprotect(heap, SIZE, rights);
    for (int p = 0; p < PAGES; p++) { heap[p * PAGE + 8] += 1; heap[p * PAGE + 9] += 1; }
    return faults - before;
}

static int in_child(int (*f)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) _exit(f());
    int status;
    waitpid(pid, &status, 0);
    return status;
}

static int writes_protected(void) {
    int before = faults;
    heap[0] = 1;
    return faults - before;
}

static int dies(void) {
    signal(SIGSEGV, SIG_DFL);
    heap[PAGE] = 1;
    return 0;
}

static void *writer(void *p) {
    (void)p;
    for (int i = 0; i < PAGES; i++) heap[i * PAGE] = 7;
    return NULL;
}

// ---- Handlers ------------------------------------------------------------------------------------------------------
static sigjmp_buf jump;
static void jumps(int s) { (void)s; siglongjmp(jump, 1); }

static volatile sig_atomic_t ticks, inside, tick_inside;
static void tick(int s) { (void)s; ticks++; tick_inside += inside; }
static void slow(int s, siginfo_t *i, void *c) {
    inside = 1;
    for (volatile int n = 0; n < 200; n++) {}
    open_page(s, i, c);
    inside = 0;
}

static void keeps_usr1(int s, siginfo_t *i, void *c) {
    open_page(s, i, c);
    sigaddset(&((ucontext_t *)c)->uc_sigmask, SIGUSR1);
}

static void skips(int s, siginfo_t *i, void *c) {
    (void)s, (void)i;
    faults++;
    ucontext_t *u = c;
    u->uc_mcontext.gregs[REG_RIP] = u->uc_mcontext.gregs[REG_RBX];
    u->uc_mcontext.gregs[REG_RAX] = 42;
}

static void looks(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(sigismember(&now, SIGSEGV) && sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
    OK(!sigismember(&u->uc_sigmask, SIGSEGV));
    OK(u->uc_mcontext.gregs[REG_TRAPNO] == 14);
    OK((u->uc_mcontext.gregs[REG_ERR] & 6) == 6);
    OK((char *)u->uc_mcontext.gregs[REG_CR2] == i->si_addr);
    OK(i->si_signo == SIGSEGV && i->si_errno == 0);
    open_page(s, i, c);
}

static volatile int depth, deepest;
static void nested(int s, siginfo_t *i, void *c) {
    depth++;
    if (depth > deepest) deepest = depth;
    // Another page faults while this one is served.
    long page = ((char *)i->si_addr - heap) / PAGE;
    if (page + 1 < 8) heap[(page + 1) * PAGE] = 1;
    open_page(s, i, c);
    depth--;
}

static int registers_survive(void) {
    int good = 1;
    for (int round = 0; round < 50; round++) {
        mprotect(heap, SIZE, PROT_READ);
        unsigned long flags_before, flags_after, got[5];
        double x[2] = {1.5 + round, -2.25}, y[2];
        unsigned control = 0x3f80, after; // rounding up
        __asm__ volatile("ldmxcsr %[control]\n\tmovupd %[x], %%xmm7\n\tmov $0x1111, %%r12\n\tmov $0x2222, %%r13\n\tmov $0x3333, %%r10\n\tmov $0x4444, %%r11\n\t"
                         "movq $0x7777, -64(%%rsp)\n\t" // the red zone
                         "cmp $1, %%r12\n\tstc\n\tpushfq\n\tpopq %[before]\n\tmovb $1, (%[at])\n\tpushfq\n\tpopq %[after_]\n\t"
                         "movq -64(%%rsp), %%r14\n\tmov %%r14, %[e]\n\tmov %%r12, %[a]\n\tmov %%r13, %[b]\n\tmov %%r10, %[c]\n\tmov %%r11, %[d]\n\tmovupd %%xmm7, %[y]\n\tstmxcsr %[control_after]\n\tldmxcsr %[normal]"
                         : [before] "=&r"(flags_before), [after_] "=&r"(flags_after), [a] "=m"(got[0]), [b] "=m"(got[1]), [c] "=m"(got[2]), [d] "=m"(got[3]), [e] "=m"(got[4]), [y] "=m"(y),
                           [control_after] "=m"(after)
                         : [control] "m"(control), [normal] "m"((const unsigned){0x1f80}), [x] "m"(x), [at] "r"(heap + round % PAGES * PAGE)
                         : "r10", "r11", "r12", "r13", "r14", "xmm7", "memory", "cc");
        good &= got[0] == 0x1111 && got[1] == 0x2222 && got[2] == 0x3333 && got[3] == 0x4444 && got[4] == 0x7777;
        good &= y[0] == x[0] && y[1] == x[1] && after == control && ((flags_before ^ flags_after) & 0x8d5) == 0;
    }
    return good;
}

int main(void) {
    heap = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(heap, 1, SIZE);
    handle(SIGSEGV, open_page, 0);
    round_of_writes(PROT_READ);
    int total = 0;
    for (int i = 0; i < 20; i++) total += round_of_writes(PROT_READ);
    OK(total == 20 * PAGES);
    total = 0;
    for (int i = 0; i < 5; i++) total += round_of_writes(PROT_NONE);
    OK(total == 5 * PAGES);
    OK(code == SEGV_ACCERR && where == heap + (PAGES - 1) * PAGE + 8);
    OK(heap[8] == 27 && heap[SIZE - PAGE + 9] == 27);

    puts("-- system calls");
    int p[2], before = faults;
    pipe(p);
    write(p[1], "abcdefgh", 8);
    mprotect(heap, SIZE, PROT_READ);
    OK(ERR(read(p[0], heap + 100, 2), EFAULT));
    OK(write(p[1], heap, 4) == 4);
    struct iovec v = {heap + PAGE, 4};
    OK(ERR(readv(p[0], &v, 1), EFAULT));
    OK(ERR(clock_gettime(CLOCK_REALTIME, (struct timespec *)(heap + 2 * PAGE)), EFAULT) || faults > before);
    OK(ERR(sigprocmask(SIG_BLOCK, NULL, (sigset_t *)(heap + 3 * PAGE)), EFAULT));
    OK(ERR(getcwd(heap + 4 * PAGE, 100) ? 0 : -1, EFAULT));
    OK(ERR(pipe((int *)(heap + 5 * PAGE)), EFAULT));
    mprotect(heap, SIZE, PROT_NONE);
    OK(ERR(write(p[1], heap + 6 * PAGE, 4), EFAULT));
    OK(ERR(open(heap + 7 * PAGE, O_RDONLY), EFAULT));
    mprotect(heap, SIZE, PROT_READ | PROT_WRITE);
    OK(read(p[0], heap + 100, 2) == 2 && heap[100] == 'a');
    OK(ERR(mprotect(heap + 1, PAGE, PROT_READ), EINVAL));
    OK(mprotect(heap, 0, PROT_READ) == 0);
    heap[0] = 3;
    OK(ERR(mprotect(heap, SIZE, 1 << 20), EINVAL));

    puts("-- what is listed");
    mprotect(heap + 8 * PAGE, 8 * PAGE, PROT_READ);
    unsigned long want = (unsigned long)heap + 8 * PAGE, from, to;
    char rights[8], line[512];
    int seen = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && from <= want && want < to) seen = !strcmp(rights, "r--p");
    fclose(maps);
    OK(seen);

    puts("-- mappings that change");
    round_of_writes(PROT_READ);
    mprotect(heap, SIZE, PROT_READ);
    OK(munmap(heap + 16 * PAGE, 4 * PAGE) == 0);
    OK(mmap(heap + 16 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == heap + 16 * PAGE);
    before = faults;
    heap[16 * PAGE] = 5;
    OK(faults == before);
    OK(madvise(heap + 20 * PAGE, PAGE, MADV_DONTNEED) == 0);
    OK(heap[20 * PAGE + 8] == 0 && faults == before);
    heap[20 * PAGE] = 1;
    OK(faults == before + 1);
    char *moved = mremap(heap + 24 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, heap + 30 * PAGE);
    OK(moved == heap + 30 * PAGE);
    before = faults;
    moved[0] = 1;
    OK(faults == before + 1);
    OK(mmap(heap + 24 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == heap + 24 * PAGE);
    mprotect(heap, SIZE, PROT_READ | PROT_WRITE);
    OK(round_of_writes(PROT_READ) == PAGES);

    puts("-- processes and threads");
    mprotect(heap, SIZE, PROT_READ);
    int status = in_child(writes_protected);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    before = faults;
    heap[0] = 2;
    OK(faults == before + 1);
    mprotect(heap, SIZE, PROT_READ);
    status = in_child(dies);
    OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    before = faults;
    pthread_t t;
    pthread_create(&t, NULL, writer, NULL);
    pthread_join(t, NULL);
    OK(faults == before + PAGES);
    total = 0;
    for (int i = 0; i < 3; i++) total += round_of_writes(PROT_READ);
    OK(total == 3 * PAGES);

    puts("-- handlers");
    OK(registers_survive());
    struct sigaction a = {.sa_sigaction = looks, .sa_flags = SA_SIGINFO};
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGSEGV, &a, NULL);
    mprotect(heap, SIZE, PROT_READ);
    heap[0] = heap[PAGE] = 1;
    signal(SIGSEGV, jumps);
    round_of_writes(PROT_READ | PROT_WRITE);
    int jumped = 0;
    for (int i = 0; i < 20; i++) {
        mprotect(heap, SIZE, PROT_READ);
        if (sigsetjmp(jump, 1)) jumped++;
        else heap[i * PAGE] = 1;
    }
    OK(jumped == 20);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(!sigismember(&now, SIGSEGV));

    // A timer's signal is blocked in the handler, and comes after it; and all the time elsewhere.
    memset(&a, 0, sizeof a);
    a.sa_sigaction = slow;
    a.sa_flags = SA_SIGINFO;
    sigaddset(&a.sa_mask, SIGALRM);
    sigaction(SIGSEGV, &a, NULL);
    struct sigaction t_action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &t_action, NULL);
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    total = 0;
    int rounds = 0;
    for (time_t end = time(NULL) + 10; (ticks < 20 || rounds < 10) && time(NULL) < end; rounds++) total += round_of_writes(PROT_READ);
    setitimer(ITIMER_REAL, &never, NULL);
    OK(total == rounds * PAGES && ticks >= 20);
    OK(tick_inside == 0);

    memset(&a, 0, sizeof a);
    a.sa_sigaction = keeps_usr1;
    a.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &a, NULL);
    mprotect(heap, SIZE, PROT_READ);
    heap[0] = 1;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(sigismember(&now, SIGUSR1));
    sigemptyset(&now);
    sigprocmask(SIG_SETMASK, &now, NULL);

    a.sa_sigaction = nested;
    a.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &a, NULL);
    for (int i = 0; i < 3; i++) {
        mprotect(heap, SIZE, PROT_READ);
        heap[0] = 1;
    }
    OK(deepest == 8 && depth == 0);

    stack_t alt = {.ss_sp = malloc(65536), .ss_size = 65536}, none = {.ss_flags = SS_DISABLE};
    sigaltstack(&alt, NULL);
    a.sa_sigaction = open_page;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &a, NULL);
    total = 0;
    for (int i = 0; i < 3; i++) total += round_of_writes(PROT_READ);
    OK(total == 3 * PAGES);
    sigaltstack(&none, NULL);

    a.sa_sigaction = open_page;
    a.sa_flags = SA_SIGINFO | SA_RESETHAND;
    sigaction(SIGSEGV, &a, NULL);
    mprotect(heap, SIZE, PROT_READ);
    heap[0] = 1;
    sigaction(SIGSEGV, NULL, &a);
    OK(a.sa_handler == SIG_DFL);
    a.sa_sigaction = skips;
    a.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &a, NULL);
    mprotect(heap, SIZE, PROT_READ);
    int got = 0;
    for (int i = 0; i < 10; i++) {
        int rax = 0;
        __asm__ volatile("lea 1f(%%rip), %%rbx\n\tmovb $1, (%[at])\n1:" : "=a"(rax) : [at] "r"(heap + PAGE * i), "0"(0) : "rbx", "memory");
        got += rax;
    }
    OK(got == 420);
    return done();
}
