//@ variants: dynamic-pie static
//@ flags: -pthread
//@ model: accelerator
//@ stats: kernel_threads.created >= 10
// The accelerator model: no kernel before hrt_init, functions invoked after it, in this process and in a child. Handlers and threads of before go on.
#include "hrt_check.h"
static long sum(long a, long b, long c, long d, long e, long f) { return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f; }
static long none(void) { return 77; }
static volatile long handled;
static void on(int sig, siginfo_t *info, void *c) { (void)info, (void)c; handled += sig; }
static long raises(void) { raise(SIGUSR1); return handled; }
static int gate[2];
static void *waits(void *p) { char c; MUST(read(gate[0], &c, 1) == 1); return p; }
int main(void) {
    struct hrt_info info;
    handle(SIGUSR1, on, 0);
    raise(SIGUSR1);
    OK(hrt_get_info(&info) == HRT_ENOTSUP);
    pthread_t p;
    MUST(pipe(gate) == 0);
    MUST(pthread_create(&p, NULL, waits, NULL) == 0);
    long busy = hrt_init();
    MUST(busy == HRT_ENOTSUP || busy == -EBUSY);
    MUST(write(gate[1], "x", 1) == 1 && pthread_join(p, NULL) == 0);
    long r = hrt_init();
    for (int i = 0; r == -EBUSY && i < 1000; i++) { millis(1); r = hrt_init(); } // Linux's part of the thread's end
    if (r != 0) {
        MUST(r == HRT_ENOTSUP && hrt_invoke(NULL, none) == HRT_ENOTSUP);
        return done();
    }
    MUST(hrt_init() == 0 && hrt_get_info(&info) == 0 && hrt_threads_by_pthread() == 0);
    void *v = NULL;
    MUST(hrt_invoke(&v, sum, 1, 2, 3, 4, 5, 6) == 0 && (long)v == 91);
    MUST(hrt_invoke(&v, none) == 0 && (long)v == 77);
    MUST(hrt_invoke_n(&v, (void *)none, NULL, 7) == -EINVAL);
    hrt_thread_t t[10];
    for (long i = 0; i < 10; i++) MUST(hrt_invoke_async(&t[i], sum, i, i, i, i, i, i) == 0);
    for (long i = 0; i < 10; i++) MUST(hrt_thread_join(t[i], &v) == 0 && (long)v == 21 * i);
    MUST(hrt_invoke(&v, raises) == 0 && (long)v == 2 * SIGUSR1);
    raise(SIGUSR1);
    MUST(handled == 3 * SIGUSR1);
    char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(hrt_merge(m, 1 << 20) == 0 && m[5000] == 0);
    unsigned char in = 0;
    MUST(mincore(m + (1 << 20) - 4096, 4096, &in) == 0 && in == 1);
    m[5000] = 7;
    MUST(hrt_unmerge(m, 1 << 20) == 0 && m[5000] == 7);
    munmap(m, 1 << 20);
    MUST(hrt_merge(m, 1 << 20) == -ENOMEM);
    pid_t pid = fork();
    if (pid == 0) _exit(hrt_invoke(&v, none) == 0 ? (int)(long)v : 1);
    MUST(reap(pid) == 77);
    MUST(pthread_create(&p, NULL, waits, NULL) == 0 && write(gate[1], "x", 1) == 1 && pthread_join(p, NULL) == 0);
    return done();
}
