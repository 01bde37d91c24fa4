// readv, writev, preadv, pwritev, and a bad vector.
#include "check.h"
#include <sys/uio.h>
int main(void) {
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    struct iovec v[3] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
    OK(writev(fd, v, 3) == 13);
    char a[5] = "", b[9] = "";
    struct iovec r[2] = {{a, 4}, {b, 8}};
    OK(preadv(fd, r, 2, 1) == 12);
    printf("%s|%s\n", a, b);
    OK(pwritev(fd, v, 2, 100) == 8);
    OK(lseek(fd, 0, SEEK_END) == 108);
    struct iovec bad[2] = {{a, 4}, {(void *)8, 4}};
    lseek(fd, 0, SEEK_SET);
    printf("into a good and a bad buffer: %zd\n", readv(fd, bad, 2));
    OK(ERR(readv(fd, (void *)8, 2), EFAULT));
    OK(ERR(writev(fd, v, 5000), EINVAL));
    return done();
}
