//@ toml: [memory]
//@ toml: policy = "linux"
//@ stats: memory.chunk_bytes == 0
// The configuration leaves memory to Linux.
#include "check.h"
int main(void) {
    for (int i = 0; i < 64; i++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST(p != MAP_FAILED);
        memset(p, 1, 1 << 20);
    }
    return done();
}
