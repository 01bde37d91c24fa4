// A large sparse file, SEEK_DATA and SEEK_HOLE, O_DIRECT when the file system has it.
#include "check.h"
int main(void) {
    int fd = open("sparse", O_CREAT | O_RDWR, 0644);
    OK(pwrite(fd, "end", 3, 1L << 36) == 3);
    OK(lseek(fd, 0, SEEK_END) == (1L << 36) + 3);
    struct stat s;
    OK(fstat(fd, &s) == 0 && s.st_blocks < 10000);
    OK(lseek(fd, 0, SEEK_HOLE) == 0);
    char buf[4] = "";
    OK(pread(fd, buf, 3, 1L << 36) == 3 && !strcmp(buf, "end"));
    OK(ERR(lseek(fd, -1, SEEK_SET), EINVAL));
    close(fd);
    void *p;
    OK(posix_memalign(&p, 4096, 4096) == 0);
    memset(p, 'x', 4096);
    fd = open("direct", O_CREAT | O_RDWR | O_DIRECT, 0644);
    int same = fd < 0 || (write(fd, p, 4096) == 4096 && pread(fd, p, 4096, 0) == 4096 && ((char *)p)[4095] == 'x');
    OK(same);
    return done();
}
