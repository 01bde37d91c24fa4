//@ flags: -nostartfiles -static -nostdlib -fno-stack-protector
//@ variants: static
//@ native-only: a link with -nostdlib is left alone by mv-cc
// No libc at all: entry by _start, the stack as the kernel lays it out.
static long call3(long n, long a, long b, long c) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }
__attribute__((used)) static void start(long *sp) { call3(1, 1, (long)(sp[0] == 1 ? "one argument\n" : "other\n"), sp[0] == 1 ? 13 : 6); call3(231, 0, 0, 0); }
__asm__(".globl _start\n_start: xor %ebp, %ebp; mov %rsp, %rdi; and $-16, %rsp; call start\n");
