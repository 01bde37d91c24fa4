//@ with: a.so = dl_raw.c
//@ with: b.so = dl_raw.c -DNR=SYS_getppid
//@ flags: -ldl
// Shared objects with raw system calls loaded and unloaded in turn, likely at the same place.
#include "check.h"
#include <dlfcn.h>
int main(void) {
    for (int i = 0; i < 20; i++) {
        int b = i % 2;
        void *h = dlopen(b ? "./b.so" : "./a.so", RTLD_NOW);
        if (!h) { printf("FAILED: %s\n", dlerror()); return 1; }
        long (*f)(void) = (long (*)(void))dlsym(h, "raw_call");
        for (int k = 0; k < 100; k++) MUST(f() == (b ? getppid() : getpid()));
        MUST(dlclose(h) == 0);
    }
    MUST(dlopen("./missing.so", RTLD_NOW) == NULL);
    printf("%s\n", dlerror());
    return done();
}
