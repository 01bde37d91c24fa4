//@ variants: dynamic-pie static
//@ limit: 60
//@ stats: memory.local >= 100
// Threads that map, unmap and fork at once never get each other's memory, and always new memory.
#include "check.h"
enum { THREADS = 6, TURNS = 150, OWN = 8 };
static _Atomic int wrong;
static void *work(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    char *at[OWN] = {0};
    size_t size[OWN] = {0};
    for (int turn = 0; turn < TURNS; turn++) {
        int i = turn % OWN;
        if (at[i]) {
            for (size_t j = 0; j < size[i]; j += 4096)
                if (at[i][j] != (char)seed) wrong++;
            if (munmap(at[i], size[i])) wrong++;
        }
        size[i] = 4096 * (1 + (size_t)((turn * 7919 + seed * 104729) % 200));
        at[i] = mmap(NULL, size[i], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at[i] == MAP_FAILED) {
            wrong++;
            return NULL;
        }
        for (size_t j = 0; j < size[i]; j += 4096) {
            if (at[i][j]) wrong++;
            at[i][j] = (char)seed;
        }
        if (turn % 75 == 74) {
            pid_t child = fork();
            if (!child) {
                int bad = 0;
                for (int k = 0; k < OWN; k++)
                    if (at[k] && at[k][0] != (char)seed) bad = 1;
                char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                for (size_t j = 0; j < 1 << 20; j += 512)
                    if (p[j]) bad = 2;
                memset(p, 1, 1 << 20);
                munmap(p, 1 << 20);
                _exit(bad);
            }
            int status;
            if (waitpid(child, &status, 0) != child || status) wrong++;
        }
    }
    return NULL;
}
int main(void) {
    pthread_t t[THREADS];
    for (long i = 0; i < THREADS; i++) MUST(pthread_create(&t[i], NULL, work, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++) MUST(pthread_join(t[i], NULL) == 0);
    OK(wrong == 0);
    return done();
}
