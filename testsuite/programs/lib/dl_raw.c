// A shared object that makes system calls of its own.
#include <sys/syscall.h>
#include <unistd.h>
#ifndef NR
#define NR SYS_getpid
#endif
__attribute__((constructor)) static void up(void) { write(1, "loaded\n", 7); }
__attribute__((destructor)) static void down(void) { write(1, "unloaded\n", 9); }
long raw_call(void) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"((long)NR) : "rcx", "r11", "memory");
    return r;
}
