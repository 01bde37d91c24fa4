//@ variants: dynamic-pie no-pie
//@ toml: [overrides]
//@ toml: lib_time = { function = "hrt_time", optional = true }
//@ toml: lib_empty = { function = "hrt_cycles", optional = true }
//@ toml: nowhere = { function = "hrt_cycles", optional = true }
//@ with: libov.so = ov_lib.c
//@ with: libother.so = ov_lib.c
//@ flags: -pthread
//@ stats: overrides.lib_time.calls == 606
//@ stats: overrides.lib_time.places >= 2
//@ stats: overrides.lib_empty.calls == 202
//@ stats: overrides.nowhere.places == 0
// Functions of libraries that the program opens, closes and opens again, while other threads run.
#include "check.h"
#include <dlfcn.h>
#include <stdatomic.h>
static atomic_int stop;
static void *spin(void *arg) {
    while (!stop) sched_yield();
    return arg;
}
static void use(const char *name) {
    void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    MUST(lib);
    if (!lib) return;
    long (*lib_time)(time_t *) = (long (*)(time_t *))dlsym(lib, "lib_time");
    long (*lib_twice)(void) = (long (*)(void))dlsym(lib, "lib_twice");
    unsigned long (*lib_empty)(void) = (unsigned long (*)(void))dlsym(lib, "lib_empty");
    time_t t = 0;
    MUST(lib_time(&t) == t && t > 1700000000);
    MUST(lib_twice() == 2);
    MUST(lib_empty() != 0);
    MUST(dlclose(lib) == 0);
}
int main(void) {
    pthread_t t;
    use("./libov.so");
    use("./libother.so");
    pthread_create(&t, NULL, spin, NULL);
    for (int i = 0; i < 100; i++) {
        use("./libov.so");
        use("./libother.so");
    }
    stop = 1;
    pthread_join(t, NULL);
    OK(dlopen("./libnone.so", RTLD_NOW) == NULL);
    return done();
}
