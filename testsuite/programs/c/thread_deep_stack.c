//@ flags: -pthread
// A deep recursion on the main stack, which grows on demand, and on a thread's 64 MiB, with system calls at depth.
#include "check.h"
__attribute__((noinline)) static long down(int n) {
    volatile char pad[1000];
    pad[0] = n;
    if (n % 1000 == 0) RAW(SYS_getppid);
    return n ? down(n - 1) + pad[0] * 0 + 1 : 0;
}
static void *body(void *a) { (void)a; return (void *)down(50000); }
int main(void) {
    printf("main: %ld\n", down(7000));
    pthread_attr_t at;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 64 << 20);
    pthread_t t;
    void *r;
    OK(pthread_create(&t, &at, body, NULL) == 0);
    pthread_join(t, &r);
    printf("thread: %ld\n", (long)r);
    return done();
}
