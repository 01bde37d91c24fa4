//@ variants: dynamic-pie static
// Numbers that Linux does not know give what Linux gives: ENOSYS, with the upper half of rax cut off or not.
#include "check.h"
int main(void) {
    OK(RAW(9999) == -ENOSYS);
    OK(RAW(-1L) == -ENOSYS);
    OK(RAW(-39L) == -ENOSYS);
    OK(RAW(0x7fffffff) == -ENOSYS);
    OK(RAW(600) == -ENOSYS);
    OK(RAW(400) == -ENOSYS);
    printf("2^32 + getpid: %s\n", RAW(0x100000027L) == getpid() ? "getpid" : "an error");
    printf("2^63: %ld\n", RAW(0x8000000000000027UL) == getpid() ? 1 : RAW(0x8000000000009027UL));
    for (long n = 512; n < 548; n++) {
        long r = n == 520 || n == 545 ? -ENOSYS : RAW(n, -1L, -1L, -1L, -1L, -1L);
        printf("x32 number %ld: %ld\n", n, r < 0 ? r : 0);
    }
    long x32 = RAW(0x40000027L);
    printf("x32 getpid: %ld\n", x32 < 0 ? x32 : 0);
    return done();
}
