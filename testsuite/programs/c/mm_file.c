//@ variants: dynamic-pie static
//@ files: f
// Mapped files: shared writes reach the file, private ones do not, msync, mincore, growth, two mappings.
#include "check.h"
int main(void) {
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    OK(ftruncate(fd, 3 * 4096) == 0);
    char *s = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    strcpy(s + 4090, "across a page");
    OK(!strcmp(p + 4090, "across a page"));
    strcpy(p, "private");
    OK(s[0] == 0);
    char buf[20] = "";
    OK(pread(fd, buf, 13, 4090) == 13 && !strcmp(buf, "across a page"));
    OK(pwrite(fd, "written", 7, 8192) == 7 && !memcmp(s + 8192, "written", 7));
    OK(msync(s, 3 * 4096, MS_SYNC) == 0);
    unsigned char in[3];
    OK(mincore(s, 3 * 4096, in) == 0);
    pid_t k = fork();
    if (!k) { strcpy(s + 100, "from the child"); strcpy(p + 100, "no"); _exit(0); }
    reap(k);
    OK(!strcmp(s + 100, "from the child") && strcmp(p + 100, "no"));
    // read() straight into a mapping of the same file, write() from it.
    OK(pread(fd, s + 200, 10, 4090) == 10 && pwrite(fd, s + 100, 14, 300) == 14);
    return done();
}
