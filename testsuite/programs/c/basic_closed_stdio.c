//@ exit: 3
// The program goes on with its standard descriptors closed; nothing of ours lands in what is opened at 0 to 2.
//@ files: out
#include "check.h"
int main(void) {
    write(1, "last words\n", 11);
    close(0);
    close(1);
    close(2);
    int fd = open("out", O_CREAT | O_RDWR, 0644);
    int fd2 = open("/dev/null", O_RDWR);
    int fd3 = dup(fd);
    dprintf(fd, "opened %d %d %d\n", fd, fd2, fd3);
    return 3;
}
