//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 60
//@ stats: posts.posted >= 100
// Calls that are posted and not collected when their thread or process forks, execs, ends, or gets another identity: they are made before that as far as a server may make
// them, once, and by the right process.
#include "hrt_check.h"
#include <spawn.h>
static int fd, p[2];
static off_t size(void) {
    struct stat st;
    MUST(fstat(fd, &st) == 0);
    return st.st_size;
}
static void post(hrt_call_t *c, int n) {
    for (int i = 0; i < n; i++) MUST(hrt_call_post(&c[i], SYS_write, fd, (long)"x", 1, 0, 0, 0) == 0);
}
static void empty(void) { MUST(ftruncate(fd, 0) == 0); }
static hrt_call_t c[8], own, other;
// Wakes the server, if there is a core for it.
static void wake(void) {
    for (int i = 0; i < 20; i++) {
        memset(c, 0, sizeof c);
        post(c, 8);
        a_while();
        MUST(hrt_calls_wait(c, 8) == 0);
    }
    memset(c, 0, sizeof c);
}

static void forks(void) {
    memset(c, 0, sizeof c);
    for (int i = 0; i < 20; i++) {
        if (i % 2) wake();
        empty();
        post(c, 8);
        MUST(hrt_call_post(&own, SYS_gettid, 0, 0, 0, 0, 0, 0) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            int bad = size() != 8 || hrt_calls_wait(c, 8) != 0;
            for (int k = 0; k < 8; k++) bad += c[k].result != 1;
            // Only its thread could have made it, and it is the parent's.
            bad += hrt_call_wait(&own) != 0 || own.result != -ECANCELED;
            memset(c, 0, sizeof c);
            post(c, 4);
            bad += hrt_calls_wait(c, 4) != 0 || size() != 12;
            MUST(hrt_call_post(&own, SYS_getppid, 0, 0, 0, 0, 0, 0) == 0 && hrt_call_wait(&own) == 0);
            bad += own.result != getppid();
            post(c, 3); // made before the end
            _exit(bad ? 1 : 0);
        }
        MUST(reap(pid) == 0 && size() == 15);
        MUST(hrt_calls_wait(c, 8) == 0 && hrt_call_wait(&own) == 0 && own.result == RAW(SYS_gettid));
    }
}
static volatile int stage;
static void *posts_and_waits(void *q) {
    MUST(hrt_call_post(&other, SYS_gettid, 0, 0, 0, 0, 0, 0) == 0);
    stage = 1;
    while (stage == 1) usleep(100);
    MUST(hrt_call_wait(&other) == 0 && other.result == RAW(SYS_gettid));
    return q;
}
// What another thread has posted is not the child's.
static void of_others(void) {
    pthread_t t;
    MUST(pthread_create(&t, NULL, posts_and_waits, NULL) == 0);
    while (stage == 0) usleep(100);
    pid_t pid = fork();
    if (pid == 0) _exit(hrt_call_wait(&other) == -EPERM ? 0 : 1);
    MUST(reap(pid) == 0);
    stage = 2;
    MUST(pthread_join(t, NULL) == 0);
}
static void *ends(void *q) {
    hrt_call_t mine[8];
    memset(mine, 0, sizeof mine);
    post(mine, 8);
    if (q) MUST(hrt_call_post(&mine[7], SYS_write, p[1], (long)"y", 1, 0, 0, 0) == -EBUSY);
    return q;
}
static void threads(void) {
    for (long i = 0; i < 40; i++) {
        pthread_t t;
        hrt_thread_t k;
        wake();
        empty();
        MUST(pthread_create(&t, NULL, ends, (void *)(i % 2)) == 0 && pthread_join(t, NULL) == 0 && size() == 8);
        MUST(hrt_thread_create(&k, ends, (void *)(i % 2), 0, 1 << 18) == 0 && hrt_thread_join(k, NULL) == 0 && size() == 16);
    }
}
static void execs(void) {
    for (int i = 0; i < 4; i++) {
        empty();
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            hrt_call_t mine[8];
            memset(mine, 0, sizeof mine);
            post(mine, 8);
            if (i == 0) execl("/bin/true", "true", (char *)NULL);
            if (i == 1) exit(0);
            if (i == 2) RAW(SYS_exit, 0);
            execl("/nothing/there", "there", (char *)NULL);
            _exit(hrt_calls_wait(mine, 8) == 0 && mine[7].result == 1 ? 0 : 1);
        }
        MUST(reap(pid) == 0 && size() == 8);
    }
}
// A process that shares the memory posts for itself; a spawned one is none of it.
static void shared(void) {
    empty();
    memset(c, 0, sizeof c);
    post(c, 8);
    pid_t pid = vfork();
    if (pid == 0) {
        static hrt_call_t mine;
        int bad = hrt_call_post(&mine, SYS_getppid, 0, 0, 0, 0, 0, 0) != 0 || hrt_call_wait(&mine) != 0 || mine.result != RAW(SYS_getppid);
        bad += hrt_call_wait(&c[0]) != -EPERM && c[0].result != 1;
        _exit(bad ? 1 : 0);
    }
    MUST(reap(pid) == 0);
    char *argv[] = {"true", NULL}, *env[] = {NULL};
    MUST(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, env) == 0 && reap(pid) == 0);
    MUST(hrt_calls_wait(c, 8) == 0 && size() == 8);
}
static void *has_its_own(void *q) {
    hrt_call_t mine = {0};
    char byte;
    MUST(hrt_call_post(&mine, SYS_write, fd, (long)"x", 1, 0, 0, 0) == 0);
    MUST(unshare(CLONE_FILES) == 0);
    long before = size();
    MUST(hrt_call_wait(&mine) == 0 && mine.result == 1);
    close(fd);
    MUST(open("/dev/null", O_RDWR) == fd);
    for (int i = 0; i < 200; i++) {
        MUST(hrt_call_post(&mine, SYS_read, fd, (long)&byte, 1, 0, 0, 0) == 0);
        if (i % 3 == 0) usleep(10);
        MUST(hrt_call_wait(&mine) == 0 && mine.result == 0);
    }
    *(long *)q = before;
    return q;
}
int main(void) {
    if (without_kernel()) return done();
    char name[] = "hrt_call_XXXXXX";
    fd = mkostemp(name, O_APPEND);
    unlink(name);
    MUST(pipe(p) == 0);
    forks();
    of_others();
    threads();
    execs();
    shared();
    forks();
    empty();
    long before = -1;
    pthread_t t;
    MUST(pthread_create(&t, NULL, has_its_own, &before) == 0 && pthread_join(t, NULL) == 0 && before == 1 && size() == 1);
    forks();
    threads();
    MUST(setgid(getgid()) == 0);
    forks();
    return done();
}
