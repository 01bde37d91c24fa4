// The legacy vsyscall page, where the kernel has it: called, not read.
#include "check.h"
static sigjmp_buf back;
static void fault(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; siglongjmp(back, 1); }
int main(void) {
    handle(SIGSEGV, fault, 0);
    if (sigsetjmp(back, 1)) CANNOT("no vsyscall page on this kernel");
    time_t (*vtime)(time_t *) = (void *)0xffffffffff600400;
    time_t a = time(NULL), b = vtime(NULL), c = time(NULL);
    OK(a <= b + 1 && b <= c + 1);
    return done();
}
