//@ variants: dynamic-pie static
//@ flags: -pthread
// libc changes the identity of all threads that it knows, and waits for each: the kernel's own, made by pthread_create, are among them.
#include "hrt_check.h"
static void *adds(void *p) { return (void *)((long)p + 1); }
int main(void) {
    if (without_kernel()) return done();
    for (long i = 0; i < 3; i++) {
        hrt_thread_t t;
        void *r = NULL;
        MUST(hrt_thread_create(&t, adds, (void *)i, 0, 1 << 18) == 0 && hrt_thread_join(t, &r) == 0 && (long)r == i + 1);
        MUST(setgid(getgid()) == 0 && setuid(getuid()) == 0);
    }
    return done();
}
