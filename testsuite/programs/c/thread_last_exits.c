//@ flags: -pthread
// All threads leave by pthread_exit: the process ends with status 0 and runs atexit functions.
#include "check.h"
static void *body(void *a) { millis(20); printf("last thread\n"); return a; }
static void bye(void) { printf("atexit\n"); }
int main(void) {
    pthread_t t;
    atexit(bye);
    pthread_create(&t, NULL, body, NULL);
    pthread_detach(t);
    pthread_exit(NULL);
}
