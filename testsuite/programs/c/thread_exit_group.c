//@ variants: dynamic-pie static
//@ flags: -pthread
//@ exit: 33
// exit_group from a thread while others are blocked, spin, and make system calls.
#include "check.h"
static void *blocked(void *a) { int p[2]; char c; pipe(p); read(p[0], &c, 1); return a; }
static void *spins(void *a) { for (;;) __asm__ volatile("" ::: "memory"); return a; }
static void *calls(void *a) { for (;;) getppid(); return a; }
static void *ends(void *a) { millis(30); printf("the end\n"); RAW(SYS_exit_group, 33); return a; }
int main(void) {
    pthread_t t;
    pthread_create(&t, NULL, blocked, NULL);
    pthread_create(&t, NULL, spins, NULL);
    pthread_create(&t, NULL, calls, NULL);
    pthread_create(&t, NULL, ends, NULL);
    pause();
    return 1;
}
