// One memfd mapped twice: written through one address, run at the other.
#include "check.h"
int main(void) {
    int fd = memfd_create("jit", 0);
    ftruncate(fd, 8192);
    unsigned char *w = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unsigned char *x = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    int bad = 0;
    for (int i = 0; i < 1000; i++) {
        int at = (i * 13) % 4000;
        memcpy(w + at, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
        bad += ((int (*)(void))(x + at))() != getpid();
        bad += ((int (*)(void))(x + at))() != getpid();
        memcpy(w + at, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3", 8);
        bad += ((int (*)(void))(x + at))() != getppid();
        memset(w + at, 0xcc, 8);
    }
    OK(bad == 0);
    // The file itself must hold what was written and nothing else.
    unsigned char b[8];
    memcpy(w + 4096, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
    for (int i = 0; i < 100; i++) ((int (*)(void))(x + 4096))();
    pread(fd, b, 8, 4096);
    OK(!memcmp(b, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8));
    OK(!memcmp(w + 4096, b, 8));
    return done();
}
