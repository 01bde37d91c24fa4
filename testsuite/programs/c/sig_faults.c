//@ variants: dynamic-pie static
// SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGSEGV for their causes, with si_code and si_addr, left by siglongjmp.
#include "check.h"
static sigjmp_buf back;
static volatile int sig, code;
static void *volatile addr;
static void on(int s, siginfo_t *i, void *c) { (void)c; sig = s, code = i->si_code, addr = i->si_addr; siglongjmp(back, 1); }
#define EXPECT(stmt, s, cd) do { sig = 0; if (!sigsetjmp(back, 1)) { stmt; } OK(sig == s && code == cd); } while (0)
int main(void) {
    int sigs[] = {SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGSEGV};
    for (int i = 0; i < 5; i++) handle(sigs[i], on, 0);
    for (int round = 0; round < 3; round++) {
        EXPECT(__asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; idiv %%ecx" ::: "rax", "rcx", "rdx"), SIGFPE, FPE_INTDIV);
        EXPECT(__asm__ volatile("ud2"), SIGILL, ILL_ILLOPN);
        EXPECT(__asm__ volatile("int3"), SIGTRAP, SI_KERNEL);
        EXPECT(__asm__ volatile("hlt"), SIGSEGV, SI_KERNEL);
        EXPECT(*(volatile int *)0x123 = 1, SIGSEGV, SEGV_MAPERR);
        OK(addr == (void *)0x123);
        EXPECT(*(volatile int *)0x8000000000000000 = 1, SIGSEGV, SI_KERNEL);
        char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT(*(volatile char *)ro = 1, SIGSEGV, SEGV_ACCERR);
        OK(addr == ro);
        EXPECT(((void (*)(void))ro)(), SIGSEGV, SEGV_ACCERR);
        EXPECT(((void (*)(void))0x40)(), SIGSEGV, SEGV_MAPERR);
        OK(addr == (void *)0x40);
        int fd = memfd_create("x", 0);
        ftruncate(fd, 4096);
        char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        EXPECT(m[5000] = 1, SIGBUS, BUS_ADRERR);
        OK(addr == m + 5000);
        // Calls still work after all that.
        OK(RAW(SYS_getpid) == getpid());
    }
    unsigned mx = 0x1f80 & ~0x200u; // division by zero unmasked
    EXPECT(__asm__ volatile("ldmxcsr %0; xorps %%xmm0, %%xmm0; movss %1, %%xmm1; divss %%xmm0, %%xmm1" ::"m"(mx), "m"((float){1}) : "xmm0", "xmm1"), SIGFPE, FPE_FLTDIV);
    return done();
}
