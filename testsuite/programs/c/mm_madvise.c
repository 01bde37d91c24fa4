// madvise DONTNEED, FREE, HUGEPAGE, DONTFORK, WIPEONFORK; mlock; MAP_POPULATE; MAP_GROWSDOWN.
#include "check.h"
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
int main(void) {
    size_t n = 8 << 20;
    char *m = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(m, 3, n);
    OK(madvise(m + 4096, 4096, MADV_DONTNEED) == 0 && m[4096] == 0 && m[4095] == 3 && m[8192] == 3);
    madvise(m, n, MADV_HUGEPAGE);
    memset(m, 4, n);
    OK(m[n - 1] == 4);
    OK(ERR(madvise(m + 1, 4096, MADV_DONTNEED), EINVAL));
    OK(ERR(madvise(m, 4096, 9999), EINVAL));
    OK(madvise(m, 4096, MADV_WIPEONFORK) == 0);
    pid_t p = fork();
    if (!p) _exit(m[0] == 0 && m[4096] == 4 ? 3 : 4);
    OK(reap(p) == 3 && m[0] == 4);
    OK(mlock(m, 4096) == 0 && munlock(m, 4096) == 0);
    char *q = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    OK(q != MAP_FAILED && q[n - 1] == 0);
    unsigned char in[1];
    OK(mincore(q + n - 4096, 4096, in) == 0 && (in[0] & 1));
    return done();
}
