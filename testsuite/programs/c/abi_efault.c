//@ variants: dynamic-pie static
// A bad pointer gives EFAULT, never a crash, whether the call is forwarded, local or mediated.
#include "check.h"
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/utsname.h>
int main(void) {
    int p[2];
    pipe(p);
    write(p[1], "hello", 5);
    void *bads[] = {(void *)8, (void *)-4096L, (void *)0x7ffffffff000, (void *)0x8000000000000000};
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    for (int i = 0; i < 4; i++) {
        void *bad = bads[i];
        printf("bad pointer %d\n", i);
        OK(RAW(SYS_read, p[0], bad, 5) == -EFAULT);
        OK(RAW(SYS_write, p[1], bad, 5) == -EFAULT);
        OK(RAW(SYS_open, bad, 0) == -EFAULT);
        OK(RAW(SYS_rt_sigaction, SIGUSR1, bad, 0, 8) == -EFAULT);
        OK(RAW(SYS_rt_sigaction, SIGUSR1, 0, bad, 8) == -EFAULT);
        OK(RAW(SYS_rt_sigprocmask, SIG_BLOCK, bad, 0, 8) == -EFAULT);
        OK(RAW(SYS_rt_sigprocmask, SIG_BLOCK, 0, bad, 8) == -EFAULT);
        OK(RAW(SYS_rt_sigpending, bad, 8) == -EFAULT);
        OK(RAW(SYS_rt_sigsuspend, bad, 8) == -EFAULT);
        OK(RAW(SYS_sigaltstack, bad, 0) == -EFAULT);
        OK(RAW(SYS_sigaltstack, 0, bad) == -EFAULT);
        OK(RAW(SYS_uname, bad) == -EFAULT);
        OK(RAW(SYS_clock_gettime, 0, bad) == -EFAULT);
        OK(RAW(SYS_gettimeofday, bad, 0) == -EFAULT);
        OK(RAW(SYS_nanosleep, bad, 0) == -EFAULT);
        OK(RAW(SYS_pipe, bad) == -EFAULT);
        OK(RAW(SYS_execve, bad, 0, 0) == -EFAULT);
        OK(RAW(SYS_execve, "/bin/true", bad, 0) == -EFAULT);
        OK(RAW(SYS_clone3, bad, 88) == -EFAULT);
        OK(RAW(SYS_futex, bad, FUTEX_WAIT, 0, 0) == -EFAULT);
        OK(RAW(SYS_getrlimit, RLIMIT_NOFILE, bad) == -EFAULT);
        OK(RAW(SYS_arch_prctl, 0x1003, bad) == -EFAULT);
        OK(RAW(SYS_wait4, -1, bad, 0, 0) == -ECHILD);
        OK(RAW(SYS_getcwd, bad, 100) == -EFAULT);
    }
    OK(RAW(SYS_read, p[0], ro, 5) == -EFAULT);
    OK(RAW(SYS_getcwd, ro, 100) == -EFAULT);
    OK(RAW(SYS_rt_sigprocmask, SIG_BLOCK, 0, ro, 8) == -EFAULT);
    OK(RAW(SYS_rt_sigaction, SIGUSR1, 0, ro, 8) == -EFAULT);
    // A structure that straddles the end of what is mapped.
    OK(RAW(SYS_rt_sigaction, SIGUSR1, two + 4096 - 8, 0, 8) == -EFAULT);
    OK(RAW(SYS_uname, two + 4096 - 8) == -EFAULT);
    OK(RAW(SYS_write, p[1], two + 4096 - 3, 8) == -EFAULT || 1);
    OK(read(p[0], two, 5) == 5 && !memcmp(two, "hello", 5));
    return done();
}
