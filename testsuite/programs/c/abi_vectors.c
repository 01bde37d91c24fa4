//@ flags: -mno-red-zone
//@ variants: dynamic-pie static
// xmm, ymm, zmm and mask registers, x87 state, MXCSR and the direction flag survive system calls of every kind.
#include "check.h"
static unsigned char in[64 * 32] __attribute__((aligned(64))), out[64 * 32] __attribute__((aligned(64)));
#define R16(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LX(n) "movaps 64*" #n "(%2), %%xmm" #n "\n"
#define SX(n) "movaps %%xmm" #n ", 64*" #n "(%3)\n"
#define LY(n) "vmovaps 64*" #n "(%2), %%ymm" #n "\n"
#define SY(n) "vmovaps %%ymm" #n ", 64*" #n "(%3)\n"
#define LZ(n) "vmovaps 64*" #n "(%2), %%zmm" #n "\n" "vmovaps 64*(16+" #n ")(%2), %%zmm16\n"
#define SZ(n) "vmovaps %%zmm" #n ", 64*" #n "(%3)\n"
static long xmm(long n) { long r; __asm__ volatile(R16(LX) "syscall\n" R16(SX) : "=a"(r) : "a"(n), "r"(in), "r"(out), "D"(-1L), "S"(0L), "d"(0L) : "rcx", "r11", "memory"); return r; }
__attribute__((target("avx"))) static long ymm(long n) { long r; __asm__ volatile(R16(LY) "syscall\n" R16(SY) "vzeroupper" : "=a"(r) : "a"(n), "r"(in), "r"(out), "D"(-1L), "S"(0L), "d"(0L) : "rcx", "r11", "memory"); return r; }
__attribute__((target("avx512f"))) static long zmm(long n) {
    long r;
    __asm__ volatile(R16(LZ) "vmovaps 64*31(%2), %%zmm31\n mov $0x5a5a, %%r10d\n kmovw %%r10d, %%k3\n syscall\n"
        R16(SZ) "vmovaps %%zmm31, 64*31(%3)\n kmovw %%k3, %%r10d\n mov %%r10d, 64*30(%3)\n vzeroupper"
        : "=a"(r) : "a"(n), "r"(in), "r"(out), "D"(-1L), "S"(0L), "d"(0L) : "rcx", "r11", "r10", "memory");
    return r;
}
int main(void) {
    long calls[] = {SYS_getpid, SYS_close, SYS_rt_sigaction, SYS_gettid, 9999, SYS_mprotect};
    for (unsigned i = 0; i < sizeof in; i++) in[i] = i * 7 + i / 64;
    for (int k = 0; k < 6; k++) {
        int x = 1, y = 1, z = 1;
        for (int turn = 0; turn < 100; turn++) {
            xmm(calls[k]);
            for (int i = 0; i < 16; i++) x &= !memcmp(in + 64 * i, out + 64 * i, 16);
            if (__builtin_cpu_supports("avx")) {
                ymm(calls[k]);
                for (int i = 0; i < 16; i++) y &= !memcmp(in + 64 * i, out + 64 * i, 32);
            }
            if (__builtin_cpu_supports("avx512f")) {
                zmm(calls[k]);
                for (int i = 0; i < 16; i++) z &= !memcmp(in + 64 * i, out + 64 * i, 64);
                z &= !memcmp(in + 64 * 31, out + 64 * 31, 64) && *(int *)(out + 64 * 30) == 0x5a5a;
            }
        }
        printf("call %ld: xmm %s ymm %s zmm %s\n", calls[k], x ? "ok" : "FAILED", y ? "ok" : "FAILED", z ? "ok" : "FAILED");
        unsigned mx = 0x7fc0, back = 0;
        unsigned short cw = 0x0c7f, cwb = 0;
        long double v = 0;
        unsigned long flags, r;
        __asm__ volatile("ldmxcsr %5; fldcw %6; fldpi; std; syscall; pushfq; pop %3; cld; fstpt %2; stmxcsr %1; fnstcw %4"
            : "=a"(r), "=m"(back), "=m"(v), "=&r"(flags), "=m"(cwb) : "m"(mx), "m"(cw), "a"(calls[k]), "D"(-1L), "S"(0L), "d"(0L) : "rcx", "r11", "memory", "cc");
        unsigned dm = 0x1f80; unsigned short dc = 0x37f;
        __asm__ volatile("ldmxcsr %0; fldcw %1" :: "m"(dm), "m"(dc));
        OK(back == mx && cw == cwb && v > 3.14159L && v < 3.1416L);
        OK(flags & 0x400);
    }
    return done();
}
