//@ variants: dynamic-pie no-pie static
//@ flags: -rdynamic -fno-omit-frame-pointer -fno-optimize-sibling-calls
// backtrace() from a handler walks through the signal frame into the functions below it.
#include "check.h"
#include <execinfo.h>
#include <unwind.h>
static int frames, saw_one, saw_two, saw_main;
int main(void);
__attribute__((noinline)) void two(int how);
__attribute__((noinline)) void one(int how);
static _Unwind_Reason_Code step(struct _Unwind_Context *c, void *a) {
    (void)a;
    void *f = (void *)_Unwind_GetRegionStart(c);
    frames++;
    saw_one |= f == (void *)one, saw_two |= f == (void *)two, saw_main |= f == (void *)main;
    return _URC_NO_REASON;
}
static sigjmp_buf back;
static void on(int s, siginfo_t *i, void *c) {
    (void)i, (void)c;
    void *b[50];
    frames = saw_one = saw_two = saw_main = 0;
    _Unwind_Backtrace(step, NULL);
    printf("signal %d: one %d two %d main %d\n", s, saw_one, saw_two, saw_main);
    OK(backtrace(b, 50) >= 5);
    if (s == SIGSEGV) siglongjmp(back, 1);
}
__attribute__((noinline)) void two(int how) {
    if (how == 0) *(volatile int *)8 = 1;
    else if (how == 1) RAW(SYS_kill, getpid(), SIGUSR1);
    else kill(getpid(), SIGUSR1);
    __asm__ volatile("");
}
__attribute__((noinline)) void one(int how) { two(how); __asm__ volatile(""); }
int main(void) {
    void *b[4];
    backtrace(b, 4);
    handle(SIGSEGV, on, 0);
    handle(SIGUSR1, on, 0);
    if (!sigsetjmp(back, 1)) one(0);
    one(1);
    one(2);
    return done();
}
