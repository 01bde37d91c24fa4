//@ variants: dynamic-pie static
//@ flags: -pthread
// Threads on stacks that the program brings, the smallest allowed; reused at once after the join.
#include "check.h"
#include <limits.h>
static void *body(void *a) { char x; RAW(SYS_getppid); return &x > (char *)a && &x < (char *)a + PTHREAD_STACK_MIN ? a : NULL; }
int main(void) {
    void *s = mmap(NULL, PTHREAD_STACK_MIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t at;
    pthread_attr_init(&at);
    OK(pthread_attr_setstack(&at, s, PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 200; i++) {
        pthread_t t;
        void *r;
        MUST(pthread_create(&t, &at, body, s) == 0);
        MUST(pthread_join(t, &r) == 0 && r == s);
        memset(s, 0xff, PTHREAD_STACK_MIN);
    }
    return done();
}
