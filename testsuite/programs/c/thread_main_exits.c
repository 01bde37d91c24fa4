//@ variants: dynamic-pie static
//@ flags: -pthread
//@ exit: 5
// main leaves by pthread_exit; another thread goes on and ends the process.
#include "check.h"
static void *body(void *a) {
    pthread_join(*(pthread_t *)a, NULL);
    millis(10);
    printf("main is gone, getpid still works: %d\n", getpid() == RAW(SYS_getpid) && getpid() != gettid());
    exit(5);
}
static pthread_t self;
int main(void) {
    pthread_t t;
    self = pthread_self();
    pthread_create(&t, NULL, body, &self);
    printf("main leaves\n");
    pthread_exit(NULL);
}
