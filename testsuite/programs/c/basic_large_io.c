//@ variants: dynamic-pie static
//@ files: big
// 16 MiB through write and read, and through stdio, arrive unharmed.
#include "check.h"
int main(void) {
    size_t n = 4 << 20;
    unsigned char *a = malloc(n), *b = malloc(n);
    for (size_t i = 0; i < n; i++) a[i] = i * 2654435761u >> 13;
    int fd = open("big", O_CREAT | O_RDWR | O_TRUNC, 0644);
    for (int i = 0; i < 4; i++) MUST(write(fd, a, n) == (ssize_t)n);
    OK(lseek(fd, 0, SEEK_CUR) == 16 << 20);
    OK(pread(fd, b, n, 5) == (ssize_t)n);
    OK(!memcmp(a + 5, b, n - 5));
    FILE *f = fopen("big", "r");
    unsigned long sum = 0;
    int c;
    while ((c = fgetc(f)) != EOF) sum = sum * 31 + c;
    printf("checksum %lx\n", sum);
    return done();
}
