// For programs of threads that are preempted: a loop with a pattern in every register, and a way to have a thread preempted often.
#ifndef PREEMPT_H
#define PREEMPT_H
#include "../../../hrt-runtime-shim/api/hrt.h"
#include "check.h"
#include <stddef.h>

// What a thread's registers hold, and what they held after a while.
struct registers {
    uint64_t general[13]; // rax rbx rdx rsi rdi rbp r8..r14
    uint64_t red_zone[16];
    uint16_t control; // x87
    uint16_t reserved[3];
    uint64_t mxcsr;
    uint64_t flags; // in: 1 for the direction flag
    double x87[4];
    uint64_t masks[8];
    unsigned char vectors[32][64] __attribute__((aligned(64)));
};

// Bits: 1 AVX, 2 AVX-512F.
static int vector_width;
static inline void find_vectors(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx")) vector_width |= 1;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) vector_width |= 2;
}

// Executes `turns` turns of a loop with all registers as `in` says; `out` is what they are then. Addresses of the loop are at spin_loop and spin_loop_end.
extern char spin_loop[], spin_loop_end[];
void spin(struct registers *in, struct registers *out, uint64_t turns, int width);
__asm__(
    ".text\n.globl spin\n.type spin, @function\nspin:\n"
    "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "sub $24, %rsp\n stmxcsr (%rsp)\n fnstcw 4(%rsp)\n mov %rsi, 8(%rsp)\n mov %ecx, 16(%rsp)\n"
    "mov %rdi, %r15\n mov %rdx, %r14\n"
    // The red zone: of a frame that is given up as in a leaf function.
    "xor %eax, %eax\n1: mov 104(%r15,%rax,8), %rbx\n lea (%rsp,%rax,8), %rdx\n mov %rbx, -128(%rdx)\n inc %eax\n cmp $16, %eax\n jne 1b\n"
    "fldcw 232(%r15)\n ldmxcsr 240(%r15)\n"
    "fldl 256(%r15)\n fldl 264(%r15)\n fldl 272(%r15)\n fldl 280(%r15)\n"
    "mov 16(%rsp), %ecx\n lea 384(%r15), %rax\n"
    "test $2, %ecx\n jnz 5f\n test $1, %ecx\n jnz 4f\n"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqu \\n*64(%rax), %xmm\\n\n .endr\n jmp 6f\n"
    "4: .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu \\n*64(%rax), %ymm\\n\n .endr\n jmp 6f\n"
    "5: .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vmovdqu64 \\n*64(%rax), %zmm\\n\n .endr\n"
    ".irp n,0,1,2,3,4,5,6,7\n kmovq 288+\\n*8(%r15), %k\\n\n .endr\n"
    "6: mov %r14, %rcx\n"
    "testl $1, 248(%r15)\n"
    "mov 0*8(%r15), %rax\n mov 1*8(%r15), %rbx\n mov 2*8(%r15), %rdx\n mov 3*8(%r15), %rsi\n mov 4*8(%r15), %rdi\n mov 5*8(%r15), %rbp\n"
    "mov 6*8(%r15), %r8\n mov 7*8(%r15), %r9\n mov 8*8(%r15), %r10\n mov 9*8(%r15), %r11\n mov 10*8(%r15), %r12\n mov 11*8(%r15), %r13\n mov 12*8(%r15), %r14\n"
    "jz 7f\n std\n stc\n"
    ".globl spin_loop\nspin_loop:\n"
    "7: lea -1(%rcx), %rcx\n jrcxz 8f\n jmp 7b\n"
    ".globl spin_loop_end\nspin_loop_end:\n"
    "8: mov 8(%rsp), %rcx\n"
    "mov %rax, 0*8(%rcx)\n mov %rbx, 1*8(%rcx)\n mov %rdx, 2*8(%rcx)\n mov %rsi, 3*8(%rcx)\n mov %rdi, 4*8(%rcx)\n mov %rbp, 5*8(%rcx)\n"
    "mov %r8, 6*8(%rcx)\n mov %r9, 7*8(%rcx)\n mov %r10, 8*8(%rcx)\n mov %r11, 9*8(%rcx)\n mov %r12, 10*8(%rcx)\n mov %r13, 11*8(%rcx)\n mov %r14, 12*8(%rcx)\n"
    // Flags, without a write to the red zone.
    "lahf\n movzbl %ah, %eax\n mov %rax, 248(%rcx)\n"
    "lea 376(%rcx), %rdi\n mov %rdi, %rsi\n mov %rdi, %rbx\n lodsb\n sub %rbx, %rsi\n mov %rsi, 376(%rcx)\n" // -1 with the direction flag
    "cld\n"
    "xor %eax, %eax\n1: lea (%rsp,%rax,8), %rdx\n mov -128(%rdx), %rbx\n mov %rbx, 104(%rcx,%rax,8)\n inc %eax\n cmp $16, %eax\n jne 1b\n"
    "fnstcw 232(%rcx)\n stmxcsr 240(%rcx)\n"
    "fstpl 280(%rcx)\n fstpl 272(%rcx)\n fstpl 264(%rcx)\n fstpl 256(%rcx)\n"
    "mov 16(%rsp), %ebx\n lea 384(%rcx), %rax\n"
    "test $2, %ebx\n jnz 5f\n test $1, %ebx\n jnz 4f\n"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqu %xmm\\n, \\n*64(%rax)\n .endr\n jmp 6f\n"
    "4: .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu %ymm\\n, \\n*64(%rax)\n .endr\n vzeroupper\n jmp 6f\n"
    "5: .irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vmovdqu64 %zmm\\n, \\n*64(%rax)\n .endr\n"
    ".irp n,0,1,2,3,4,5,6,7\n kmovq %k\\n, 288+\\n*8(%rcx)\n .endr\n vzeroupper\n"
    "6: ldmxcsr (%rsp)\n fldcw 4(%rsp)\n add $24, %rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n"
    ".size spin, . - spin\n");

// Fills the pattern of number `n`.
static inline void pattern(struct registers *r, uint64_t n) {
    uint64_t x = n * 0x9e3779b97f4a7c15u + 1;
#define NEXT (x ^= x << 13, x ^= x >> 7, x ^= x << 17)
    unsigned char *p = (unsigned char *)r;
    for (size_t i = 0; i < sizeof *r; i++) p[i] = (unsigned char)NEXT;
    for (int i = 0; i < 4; i++) r->x87[i] = (double)(int)(NEXT & 0xffffff) / 8;
    r->control = n & 1 ? 0x0b7f : 0x077f; // rounding up or down, double extended and not
    r->mxcsr = n & 1 ? 0x3f80 : 0x5f80;
    r->flags = n & 1;
#undef NEXT
}

// What is wrong with what the loop has left, or NULL. No function of libc's is used.
static inline const char *spun_wrong(const struct registers *in, const struct registers *out, int width) {
    for (int i = 0; i < 13; i++) if (in->general[i] != out->general[i]) return "a general register";
    for (int i = 0; i < 16; i++) if (in->red_zone[i] != out->red_zone[i]) return "the red zone";
    if (in->control != out->control) return "the x87 control word";
    if ((uint32_t)in->mxcsr != (uint32_t)out->mxcsr) return "MXCSR";
    if (in->flags && !(out->flags & 1)) return "the carry flag";
    int64_t step = *(const int64_t *)((const char *)out + 376);
    if (step != (in->flags ? -1 : 1)) return "the direction flag";
    for (int i = 0; i < 4; i++) if (in->x87[i] != out->x87[i]) return "the x87 stack";
    if (width & 2) for (int i = 0; i < 8; i++) if (in->masks[i] != out->masks[i]) return "a mask register";
    int registers = width & 2 ? 32 : 16, bytes = width & 2 ? 64 : width & 1 ? 32 : 16;
    for (int i = 0; i < registers; i++)
        for (int k = 0; k < bytes; k++) if (in->vectors[i][k] != out->vectors[i][k]) return "a vector register";
    return 0;
}
_Static_assert(offsetof(struct registers, red_zone) == 104 && offsetof(struct registers, control) == 232 && offsetof(struct registers, mxcsr) == 240, "");
_Static_assert(offsetof(struct registers, flags) == 248 && offsetof(struct registers, x87) == 256 && offsetof(struct registers, masks) == 288, "");
_Static_assert(offsetof(struct registers, vectors) == 384, "");

// Has the kernel look at the thread that Linux thread `tid` executes, as its timer would: the signal, code and value are the kernel's own (threads/preempt.rs).
// Unlike the timer's, this signal may disturb a system call. Without the kernel it does nothing.
static inline long provoke(pid_t tid) {
    static int kernel = -1;
    struct hrt_info about;
    if (kernel < 0) kernel = hrt_get_info(&about) == 0;
    if (!kernel) return 0;
    union { int i[32]; uint64_t w[16]; } info;
    memset(&info, 0, sizeof info);
    info.i[0] = 64;
    info.i[2] = -2; // SI_TIMER
    info.w[3] = 0x48525450;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, 64, &info);
}

// Switches between kernel threads so far; without the kernel, very many.
static inline long switches(void) {
    struct hrt_threads_info info;
    static long none;
    return hrt_threads_info(&info) == 0 ? (long)info.switches : (none += 1 << 20);
}

// The process has one processor.
static inline void one_processor(void) {
    cpu_set_t set, one;
    MUST(sched_getaffinity(0, sizeof set, &set) == 0);
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0; i--) {
        if (!CPU_ISSET(i, &set)) continue;
        CPU_SET(i, &one);
        break;
    }
    MUST(sched_setaffinity(0, sizeof one, &one) == 0);
}

// Two threads that hand over to each other by computing alone.
static volatile int whose;
static void *takes_turns(void *p) {
    int me = (int)(long)p;
    for (int i = 0; i < 10; i++) {
        while (whose != me) {}
        whose = !me;
    }
    return p;
}

// Calls that wait, which nothing may disturb.
static int pipe_[2];
static volatile int disturbed;
static void *waits(void *p) {
    struct timespec ms = {0, 1000000};
    struct pollfd none = {-1, POLLIN, 0};
    char c;
    for (int i = 0; i < 150; i++) {
        for (volatile int j = 0; j < 20000; j++) {}
        if (nanosleep(&ms, NULL) || poll(&none, 1, 1) != 0) disturbed++;
        if (read(pipe_[0], &c, 1) != 1) disturbed++;
    }
    return p;
}
#endif
