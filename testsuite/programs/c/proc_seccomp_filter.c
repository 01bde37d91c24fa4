//@ variants: dynamic-pie static
// The program's own seccomp filter: ERRNO for one call, death by SIGSYS or a SIGSYS handler for others.
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
static void filter(int nr, unsigned action) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) _exit(100);
}
static volatile int nr, code;
static void on(int s, siginfo_t *i, void *c) {
    (void)s;
    nr = i->si_syscall;
    code = i->si_code;
    ((ucontext_t *)c)->uc_mcontext.gregs[REG_RAX] = 1234;
}
int main(void) {
    pid_t p = fork();
    if (!p) { filter(SYS_getppid, SECCOMP_RET_ERRNO | 77); _exit(RAW(SYS_getppid) == -77 && RAW(SYS_getppid) == -77 ? 3 : 4); }
    OK(reap(p) == 3);
    p = fork();
    if (!p) { RAW(SYS_getppid); filter(SYS_getppid, SECCOMP_RET_KILL_PROCESS); RAW(SYS_getppid); _exit(4); }
    OK(reap(p) == 1000 + SIGSYS);
    p = fork();
    if (!p) {
        handle(SIGSYS, on, 0);
        filter(SYS_getppid, SECCOMP_RET_TRAP | 5);
        long r = RAW(SYS_getppid);
        _exit(r == 1234 && nr == SYS_getppid && code == 1 /* SYS_SECCOMP */ ? 6 : 7);
    }
    OK(reap(p) == 6);
    // Even calls that the HRT kernel could serve alone are the filter's to refuse. Documented if it is otherwise.
    p = fork();
    if (!p) { filter(SYS_getuid, SECCOMP_RET_ERRNO | 5); _exit(RAW(SYS_getuid) == -5 ? 8 : 9); }
    OK(reap(p) == 8);
    return done();
}
