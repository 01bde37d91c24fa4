//@ variants: dynamic-pie static
// clone3 by hand: as a thread, as a process with an exit signal and pidfd, and what it refuses.
#include "check.h"
#include <linux/futex.h>
#include <linux/sched.h>
static int ran;
static volatile int tid;
static void body(void) { ran = 1; RAW(SYS_exit, 0); }
static long thread(struct clone_args *a) {
    long ret;
    __asm__ volatile("mov %3, %%r12; syscall; test %%rax, %%rax; jnz 1f; xor %%ebp, %%ebp; call *%%r12; hlt\n1:"
        : "=a"(ret) : "a"(SYS_clone3), "D"(a), "r"((void *)body), "S"(sizeof *a) : "rcx", "r11", "r12", "memory");
    return ret;
}
int main(void) {
    char *stack = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct clone_args a = {.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
        .parent_tid = (long)&tid, .child_tid = (long)&tid, .stack = (long)stack, .stack_size = 8192};
    OK(thread(&a) > 0);
    for (int t; (t = tid);) RAW(SYS_futex, &tid, FUTEX_WAIT, t, 0);
    OK(ran == 1);
    int pidfd = -1;
    struct clone_args f = {.flags = CLONE_PIDFD, .pidfd = (long)&pidfd, .exit_signal = SIGCHLD};
    long pid = RAW(SYS_clone3, &f, sizeof f);
    if (pid == 0) _exit(RAW(SYS_getpid) == getpid() ? 12 : 13);
    OK(pidfd >= 0);
    OK(reap(pid) == 12);
    OK(RAW(SYS_clone3, &f, 3) == -EINVAL);
    OK(RAW(SYS_clone3, 0, 88) == -EFAULT);
    f.flags = CLONE_THREAD;
    OK(RAW(SYS_clone3, &f, sizeof f) == -EINVAL);
    f.flags = CLONE_CLEAR_SIGHAND;
    signal(SIGUSR1, SIG_IGN);
    handle(SIGUSR2, (void (*)(int, siginfo_t *, void *))body, 0);
    pid = RAW(SYS_clone3, &f, sizeof f);
    if (pid == 0) {
        struct sigaction s1, s2;
        sigaction(SIGUSR1, NULL, &s1);
        sigaction(SIGUSR2, NULL, &s2);
        _exit((s1.sa_handler == SIG_IGN) * 2 + (s2.sa_handler == SIG_DFL));
    }
    OK(reap(pid) == 3);
    return done();
}
