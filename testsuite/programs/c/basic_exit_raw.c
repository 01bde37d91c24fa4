//@ variants: dynamic-pie static
//@ exit: 7
// exit_group as a raw system call; only the low eight bits count.
#include "check.h"
int main(void) {
    write(1, "before\n", 7);
    RAW(SYS_exit_group, 0x1207);
    write(1, "FAILED\n", 7);
    return 1;
}
