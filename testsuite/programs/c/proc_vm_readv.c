// process_vm_readv and writev of a child, and /proc/PID/mem.
#include "check.h"
#include <sys/uio.h>
static volatile int cell = 5;
int main(void) {
    pid_t p = fork();
    if (!p) { while (cell == 5) millis(1); _exit(cell); }
    int v = 0;
    struct iovec l = {&v, 4}, r = {(void *)&cell, 4};
    OK(process_vm_readv(p, &l, 1, &r, 1, 0) == 4 && v == 5);
    v = 44;
    OK(process_vm_writev(p, &l, 1, &r, 1, 0) == 4);
    OK(reap(p) == 44);
    OK(cell == 5);
    return done();
}
