//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: threads >= 1000
// A thousand threads, in batches, each with its own TLS and system calls.
#include "check.h"
static __thread int mine = 5;
static void *body(void *arg) {
    mine += (long)arg;
    MUST(RAW(SYS_gettid) == gettid());
    MUST(getpid() == RAW(SYS_getpid));
    return (void *)(long)mine;
}
int main(void) {
    long sum = 0;
    for (int batch = 0; batch < 100; batch++) {
        pthread_t t[10];
        for (long i = 0; i < 10; i++) MUST(pthread_create(&t[i], NULL, body, (void *)i) == 0);
        for (int i = 0; i < 10; i++) {
            void *r;
            MUST(pthread_join(t[i], &r) == 0);
            sum += (long)r;
        }
    }
    printf("sum %ld\n", sum);
    OK(mine == 5);
    return done();
}
