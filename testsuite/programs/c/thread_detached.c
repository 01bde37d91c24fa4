//@ flags: -pthread
// Detached threads come and go; their stacks are reused.
#include "check.h"
static int ended;
static void *body(void *a) { __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST); return a; }
int main(void) {
    pthread_attr_t at;
    pthread_attr_init(&at);
    pthread_attr_setdetachstate(&at, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&at, 16384);
    for (int i = 0; i < 300; i++) {
        pthread_t t;
        while (pthread_create(&t, &at, body, NULL)) millis(1);
        if (i % 50 == 49) while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) < i + 1) millis(1);
    }
    OK(ended == 300);
    return done();
}
