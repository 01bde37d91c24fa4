//@ variants: dynamic-pie no-pie static static-pie musl
//@ toml: [overrides]
//@ toml: zeroes = { function = "hrt_calloc", args = [{ constant = 1 }, 1] }
//@ toml: aligned = { function = "hrt_posix_memalign", args = [2, 1, 0] }
//@ toml: page = { function = "hrt_memalign", args = [{ constant = 4096 }, 5] }
//@ toml: hidden = "hrt_seconds"
//@ toml: tiny = "hrt_cycles"
//@ toml: not_here = { function = "hrt_cycles", optional = true }
//@ stats: overrides.zeroes.calls == 100
//@ stats: overrides.aligned.calls == 100
//@ stats: overrides.page.calls == 100
//@ stats: overrides.hidden.calls == 100
//@ stats: overrides.hidden.places == 1
//@ stats: overrides.tiny.calls == 100
//@ stats: overrides.not_here.places == 0
//@ flags: -fno-ipa-icf -falign-functions=32
// The program's own functions become kernel functions: arguments in another order, constants, a static function, one that is shorter
// than a jump. The legacy functions do the same, but for `tiny`.
#include "check.h"

__attribute__((noinline)) void *zeroes(int tag, size_t size) { return calloc(tag ? 1 : 2, size); }
__attribute__((noinline)) int aligned(size_t size, size_t align, void **to) { return posix_memalign(to, align, size); }
__attribute__((noinline)) void *page(int a, int b, int c, int d, int e, size_t size) {
    void *p = NULL;
    if (a + b + c + d + e != 15 || posix_memalign(&p, 4096, size)) return NULL;
    return p;
}
__attribute__((noinline, noclone)) static long hidden(time_t *t) { return *t = time(NULL); }
__attribute__((noinline, noclone)) unsigned long tiny(void) { return 1; }

int main(void) {
    for (int i = 1; i <= 100; i++) {
        size_t size = (size_t)i * 37;
        char *p = zeroes(i, size);
        MUST(p);
        for (size_t k = 0; k < size; k++) MUST(p[k] == 0);
        void *q = NULL;
        MUST(aligned(size, 1024, &q) == 0 && q && (uintptr_t)q % 1024 == 0);
        memset(q, 1, size);
        q = page(1, 2, 3, 4, 5, size);
        MUST(q && (uintptr_t)q % 4096 == 0);
        memset(q, 1, size);
        time_t t = 0;
        long s = hidden(&t);
        MUST(s == t && s > 1700000000);
        MUST(tiny() != 0);
    }
    return done();
}
