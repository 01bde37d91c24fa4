//@ variants: no-pie
// int 0x80, the 32-bit gate, from 64-bit code: getpid there is number 20.
#include "check.h"
static sigjmp_buf back;
static void fault(int s, siginfo_t *i, void *c) { (void)s, (void)i, (void)c; siglongjmp(back, 1); }
static int word; // at a low address in a fixed-position program
static char text[] = "through the gate\n";
int main(void) {
    handle(SIGSEGV, fault, 0);
    handle(SIGILL, fault, 0);
    if (sigsetjmp(back, 1)) CANNOT("no int 0x80 on this kernel");
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "r8", "r9", "r10", "r11", "memory");
    if (r == -ENOSYS) CANNOT("no int 0x80 on this kernel");
    OK(r == getpid());
    // time(2) of the 32-bit table writes 32 bits to a low address.
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(13L), "b"(&word) : "r8", "r9", "r10", "r11", "memory");
    OK(r == word);
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(4L), "b"(1L), "c"(text), "d"(17L) : "r8", "r9", "r10", "r11", "memory");
    return done();
}
