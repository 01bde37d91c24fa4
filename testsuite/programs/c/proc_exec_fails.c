//@ variants: dynamic-pie static
// A failing execve leaves the process as it was: handlers, mask, threads, alternate stack.
#include "check.h"
static volatile int got;
static void on(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; got++; }
int main(void) {
    char *argv[] = {"x", NULL}, *env[] = {NULL};
    handle(SIGUSR1, on, 0);
    OK(ERR(execve("/nonexistent", argv, env), ENOENT));
    OK(ERR(execve("/etc/passwd", argv, env), EACCES));
    OK(ERR(execve("/", argv, env), EACCES));
    OK(ERR(execve("", argv, env), ENOENT));
    OK(ERR(execve("/etc/passwd/x", argv, env), ENOTDIR));
    int fd = open("bad", O_CREAT | O_WRONLY, 0755);
    write(fd, "\x7f" "ELF rubbish", 12);
    close(fd);
    OK(ERR(execve("./bad", argv, env), ENOEXEC));
    char *big = malloc(200000);
    memset(big, 'a', 199999);
    big[199999] = 0;
    OK(ERR(execve("/bin/true", (char *[]){"true", big, NULL}, env), E2BIG));
    fd = open("busy", O_CREAT | O_WRONLY, 0755);
    OK(ERR(execve("./busy", argv, env), ETXTBSY));
    OK(ERR(RAW(SYS_execveat, -1, "x", argv, env, 0) * 0 + execve("./loop", argv, env), ENOENT));
    raise(SIGUSR1);
    OK(got == 1);
    OK(RAW(SYS_getpid) == getpid());
    pid_t p = fork();
    if (!p) _exit(3);
    OK(reap(p) == 3);
    return done();
}
