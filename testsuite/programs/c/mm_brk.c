//@ variants: dynamic-pie static static-pie
// brk: growth, shrinking, contents kept, refusal under a limit with the old break answered.
#include "check.h"
#include <sys/resource.h>
int main(void) {
    printf("the buffer of stdout comes first\n");
    char *a = (char *)RAW(SYS_brk, 0);
    char *page = (char *)(((uintptr_t)a + 4095) & -4096);
    OK(RAW(SYS_brk, page + 65536) == (long)(page + 65536));
    memset(page, 5, 65536);
    OK(RAW(SYS_brk, page + 4096) == (long)(page + 4096));
    OK(RAW(SYS_brk, page + 8192) == (long)(page + 8192));
    OK(page[4095] == 5 && page[4096] == 0);
    OK(RAW(SYS_brk, 8) == (long)(page + 8192));
    OK(RAW(SYS_brk, -1) == (long)(page + 8192));
    struct rlimit rl = {1 << 20, 1 << 20};
    OK(setrlimit(RLIMIT_DATA, &rl) == 0);
    OK(RAW(SYS_brk, page + (64 << 20)) == (long)(page + 8192));
    OK(sbrk(0) != (void *)-1);
    return done();
}
