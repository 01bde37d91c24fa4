//@ files: code.bin
// Code mapped from a file, private and shared: the file is never changed under the program.
#include "check.h"
int main(void) {
    int fd = open("code.bin", O_CREAT | O_RDWR, 0755);
    unsigned char page[4096];
    memset(page, 0x90, 4096);
    memcpy(page + 100, "\xb8\x27\x00\x00\x00\x0f\x05\xc3", 8);
    write(fd, page, 4096);
    for (int turn = 0; turn < 2; turn++) {
        unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, turn ? MAP_SHARED : MAP_PRIVATE, fd, 0);
        int bad = 0;
        for (int i = 0; i < 1000; i++) bad += ((int (*)(void))p)() != getpid();
        OK(bad == 0);
        OK(munmap(p, 4096) == 0);
    }
    return done();
}
