//@ variants: dynamic-pie no-pie static static-pie
// An IFUNC resolver of the program's own, which runs before almost anything else.
#include "check.h"
static int fast(int x) { return x * 2; }
static int slow(int x) { return x * 3; }
static int (*pick(void))(int) { __builtin_cpu_init(); return __builtin_cpu_supports("sse2") ? fast : slow; }
int chosen(int) __attribute__((ifunc("pick")));
int main(void) { printf("%d\n", chosen(21)); return done(); }
