//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 120
//@ stats: kernel_threads.preempted >= 5000
// Kernel threads that compute are preempted, on one processor: all registers are kept, at any instruction, with libc (HRT_THREAD_TLS) and without (HRT_THREAD_PREEMPT).
#define _GNU_SOURCE
#include "hrt_check.h"
#include "preempt.h"
static volatile int stop, carrier;
static long rounds[3];
static struct registers in[2], out[2];
static const char *wrong;
// No libc in here.
static void *spins(void *p) {
    long i = (long)p;
    for (uint64_t n = (uint64_t)i; !stop; n += 2) {
        carrier = (int)RAW(SYS_gettid);
        pattern(&in[i], n);
        spin(&in[i], &out[i], 20000 + n % 977, vector_width);
        const char *w = spun_wrong(&in[i], &out[i], vector_width);
        if (w) wrong = w;
        rounds[i]++;
    }
    return p;
}
static __thread long mine;
static jmp_buf back[2];
static void *computes(void *p) {
    long i = (long)p;
    char *kept[20] = {0}, text[40];
    for (long n = 0; !stop; n++) {
        carrier = (int)RAW(SYS_gettid);
        mine += i + 1;
        int k = n % 20;
        if (kept[k] && kept[k][n % 64] != (char)(i + k)) wrong = "the heap";
        free(kept[k]);
        kept[k] = malloc(64 + n % 500);
        memset(kept[k], (int)i + k, 64);
        errno = (int)i + 1000;
        snprintf(text, sizeof text, "%ld %ld", i, n);
        if (close(-1) != -1 || errno != EBADF) wrong = "errno";
        errno = (int)i + 1000;
        for (volatile int j = 0; j < 2000; j++) {}
        if (errno != i + 1000) wrong = "errno, kept";
        if (atol(text + 2) != n) wrong = "a text";
        if (setjmp(back[i]) == 0) {
            for (volatile int j = 0; j < 500; j++) {}
            longjmp(back[i], 1);
        }
        if (mine != (n + 1) * (i + 1)) wrong = "a thread-local variable";
        rounds[i]++;
    }
    for (int k = 0; k < 20; k++) free(kept[k]);
    return p;
}
static hrt_mutex_t m;
static long shared;
static void *locks(void *p) {
    for (int i = 0; i < 300; i++) {
        hrt_mutex_lock(&m);
        carrier = (int)RAW(SYS_gettid);
        long was = shared;
        for (volatile int j = 0; j < 3000; j++) {}
        shared = was + 1;
        hrt_mutex_unlock(&m);
    }
    __atomic_add_fetch(&rounds[2], 1, __ATOMIC_SEQ_CST);
    return p;
}
static int turns(void) {
    hrt_thread_t t[2];
    whose = 0;
    for (long i = 0; i < 2; i++)
        if (hrt_thread_create(&t[i], takes_turns, (void *)i, HRT_THREAD_PREEMPT, 65536)) return 0;
    for (int i = 0; i < 2; i++)
        if (hrt_thread_join(t[i], NULL)) return 0;
    return 1;
}
// Lets two threads compute and be preempted, at least `times` times.
static void two(void *(*f)(void *), int flags, int times) {
    hrt_thread_t t[2];
    stop = 0, carrier = 0, rounds[0] = rounds[1] = 0;
    for (long i = 0; i < 2; i++) MUST(hrt_thread_create(&t[i], f, (void *)i, flags, 131072) == 0);
    while (!carrier) usleep(100);
    // On a busy machine not each look finds the thread executing.
    long start = switches();
    for (int i = 0; i < 4 * times && switches() - start < times; i++) {
        provoke(carrier);
        usleep(20);
    }
    for (int k = 0; k < 50000 && f != locks && !(__atomic_load_n(&rounds[0], __ATOMIC_SEQ_CST) && __atomic_load_n(&rounds[1], __ATOMIC_SEQ_CST)); k++) usleep(200);
    stop = 1;
    for (int i = 0; i < 2; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
}
// Without any help: the kernel's own timer. Calls of others that wait are not disturbed.
static void alone(void) {
    hrt_thread_t t[3];
    stop = 0, rounds[0] = rounds[1] = 0;
    MUST(pipe(pipe_) == 0);
    for (long i = 0; i < 2; i++) MUST(hrt_thread_create(&t[i], spins, (void *)i, HRT_THREAD_PREEMPT, 131072) == 0);
    MUST(hrt_thread_create(&t[2], waits, NULL, HRT_THREAD_TLS, 0) == 0);
    for (int i = 0; i < 150; i++) {
        usleep(2000);
        MUST(write(pipe_[1], "x", 1) == 1);
    }
    MUST(hrt_thread_join(t[2], NULL) == 0);
    stop = 1;
    for (int i = 0; i < 2; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
}
// A handler sees the registers of the thread that it interrupts.
static volatile long seen, bad;
static void tick(int sig, siginfo_t *info, void *c) {
    (void)sig, (void)info;
    const greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    if (g[REG_RIP] < (greg_t)spin_loop || g[REG_RIP] >= (greg_t)spin_loop_end) return;
    const struct registers *r = (const struct registers *)g[REG_R15];
    if ((r != &in[0] && r != &in[1]) || (uint64_t)g[REG_RBX] != r->general[1] || (uint64_t)g[REG_R14] != r->general[12]) bad++;
    seen++;
}
int main(void) {
    if (without_kernel()) {
        MUST(hrt_threads_preempt(1000000) == HRT_ENOTSUP);
        return done();
    }
    find_vectors();
    one_processor();
    struct sigaction held;
    MUST(hrt_threads_preempt(2ull * 3600 * 1000000000) == -EINVAL);
    MUST(hrt_threads_preempt(1000000) == 0);
    MUST(sigaction(64, NULL, &held) == 0 && held.sa_handler == SIG_DFL);
    struct hrt_threads_info info;
    MUST(turns());
    alone();
    MUST(rounds[0] > 0 && rounds[1] > 0 && !wrong && !disturbed);
    handle(SIGALRM, tick, SA_RESTART);
    long us = pace(2000);
    struct itimerval every = {{us / 1000000, us % 1000000}, {us / 1000000, us % 1000000}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    two(spins, HRT_THREAD_PREEMPT, 8000);
    setitimer(ITIMER_REAL, &off, NULL);
    MUST(rounds[0] > 0 && rounds[1] > 0 && !wrong && !bad);
    two(computes, HRT_THREAD_TLS, 5000);
    MUST(rounds[0] > 0 && rounds[1] > 0 && !wrong);
    two(locks, HRT_THREAD_PREEMPT, 500);
    MUST(shared == 600 && rounds[2] == 2);
    if (wrong) printf("%s is not what it was\n", wrong);
    hrt_thread_t t[2];
    stop = 0;
    for (long i = 0; i < 2; i++) MUST(hrt_thread_create(&t[i], spins, (void *)i, HRT_THREAD_PREEMPT, 131072) == 0);
    usleep(20000);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(turns() ? 42 : 1);
    MUST(reap(child) == 42);
    stop = 1;
    for (int i = 0; i < 2; i++) MUST(hrt_thread_join(t[i], NULL) == 0);
    MUST(hrt_threads_info(&info) == 0 && info.live == 0);
    // A program that wants the signal gets it.
    handle(64, tick, 0);
    MUST(sigaction(64, NULL, &held) == 0 && held.sa_sigaction == tick);
    MUST(hrt_threads_preempt(1000000) == -EBUSY && hrt_threads_preempt(0) == 0);
    MUST(turns());
    return done();
}
