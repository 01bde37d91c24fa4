//@ variants: dynamic-pie static
//@ signal: SIGABRT
// abort gets through, atexit functions do not run.
#include "check.h"
static void never(void) { write(1, "FAILED\n", 7); }
int main(void) {
    atexit(never);
    write(2, "to stderr\n", 10);
    printf("about to abort\n");
    abort();
}
