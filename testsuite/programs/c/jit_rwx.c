//@ variants: dynamic-pie static
// Code made at run time executes `syscall` in a hot loop, from writable and executable memory.
#include "check.h"
int main(void) {
    unsigned char code[] = {0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(m, code, 8);
    int (*f)(void) = (void *)m;
    int pid = getpid(), good = 0;
    for (int i = 0; i < 100000; i++) good += f() == pid;
    OK(good == 100000);
    // Rewritten in place, back and forth, at once after having run.
    int bad = 0;
    for (int i = 0; i < 2000; i++) {
        memcpy(m, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3", 8);
        bad += f() != getppid();
        memcpy(m, "\xb8\x05\x00\x00\x00\x90\x90\xc3", 8);
        bad += f() != 5;
        memcpy(m, code, 8);
        bad += f() != pid;
        m[1] = SYS_gettid; // one byte only
        m[2] = 0;
        bad += f() != (int)RAW(SYS_gettid);
        memcpy(m, code, 8);
    }
    OK(bad == 0);
    // The program's own writes are what it reads back before the code ran.
    memcpy(m + 64, code, 8);
    OK(!memcmp(m + 64, code, 8));
    return done();
}
