//@ variants: dynamic-pie no-pie
//@ toml: sets = ["malloc"]
//@ toml: [overrides]
//@ toml: lib_time = { function = "hrt_seconds", optional = true }
//@ toml: lib_empty = { function = "hrt_cycles", optional = true }
//@ with: libov.so = ov_lib.c
//@ env: LD_PRELOAD=./libov.so
//@ stats: overrides.lib_time.calls == 101
//@ stats: overrides.lib_time.places == 1
//@ stats: overrides.lib_empty.calls == 1
// Functions of a shared library, called by the program and by the library itself. Objects that its constructor had from malloc, before
// any override was in place, stay good: freed, resized, measured.
#include "check.h"
#include <malloc.h>
#include <dlfcn.h>
#define LIB(name) ((typeof(name))dlsym(RTLD_DEFAULT, #name))
int main(void) {
    long (*lib_time)(time_t *) = LIB(lib_time), (*lib_twice)(void) = LIB(lib_twice);
    unsigned long (*lib_empty)(void) = LIB(lib_empty);
    char *lib_small = *(char **)dlsym(RTLD_DEFAULT, "lib_small");
    char *lib_large = *(char **)dlsym(RTLD_DEFAULT, "lib_large");
    char *lib_freed = *(char **)dlsym(RTLD_DEFAULT, "lib_freed");
    for (int i = 0; i < 99; i++) {
        time_t t;
        MUST(lib_time(&t) == t && t > 1700000000);
    }
    OK(lib_twice() == 2);
    MUST(lib_empty() != 0);
    OK(malloc_usable_size(lib_small) >= 100);
    OK(malloc_usable_size(lib_large) >= 1000000);
    lib_small = realloc(lib_small, 5000);
    lib_large = realloc(lib_large, 2000000);
    int same = 1;
    for (int i = 0; i < 100; i++) same &= lib_small[i] == 's';
    for (int i = 0; i < 1000000; i++) same &= lib_large[i] == 'l';
    OK(same);
    free(lib_small);
    free(lib_large);
    free(lib_freed);
    free(malloc(10));
    return done();
}
