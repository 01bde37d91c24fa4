//@ variants: dynamic-pie static static-pie musl
//@ flags: -pthread
// Large aligned thread-local storage, keys with destructors, errno per thread.
#include "check.h"
static __thread char big[20000] __attribute__((aligned(256))) = {1};
static __thread long zero[1000];
static pthread_key_t key;
static int destroyed;
static void destroy(void *p) { destroyed += *(int *)p; free(p); }
static void *body(void *a) {
    MUST(big[0] == 1 && big[19999] == 0 && ((uintptr_t)big & 255) == 0 && zero[999] == 0);
    big[0] = 9, zero[999] = 4;
    int *v = malloc(sizeof *v);
    *v = (long)a;
    pthread_setspecific(key, v);
    errno = 0;
    close(-1);
    MUST(errno == EBADF);
    return NULL;
}
int main(void) {
    pthread_key_create(&key, destroy);
    errno = 77;
    for (long i = 0; i < 20; i++) {
        pthread_t t;
        pthread_create(&t, NULL, body, (void *)i);
        pthread_join(t, NULL);
    }
    MUST(errno == 77);
    MUST(big[0] == 1);
    printf("destroyed %d\n", destroyed);
    return done();
}
