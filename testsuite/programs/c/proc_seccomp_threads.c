//@ flags: -pthread
// A filter installed for all threads at once (TSYNC), while they make calls.
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
static volatile int stop;
static volatile long seen[3];
static void *body(void *a) {
    volatile long *n = a;
    while (!stop) { long r = RAW(SYS_getuid); if (r == -77) ++*n; }
    return NULL;
}
int main(void) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {4, f};
    pthread_t t[3];
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, body, (void *)&seen[i]);
    millis(5);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &p) == 0);
    for (int i = 0; i < 5000 && !(seen[0] && seen[1] && seen[2]); i++) millis(1);
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    OK(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    OK(RAW(SYS_getuid) == -77);
    return done();
}
