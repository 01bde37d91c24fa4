//@ variants: dynamic-pie static
// Sandboxes: strict mode (read, write, exit only), and a filter that allows read, write and exit_group only.
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
int main(void) {
    pid_t p = fork();
    if (!p) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) RAW(SYS_exit, 9);
        RAW(SYS_write, 1, "from strict mode\n", 17);
        RAW(SYS_exit, 3);
    }
    OK(reap(p) == 3);
    p = fork();
    if (!p) {
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
        RAW(SYS_getppid);
        RAW(SYS_exit, 3);
    }
    OK(reap(p) == 1000 + SIGKILL);
    p = fork();
    if (!p) {
        struct sock_filter f[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog prog = {6, f};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) _exit(100);
        for (int i = 0; i < 100; i++) RAW(SYS_read, -1, 0, 0);
        RAW(SYS_write, 1, "from the filter\n", 16);
        RAW(SYS_exit_group, 5);
    }
    OK(reap(p) == 5);
    return done();
}
