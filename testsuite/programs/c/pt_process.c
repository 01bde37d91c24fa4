//@ variants: dynamic-pie static musl
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 20
// Kernel threads and their process: blocked reads, stdio and malloc by many, fork and exec from a thread, robust mutexes, attributes, the first thread's end.
#include "check.h"
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t robust;
static int pipe_[2];
static long got;
static void *reads(void *p) {
    char b;
    MUST(read(pipe_[0], &b, 1) == 1);
    __atomic_add_fetch(&got, b, __ATOMIC_SEQ_CST);
    return p;
}
static void *writes(void *p) {
    FILE *f = p;
    for (int i = 0; i < 200; i++) fprintf(f, "one line of some length, number %d\n", i);
    return p;
}
static void *allocates(void *p) {
    void *kept[50] = {0};
    for (int i = 0; i < 3000; i++) {
        int k = i % 50;
        free(kept[k]);
        kept[k] = malloc(16 + i % 700);
        memset(kept[k], i, 16 + i % 700);
        if (i % 64 == 0) sched_yield();
    }
    for (int k = 0; k < 50; k++) free(kept[k]);
    return p;
}
static void *adds(void *p) {
    pthread_mutex_lock(&m);
    ++*(long *)p;
    pthread_mutex_unlock(&m);
    return p;
}
static void *forks(void *p) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        long n = 0;
        pthread_t t[4];
        for (int i = 0; i < 4; i++) MUST(pthread_create(&t[i], NULL, adds, &n) == 0);
        for (int i = 0; i < 4; i++) MUST(pthread_join(t[i], NULL) == 0);
        MUST(syscall(SYS_gettid) == getpid());
        MUST(pthread_kill(pthread_self(), 0) == 0);
        _exit(n == 4 && !failures ? 42 : 1);
    }
    MUST(reap(child) == 42);
    MUST(system("exit 3") == 3 << 8);
    return p;
}
static void *dies(void *p) { MUST(pthread_mutex_lock(&robust) == 0); return p; }
static void *attributes(void *p) {
    pthread_attr_t a;
    void *stack;
    size_t size;
    (void)p;
#ifdef __GLIBC__
    MUST(pthread_getattr_np(pthread_self(), &a) == 0);
    MUST(pthread_attr_getstack(&a, &stack, &size) == 0);
    MUST((char *)&a > (char *)stack && (char *)&a < (char *)stack + size);
    MUST(sched_getcpu() >= 0);
    cpu_set_t set;
    MUST(pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
#else
    (void)a, (void)stack, (void)size;
#endif
    return NULL;
}
static void *last(void *p) {
    millis(100);
    printf("the last one\n");
    done();
    fflush(stdout);
    return p;
}
int main(void) {
    pthread_t t[32];
    MUST(pipe(pipe_) == 0);
    for (int i = 0; i < 16; i++) MUST(pthread_create(&t[i], NULL, reads, NULL) == 0);
    long n = 0;
    for (int i = 16; i < 32; i++) MUST(pthread_create(&t[i], NULL, adds, &n) == 0);
    for (int i = 16; i < 32; i++) MUST(pthread_join(t[i], NULL) == 0);
    OK(n == 16 && got == 0);
    for (int i = 0; i < 16; i++) MUST(write(pipe_[1], "\1", 1) == 1);
    for (int i = 0; i < 16; i++) MUST(pthread_join(t[i], NULL) == 0);
    OK(got == 16);
    FILE *f = tmpfile();
    for (int i = 0; i < 8; i++) MUST(pthread_create(&t[i], NULL, writes, f) == 0);
    for (int i = 0; i < 8; i++) MUST(pthread_join(t[i], NULL) == 0);
    rewind(f);
    char line[100];
    int lines = 0, good = 0, number;
    while (fgets(line, sizeof line, f)) {
        lines++;
        good += sscanf(line, "one line of some length, number %d\n", &number) == 1;
    }
    OK(lines == 1600 && good == 1600);
    for (int i = 0; i < 8; i++) MUST(pthread_create(&t[i], NULL, allocates, NULL) == 0);
    for (int i = 0; i < 8; i++) MUST(pthread_join(t[i], NULL) == 0);
    MUST(pthread_create(&t[0], NULL, forks, NULL) == 0);
    OK(pthread_join(t[0], NULL) == 0);
    for (int shared = 0; shared < 2; shared++) {
        pthread_mutexattr_t a;
        pthread_mutexattr_init(&a);
        MUST(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
        MUST(pthread_mutexattr_setpshared(&a, shared) == 0);
        MUST(pthread_mutex_init(&robust, &a) == 0);
        MUST(pthread_create(&t[0], NULL, dies, NULL) == 0);
        OK(pthread_join(t[0], NULL) == 0);
        OK(pthread_mutex_lock(&robust) == EOWNERDEAD);
        OK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
        MUST(pthread_mutex_destroy(&robust) == 0);
    }
    MUST(pthread_create(&t[0], NULL, attributes, NULL) == 0);
    OK(pthread_join(t[0], NULL) == 0);
    MUST(pthread_create(&t[0], NULL, last, NULL) == 0);
    pthread_exit(NULL);
}
