//@ kvm-line: set: 0 => set: -22
//@ hosted-line: set: 0 => set: -22
// Syscall User Dispatch asked for by the program itself: on hosted, where the kernel uses it, the answer is that of a
// Linux without it (EINVAL); programs must cope with that one.
#include "check.h"
#include <sys/prctl.h>
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
int main(void) {
    static char selector = 0;
    long r = RAW(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector);
    printf("set: %ld\n", r);
    if (!r) RAW(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
    OK(RAW(SYS_getpid) == getpid());
    return done();
}
