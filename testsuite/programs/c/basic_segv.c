//@ variants: dynamic-pie static
//@ signal: SIGSEGV
// A fault with no handler ends the process with SIGSEGV.
#include "check.h"
int main(void) {
    printf("writing to page zero\n");
    *(volatile int *)8 = 1;
    printf("FAILED\n");
    return 0;
}
