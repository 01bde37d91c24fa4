//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 60
//@ stats: posts.posted >= 1000
//@ no-trace: a limit on the size of files holds for the trace, too
// Signals while calls are posted, made and collected: none is lost, handlers post too, a call of the thread's own is interrupted, and a signal that goes with a call comes to
// its thread. At the end a seccomp filter, which sees the calls that were posted before it as any others.
#include "hrt_check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static volatile int seen, posted, refused, wrong, thread_id;
static int fd, null, p[2];
static pid_t parent;

static void on(int s, siginfo_t *i, void *u) {
    (void)s, (void)i, (void)u;
    seen++;
    hrt_call_t c = {0};
    long r = hrt_call_post(&c, SYS_getppid, 0, 0, 0, 0, 0, 0);
    if (r == -EBUSY) { refused++; return; }
    posted++;
    wrong += r != 0 || hrt_call_wait(&c) != 0 || c.result != parent;
}
static void storm(void) {
    handle(SIGALRM, on, SA_RESTART);
    long period = pace(300);
    struct itimerval t = {{0, period < 500000 ? period : 500000}, {0, 300}}, off = {{0, 0}, {0, 0}};
    MUST(setitimer(ITIMER_REAL, &t, NULL) == 0);
    hrt_call_t c[12];
    char text[8];
    double end = now() + 20;
    while ((seen < 200 || posted < 5) && now() < end) {
        memset(c, 0, sizeof c);
        for (int i = 0; i < 12; i++) {
            switch (i % 4) {
            case 0: MUST(hrt_call_post(&c[i], SYS_pread64, fd, (long)text, 8, i, 0, 0) == 0); break;
            case 1: MUST(hrt_call_post(&c[i], SYS_write, null, (long)text, i, 0, 0, 0) == 0); break;
            case 2: MUST(hrt_call_post(&c[i], SYS_getppid, 0, 0, 0, 0, 0, 0) == 0); break;
            default: MUST(hrt_call_post(&c[i], SYS_getpid, 0, 0, 0, 0, 0, 0) == 0); break;
            }
        }
        a_while();
        MUST(hrt_calls_wait(c, 12) == 0);
        for (int i = 0; i < 12; i++) {
            long wanted[] = {i > 8 ? 16 - i : 8, i, parent, getpid()};
            MUST(c[i].result == wanted[i % 4]);
        }
    }
    MUST(setitimer(ITIMER_REAL, &off, NULL) == 0);
    MUST(seen >= 20 && posted >= 1 && wrong == 0);
}
static void over(int s, siginfo_t *i, void *u) {
    (void)s, (void)i, (void)u;
    thread_id = RAW(SYS_gettid);
}
static void waits(void) {
    hrt_call_t c[2] = {{0}, {0}};
    char text;
    handle(SIGALRM, over, 0);
    MUST(hrt_call_post(&c[0], SYS_read, p[0], (long)&text, 1, 0, 0, 0) == 0 && hrt_call_post(&c[1], SYS_getppid, 0, 0, 0, 0, 0, 0) == 0);
    MUST(hrt_call_done(&c[1]) != 1);
    ualarm(20000, 0);
    MUST(hrt_call_wait(&c[1]) == 0 && hrt_call_wait(&c[0]) == 0);
    MUST(c[0].result == -EINTR && c[1].result == parent && thread_id == RAW(SYS_gettid));
    // A handler that interrupts such a call may post, and what it posts is made at once.
    handle(SIGALRM, on, 0);
    int before = posted;
    MUST(hrt_call_post(&c[0], SYS_nanosleep, (long)&(struct timespec){1, 0}, 0, 0, 0, 0, 0) == 0);
    ualarm(20000, 0);
    MUST(hrt_call_wait(&c[0]) == 0 && c[0].result == -EINTR && posted == before + 1 && wrong == 0);
    // It goes on after the handler, where Linux would let it go on.
    handle(SIGALRM, on, SA_RESTART);
    MUST(hrt_call_post(&c[0], SYS_read, p[0], (long)&text, 1, 0, 0, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        millis(60);
        _exit(write(p[1], "z", 1) != 1);
    }
    ualarm(20000, 0);
    MUST(hrt_call_wait(&c[0]) == 0 && c[0].result == 1 && text == 'z' && reap(child) == 0);
}
static void limits(void) {
    struct rlimit r = {64, RLIM_INFINITY};
    hrt_call_t c[2] = {{0}, {0}};
    handle(SIGXFSZ, over, 0);
    thread_id = 0;
    MUST(setrlimit(RLIMIT_FSIZE, &r) == 0);
    MUST(hrt_call_post(&c[0], SYS_pwrite64, fd, (long)"x", 1, 100, 0, 0) == 0 && hrt_call_post(&c[1], SYS_getppid, 0, 0, 0, 0, 0, 0) == 0);
    millis(1);
    MUST(hrt_calls_wait(c, 2) == 0 && c[0].result == -EFBIG && c[1].result == parent && thread_id == RAW(SYS_gettid));
    r.rlim_cur = RLIM_INFINITY;
    MUST(setrlimit(RLIMIT_FSIZE, &r) == 0);
}
static void jail(void) {
    hrt_call_t c[8], own = {0};
    memset(c, 0, sizeof c);
    MUST(ftruncate(fd, 0) == 0);
    for (int i = 0; i < 8; i++) MUST(hrt_call_post(&c[i], SYS_pwrite64, fd, (long)"x", 1, i, 0, 0) == 0);
    MUST(hrt_call_post(&own, SYS_getpriority, 0, 0, 0, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
    };
    struct sock_fprog program = {5, code};
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    // They came before it.
    struct stat st;
    MUST(fstat(fd, &st) == 0 && st.st_size == 8);
    MUST(hrt_calls_wait(c, 8) == 0 && c[7].result == 1);
    MUST(hrt_call_wait(&own) == 0 && own.result == -EXDEV);
    for (int i = 0; i < 100; i++) {
        MUST(hrt_call_post(&c[0], SYS_getppid, 0, 0, 0, 0, 0, 0) == 0 && hrt_call_post(&c[1], SYS_pwrite64, fd, (long)"y", 1, 8 + i, 0, 0) == 0);
        MUST(hrt_calls_wait(c, 2) == 0 && c[0].result == -EXDEV && c[1].result == 1);
    }
    MUST(fstat(fd, &st) == 0 && st.st_size == 108);
}
int main(void) {
    if (without_kernel()) return done();
    parent = getppid();
    char name[] = "hrt_call_XXXXXX";
    fd = mkstemp(name);
    unlink(name);
    null = open("/dev/null", O_WRONLY);
    MUST(write(fd, "0123456789abcdef", 16) == 16 && pipe(p) == 0);
    storm();
    waits();
    limits();
    storm();
    jail();
    return done();
}
