//@ variants: dynamic-pie static
// System-call sites that are awkward to patch: jumped into, at the end of a page, back to back, with prefixes.
#include "check.h"
// A jump lands right behind the mov, on the syscall itself.
static long jumped(long nr, int skip) {
    long ret;
    __asm__ volatile("test %2, %2; mov %1, %%rax; jnz 1f; mov $39, %%eax\n1: syscall"
        : "=&a"(ret) : "r"(nr), "r"(skip) : "rcx", "r11", "memory", "cc");
    return ret;
}
// Two in a row: the second one's number is the first one's result.
static long twice(void) {
    long ret;
    __asm__ volatile("mov $9999, %%eax; syscall; syscall; syscall" : "=a"(ret) :: "rcx", "r11", "memory");
    return ret;
}
// A branch target right behind the instruction.
static long loop(long n) {
    long sum;
    __asm__ volatile("xor %%ebx, %%ebx\n1: mov $110, %%eax; syscall\n2: dec %1; js 3f; inc %%rbx; test $1, %1; jz 2b; jmp 1b\n3: mov %%rbx, %0"
        : "=r"(sum), "+r"(n) :: "rax", "rbx", "rcx", "r11", "memory", "cc");
    return sum;
}
static long prefixed(void) {
    long ret;
    __asm__ volatile(".byte 0x48, 0x0f, 0x05" : "=a"(ret) : "a"(39L) : "rcx", "r11", "memory");
    return ret;
}
// The bytes 0f 05 within another instruction are none of our business.
static unsigned inside(void) {
    unsigned v;
    __asm__ volatile("mov $0x050f050f, %0" : "=r"(v));
    return v;
}
static unsigned long inside64(void) {
    unsigned long v;
    __asm__ volatile("movabs $0x050f27b8050f0000, %0; jmp 1f; .byte 0x0f, 0x05, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05\n1:" : "=r"(v));
    return v;
}
int main(void) {
    for (int turn = 0; turn < 300; turn++) {
        MUST(jumped(SYS_getppid, 1) == getppid());
        MUST(jumped(SYS_getppid, 0) == getpid());
        MUST(twice() == -ENOSYS);
        MUST(loop(10) == 10);
        MUST(prefixed() == getpid());
        MUST(inside() == 0x050f050f);
        MUST(inside64() == 0x050f27b8050f0000);
    }
    // `syscall; ret` as the last bytes before a page of another kind.
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(m + 4096 - 8, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
    mprotect(m, 4096, PROT_READ | PROT_EXEC);
    mprotect(m + 4096, 4096, PROT_NONE);
    for (int i = 0; i < 100; i++) MUST(((int (*)(void))(m + 4096 - 8))() == getpid());
    // And one across two pages.
    mprotect(m, 8192, PROT_READ | PROT_WRITE);
    memcpy(m + 4096 - 6, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
    mprotect(m, 8192, PROT_READ | PROT_EXEC);
    for (int i = 0; i < 100; i++) MUST(((int (*)(void))(m + 4096 - 6))() == getpid());
    return done();
}
