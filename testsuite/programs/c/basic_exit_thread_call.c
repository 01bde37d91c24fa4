//@ exit: 9
// exit (not exit_group) of the only thread ends the process.
#include "check.h"
int main(void) {
    write(1, "before\n", 7);
    RAW(SYS_exit, 9);
    return 1;
}
