//@ variants: dynamic-pie static
// A limit of memory is kept to the byte, before and after it is set: none of it is spent on what the kernel maps ahead.
#include "check.h"
#include <sys/resource.h>
#define M (1UL << 20)
static unsigned long mapped(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    MUST(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    return pages * 4096;
}
static char *map(size_t n) {
    return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
int main(void) {
    for (int i = 0; i < 40; i++) {
        char *p = map(M / 2);
        MUST(p != MAP_FAILED);
        memset(p, 1, M / 2);
        if (i % 2) MUST(munmap(p, M / 2) == 0);
    }
    struct rlimit old, rl;
    OK(getrlimit(RLIMIT_AS, &old) == 0);
    rl = old;
    rl.rlim_cur = mapped() + 24 * M;
    OK(setrlimit(RLIMIT_AS, &rl) == 0);
    int n = 0;
    char *p[64];
    while (n < 64 && (p[n] = map(M)) != MAP_FAILED) n++;
    OK(n >= 22 && n <= 40);
    for (int i = 0; i < n; i++) MUST(munmap(p[i], M) == 0);
    OK(map(M) != MAP_FAILED);
    rl = (struct rlimit){1, 1};
    OK(setrlimit(RLIMIT_AS, &rl) == 0);
    OK(map(4096) == MAP_FAILED && errno == ENOMEM);
    return done();
}
