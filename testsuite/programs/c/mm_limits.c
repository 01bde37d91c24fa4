//@ variants: dynamic-pie static
// Memory limits: malloc fails under RLIMIT_AS and the program goes on; what was freed can be had again.
#include "check.h"
#include <sys/resource.h>
int main(void) {
    struct rlimit rl = {256 << 20, 256 << 20};
    OK(setrlimit(RLIMIT_AS, &rl) == 0);
    OK(malloc(1UL << 30) == NULL);
    void *blocks[1000];
    int n = 0;
    while (n < 1000 && (blocks[n] = malloc(1 << 20))) { memset(blocks[n], n, 1 << 20); n++; }
    OK(n > 150 && n < 256);
    OK(ERR((long)mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM));
    OK(RAW(SYS_getpid) == getpid() && RAW(SYS_getppid) == getppid());
    for (int i = 0; i < n; i++) free(blocks[i]);
    OK((blocks[0] = malloc(100 << 20)) != NULL);
    pid_t p = fork();
    if (!p) _exit(malloc(1UL << 30) ? 1 : 2);
    OK(reap(p) == 2);
    OK(getrlimit(RLIMIT_AS, &rl) == 0 && rl.rlim_cur == 256 << 20);
    return done();
}
