//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ toml: [threads]
//@ toml: preempt = "1ms"
//@ limit: 120
//@ stats: kernel_threads.preempted >= 3000
// Threads of the C library are preempted, on one processor, in libc too: registers, errno, locks of malloc and stdio, signals, cancellation, fork.
#define _GNU_SOURCE
#include <dirent.h>
#include <ucontext.h>
#include "preempt.h"
static volatile int stop;
static long rounds[4];
static struct registers in[2], out[2];
static const char *wrong;
static void *spins(void *p) {
    long i = (long)p;
    for (uint64_t n = (uint64_t)i; !stop; n += 2) {
        pattern(&in[i], n);
        spin(&in[i], &out[i], 20000 + n % 977, vector_width);
        const char *w = spun_wrong(&in[i], &out[i], vector_width);
        if (w) wrong = w;
        rounds[i]++;
        pthread_testcancel();
    }
    return p;
}
static __thread long mine;
static jmp_buf back[4];
static FILE *file;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static long shared;
static void *computes(void *p) {
    long i = (long)p;
    char *kept[20] = {0}, text[40];
    for (long n = 0; !stop; n++) {
        mine += i + 1;
        int k = n % 20;
        if (kept[k] && kept[k][n % 64] != (char)(i + k)) wrong = "the heap";
        free(kept[k]);
        kept[k] = malloc(64 + n % 5000);
        memset(kept[k], (int)i + k, 64);
        errno = (int)i + 1000;
        snprintf(text, sizeof text, "%ld %ld", i, n);
        if (close(-1) != -1 || errno != EBADF) wrong = "errno";
        fprintf(file, "%ld of %ld\n", n, i);
        pthread_mutex_lock(&m);
        long was = shared;
        errno = (int)i + 1000;
        for (volatile int j = 0; j < 2000; j++) {}
        if (errno != i + 1000) wrong = "errno, kept";
        shared = was + 1;
        pthread_mutex_unlock(&m);
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
// Linux threads of this process that have signal 64 unblocked, but for the caller.
static int carriers(pid_t *found, int most) {
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; (e = readdir(d)) && n < most;) {
        char name[300], line[200];
        pid_t tid = atoi(e->d_name);
        if (tid == 0 || tid == getpid()) continue;
        snprintf(name, sizeof name, "/proc/self/task/%s/status", e->d_name);
        FILE *f = fopen(name, "r");
        while (f && fgets(line, sizeof line, f)) {
            unsigned long blocked;
            if (sscanf(line, "SigBlk: %lx", &blocked) == 1 && !(blocked >> 63)) found[n++] = tid;
        }
        if (f) fclose(f);
    }
    closedir(d);
    return n;
}
static void several(void *(*f)(void *), int count, int times) {
    pthread_t t[4];
    pid_t on[16];
    stop = 0;
    memset(rounds, 0, sizeof rounds);
    for (long i = 0; i < count; i++) MUST(pthread_create(&t[i], NULL, f, (void *)i) == 0);
    int n = 0;
    long start = switches();
    // On a busy machine not each look finds the thread executing.
    for (int i = 0; i < 4 * times && switches() - start < times; i++) {
        if (i % 200 == 0) n = carriers(on, 16);
        for (int k = 0; k < n; k++) provoke(on[k]);
        usleep(20);
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 50000 && __atomic_load_n(&rounds[i], __ATOMIC_SEQ_CST) == 0; k++) usleep(200);
    stop = 1;
    for (int i = 0; i < count; i++) MUST(pthread_join(t[i], NULL) == 0);
    for (int i = 0; i < count; i++) MUST(rounds[i] > 0);
}
static int turns(void) {
    pthread_t t[2];
    whose = 0;
    for (long i = 0; i < 2; i++)
        if (pthread_create(&t[i], NULL, takes_turns, (void *)i)) return 0;
    for (int i = 0; i < 2; i++)
        if (pthread_join(t[i], NULL)) return 0;
    return 1;
}
// The kernel's timer alone: calls that wait are not disturbed.
static volatile long seen, bad;
static void tick(int sig, siginfo_t *info, void *c) {
    (void)sig, (void)info;
    const greg_t *g = ((ucontext_t *)c)->uc_mcontext.gregs;
    seen++;
    if (g[REG_RIP] < (greg_t)spin_loop || g[REG_RIP] >= (greg_t)spin_loop_end) return;
    const struct registers *r = (const struct registers *)g[REG_R15];
    if ((r != &in[0] && r != &in[1]) || (uint64_t)g[REG_RBX] != r->general[1] || (uint64_t)g[REG_R14] != r->general[12]) bad++;
}
int main(void) {
    find_vectors();
    one_processor();
    MUST(turns());
    pthread_t t[3];
    MUST(pipe(pipe_) == 0);
    for (long i = 0; i < 2; i++) MUST(pthread_create(&t[i], NULL, spins, (void *)i) == 0);
    MUST(pthread_create(&t[2], NULL, waits, NULL) == 0);
    for (int i = 0; i < 150; i++) {
        usleep(2000);
        MUST(write(pipe_[1], "x", 1) == 1);
    }
    MUST(pthread_join(t[2], NULL) == 0);
    stop = 1;
    for (int i = 0; i < 2; i++) MUST(pthread_join(t[i], NULL) == 0);
    MUST(rounds[0] > 0 && rounds[1] > 0 && !wrong && !disturbed);
    several(spins, 2, 4000);
    MUST(!wrong);
    file = tmpfile();
    several(computes, 4, 4000);
    MUST(!wrong && shared == rounds[0] + rounds[1] + rounds[2] + rounds[3]);
    if (wrong) printf("%s is not what it was\n", wrong);
    // Each line of all is whole.
    rewind(file);
    long lines = 0, number, of;
    char line[100];
    while (fgets(line, sizeof line, file)) {
        char again[100];
        if (sscanf(line, "%ld of %ld\n", &number, &of) != 2) bad++;
        snprintf(again, sizeof again, "%ld of %ld\n", number, of);
        if (strcmp(line, again)) bad++;
        lines++;
    }
    MUST(lines == shared && !bad);
    // Signals and cancellation reach threads that compute, whether they execute or not.
    handle(SIGUSR1, tick, SA_RESTART);
    stop = 0;
    for (long i = 0; i < 2; i++) MUST(pthread_create(&t[i], NULL, spins, (void *)i) == 0);
    for (int i = 0; i < 200; i++) {
        long was = seen;
        MUST(pthread_kill(t[i % 2], SIGUSR1) == 0);
        for (int k = 0; k < 20000 && seen == was; k++) usleep(200);
        MUST(seen == was + 1);
    }
    MUST(!bad && !wrong);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(turns() ? 42 : 1);
    MUST(reap(child) == 42);
    void *result;
    for (int i = 0; i < 2; i++) MUST(pthread_cancel(t[i]) == 0 && pthread_join(t[i], &result) == 0 && result == PTHREAD_CANCELED);
    return done();
}
