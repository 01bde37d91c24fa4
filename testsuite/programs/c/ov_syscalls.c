//@ variants: dynamic-pie static
//@ toml: [syscalls]
//@ toml: getpgid = { deny = "EPERM" }
//@ toml: sched_getparam = { deny = "ENOSYS" }
//@ toml: clone3 = { deny = "ENOSYS" }
//@ toml: getpid = "forward"
//@ toml: gettid = "local"
//@ flags: -pthread
//@ hosted-line: getpgid 0 => getpgid -1
//@ kvm-line: getpgid 0 => getpgid -1
//@ hosted-line: sched_getparam 0 => sched_getparam -38
//@ kvm-line: sched_getparam 0 => sched_getparam -38
//@ hosted-line: clone3 -22 => clone3 -38
//@ kvm-line: clone3 -22 => clone3 -38
//@ stats: by_number.121.local >= 4
//@ stats: by_number.121.forwarded == 0
//@ stats: by_number.39.forwarded >= 3
//@ stats: by_number.39.local == 0
//@ stats: by_number.186.local >= 3
//@ stats: by_number.435.local >= 1
//@ stats: by_number.435.mediated == 0
//@ stats: threads == 3
// Calls that the configuration denies fail without going to Linux, in threads and children too; a C library that is denied clone3 takes
// clone.
#include "check.h"
static long denied(void) { return RAW(SYS_getpgid, 0); }
static void *thread(void *arg) {
    (void)arg;
    return (void *)(denied() < 0 ? -1L : 0L);
}
int main(void) {
    struct sched_param param;
    // Three times: a site's first call traps.
    long r = 0;
    for (int i = 0; i < 3; i++) {
        r = denied();
        MUST(RAW(SYS_getpid) == getpid() && RAW(SYS_gettid) == getpid());
    }
    printf("getpgid %d\n", r < 0 ? -1 : 0);
    printf("sched_getparam %ld\n", RAW(SYS_sched_getparam, 0, &param));
    printf("clone3 %ld\n", RAW(SYS_clone3, 0, 0));
    pthread_t t;
    void *same;
    MUST(pthread_create(&t, NULL, thread, NULL) == 0 && pthread_join(t, &same) == 0);
    OK((long)same == (r < 0 ? -1L : 0L));
    pid_t pid = fork();
    if (pid == 0) _exit((denied() < 0) == (r < 0) ? 3 : 4);
    OK(reap(pid) == 3);
    return done();
}
