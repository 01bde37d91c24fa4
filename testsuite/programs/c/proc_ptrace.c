// A small tracer, which passes signals on as strace and gdb do: TRACEME and exec, then ATTACH to a running child, peek and poke, continue, detach.
#include "check.h"
#include <sys/ptrace.h>
#include <sys/user.h>
static volatile long cell = 41;
static volatile int rounds;
// Waits for a stop by `sig`; a stop by SIGSYS, which is how Syscall User Dispatch shows itself to tracers, is passed on.
static int stopped(pid_t p, int sig) {
    int st;
    while (waitpid(p, &st, 0) == p && WIFSTOPPED(st)) {
        if (WSTOPSIG(st) == sig) return 1;
        if (WSTOPSIG(st) != SIGSYS) return 0;
        ptrace(PTRACE_CONT, p, 0, SIGSYS);
    }
    return 0;
}
int main(void) {
    pid_t p = fork();
    if (!p) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    OK(stopped(p, SIGSTOP));
    OK(ptrace(PTRACE_CONT, p, 0, 0) == 0);
    OK(stopped(p, SIGTRAP));
    OK(ptrace(PTRACE_CONT, p, 0, 0) == 0);
    OK(reap(p) == 0);
    p = fork();
    if (!p) {
        while (cell != 42) { rounds++; RAW(SYS_getppid); }
        _exit(17);
    }
    millis(10);
    OK(ptrace(PTRACE_ATTACH, p, 0, 0) == 0);
    OK(stopped(p, SIGSTOP));
    OK(ptrace(PTRACE_PEEKDATA, p, &cell, 0) == 41);
    struct user_regs_struct r;
    OK(ptrace(PTRACE_GETREGS, p, 0, &r) == 0 && r.rip != 0);
    OK(ptrace(PTRACE_SETREGS, p, 0, &r) == 0);
    OK(ptrace(PTRACE_POKEDATA, p, &cell, 42) == 0);
    OK(ptrace(PTRACE_DETACH, p, 0, 0) == 0);
    OK(reap(p) == 17);
    // A program that finds out whether it is traced.
    OK(ERR(ptrace(PTRACE_CONT, getpid(), 0, 0), ESRCH));
    return done();
}
