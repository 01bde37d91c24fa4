// leave N: ends the virtual machine through QEMU's isa-debug-exit device; QEMU's exit status is then 2 N + 1.
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc == 2 && ioperm(0xf4, 1, 1) == 0) outb(atoi(argv[1]), 0xf4);
    sleep(5);
    return 1;
}
