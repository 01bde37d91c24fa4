//@ kvm-line: 8 entries => 12 entries
//@ kvm-line: 6 entries => 10 entries
//@ variants: dynamic-pie static
// The payload keeps no file descriptor where the program would see it.
#include "check.h"
#include <dirent.h>
int main(void) {
    int fd = open("/dev/null", O_RDONLY);
    printf("the first descriptor is %d\n", fd);
    close(fd);
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    printf("%d entries\n", n);
    printf("dup gives %d\n", dup(0));
    for (int i = 3; i < 1024; i++) close(i);
    printf("after closing all: %d\n", open("/dev/null", O_RDONLY));
    RAW(SYS_close_range, 3, ~0u, 0);
    printf("after close_range: %d\n", open("/dev/null", O_RDONLY));
    int open_ones = 0;
    struct stat st;
    for (int i = 4; i < 1024; i++) open_ones += fstat(i, &st) == 0 || fcntl(i, F_GETFD) >= 0 || lseek(i, 0, SEEK_CUR) >= 0 || errno != EBADF;
    printf("%d more seem open\n", open_ones);
    return done();
}
