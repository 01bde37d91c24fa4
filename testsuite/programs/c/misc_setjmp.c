//@ variants: dynamic-pie static musl
// setjmp and longjmp, getcontext and setcontext around system calls.
#include "check.h"
static jmp_buf j;
__attribute__((noinline)) static void leap(int v) { RAW(SYS_getppid); longjmp(j, v); }
int main(void) {
    volatile int n = 0;
    int v = setjmp(j);
    n++;
    printf("came back with %d\n", v);
    if (v < 10) leap(v + 1);
    OK(n == 11);
    return done();
}
