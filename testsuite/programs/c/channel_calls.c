//@ variants: dynamic-pie static
//@ limit: 60
//@ files: data
//@ flags: -Wno-stringop-overflow
//@ no-trace: a limit on the size of files holds for the trace, too
// One thread makes many short calls in a row, as a polled channel likes it, and in the midst of them all that such a channel must not
// get wrong: signals of which none may be lost, errors that come with a signal, bad addresses, forks, and what parts a thread from
// the others of its process.
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { MANY = 2000, SIGNALS = 200 };
static pid_t me, parent;
static int fd, null;
static volatile int next, wrong, limit_thread;

static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)c;
    wrong += i->si_value.sival_int != next;
    next++;
    wrong += getppid() != parent;
}
static void over(int s, siginfo_t *i, void *c) {
    (void)s, (void)i, (void)c;
    limit_thread = RAW(SYS_gettid);
}

// Calls of the C library, whose sites can be patched, and whose results are known; how many were wrong.
static int calls(int n) {
    int bad = 0;
    char text[16];
    struct stat st;
    for (int k = 0; k < n; k++) {
        switch (k % 8) {
        case 0: bad += pread(fd, text, 8, 2) != 8 || memcmp(text, "23456789", 8); break;
        case 1: bad += write(null, text, 5) != 5; break;
        case 2: bad += lseek(fd, k, SEEK_SET) != k; break;
        case 3: bad += !ERR(read(-1, text, 1), EBADF); break;
        case 4: bad += fstat(fd, &st) != 0 || st.st_size != 16; break;
        case 5: bad += lseek(fd, 0, SEEK_CUR) != k - 3; break;
        default: bad += getppid() != parent; break;
        }
    }
    return bad;
}

static void signals(void) {
    handle(SIGRTMIN, on, SA_RESTART);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < SIGNALS; i++) {
            while (sigqueue(me, SIGRTMIN, (union sigval){i})) usleep(1000);
            usleep(i % 3 * 100);
        }
        _exit(0);
    }
    int bad = 0;
    double end = now() + 30;
    while (next < SIGNALS && now() < end) bad += calls(64);
    OK(bad == 0 && wrong == 0 && next == SIGNALS);
    OK(reap(child) == 0);
}

static void errors(void) {
    OK(calls(MANY) == 0);
    OK(ERR(pread(fd, (void *)8, 8, 0), EFAULT));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(ERR(pread(fd, page, 8, 0), EFAULT));
    OK(ERR(fstat(fd, page), EFAULT));
    handle(SIGXFSZ, over, 0);
    struct rlimit r = {64, RLIM_INFINITY};
    OK(setrlimit(RLIMIT_FSIZE, &r) == 0);
    OK(calls(MANY) == 0);
    OK(ERR(pwrite(fd, "x", 1, 100), EFBIG));
    OK(limit_thread == RAW(SYS_gettid));
    r.rlim_cur = RLIM_INFINITY;
    OK(setrlimit(RLIMIT_FSIZE, &r) == 0);
    handle(SIGPIPE, over, 0);
    limit_thread = 0;
    int p[2];
    OK(pipe(p) == 0 && close(p[0]) == 0);
    OK(calls(MANY) == 0);
    OK(ERR(write(p[1], "x", 1), EPIPE) && limit_thread == RAW(SYS_gettid));
    close(p[1]);
}

// A call that waits is interrupted in the midst of others.
static void waits(void) {
    int p[2];
    char c;
    OK(pipe(p) == 0);
    handle(SIGALRM, over, 0);
    OK(calls(MANY) == 0);
    ualarm(20000, 0);
    OK(ERR(read(p[0], &c, 1), EINTR));
    OK(write(p[1], "y", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'y');
}

static void processes(void) {
    int bad = 0;
    for (int i = 0; i < 8; i++) {
        bad += calls(256);
        pid_t child = fork();
        if (child == 0) {
            int n = 0;
            for (int k = 0; k < 500; k++) n += getppid() != me;
            _exit(n ? 1 : 0);
        }
        bad += calls(256);
        bad += reap(child) != 0;
        char *argv[] = {"true", NULL}, *env[] = {NULL};
        bad += posix_spawn(&child, "/bin/true", NULL, NULL, argv, env) != 0;
        bad += calls(64);
        bad += reap(child) != 0;
    }
    OK(bad == 0);
}

static void *other(void *arg) {
    // Has descriptors of its own from here on.
    MUST(unshare(CLONE_FILES) == 0);
    close(fd);
    MUST(open("/dev/null", O_RDONLY) == fd);
    char c;
    int bad = 0;
    for (int i = 0; i < 500; i++) bad += read(fd, &c, 1) != 0;
    *(int *)arg = bad;
    return NULL;
}

static void partings(void) {
    pthread_t t;
    int bad = -1;
    OK(calls(MANY) == 0);
    OK(pthread_create(&t, NULL, other, &bad) == 0 && pthread_join(t, NULL) == 0 && bad == 0);
    OK(calls(MANY) == 0);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    OK(sched_setaffinity(0, sizeof set, &set) == 0);
    OK(calls(MANY) == 0);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    bad = 0;
    for (int i = 0; i < MANY; i++) bad += !ERR(syscall(SYS_getppid), EXDEV);
    OK(bad == 0);
}

int main(void) {
    me = getpid(), parent = getppid();
    fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0644);
    null = open("/dev/null", O_WRONLY);
    OK(write(fd, "0123456789abcdef", 16) == 16);
    signals();
    errors();
    waits();
    processes();
    partings();
    return done();
}
