// A file that Linux maps into a hole of the kernel's arena is the program's: unmapped, its pages are not memory to reuse.
//@ stats: memory.mapped >= 1
#include "check.h"
#define N 64
int main(void) {
    size_t n = 256 << 10;
    char *a[N];
    for (int i = 0; i < N; i++) {
        a[i] = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(a[i], 1, n);
    }
    // Holes: what is not as it was mapped is not kept.
    for (int i = 8; i < N; i += 8) {
        mprotect(a[i], n, PROT_READ);
        munmap(a[i], n);
    }
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    OK(fd >= 0 && ftruncate(fd, n) == 0);
    char *f[N];
    int filled = 0;
    for (int i = 0; i < N; i++) {
        f[i] = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        OK(f[i] != MAP_FAILED);
    }
    memset(f[0], 7, n);
    // The arena finds out that the holes are gone.
    for (int i = 0; i < N; i++) OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    for (int i = 0; i < N; i++) OK(munmap(f[i], n) == 0);
    for (int i = 0; i < N; i++) {
        char *c = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t k = 0; k < n; k += 4096) filled += c[k] != 0;
        memset(c, 9, n);
        a[i] = c;
    }
    OK(filled == 0);
    char *m = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    int bad = 0;
    for (size_t k = 0; k < n; k++) bad += m[k] != 7;
    OK(bad == 0);
    // Nor is it memory to give up: a private file mapping shows the file again.
    for (int i = 0; i < N; i++) munmap(a[i], n);
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    memset(p, 5, n);
    OK(madvise(p, n, MADV_DONTNEED) == 0 && p[0] == 7 && p[n - 1] == 7);
    return done();
}
