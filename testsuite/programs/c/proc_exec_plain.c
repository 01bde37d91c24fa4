//@ variants: dynamic-pie static
//@ stats: none the image is replaced
//@ exit: 6
// exec of a plain program with signals blocked and a handler set: it starts as Linux starts it.
#include "check.h"
int main(void) {
    printf("before\n");
    handle(SIGUSR1, (void (*)(int, siginfo_t *, void *))exit, SA_ONSTACK);
    execl("/bin/sh", "sh", "-c", "echo from sh; grep -E 'SigBlk|SigIgn|SigCgt|NoNewPrivs|^Seccomp:' /proc/self/status; exit 6", NULL);
    return 1;
}
