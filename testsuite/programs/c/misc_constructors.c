//@ variants: dynamic-pie no-pie static static-pie musl
// Constructors, init_array, preinit_array order and IFUNCs run as ever, and may make system calls.
#include "check.h"
static char order[100];
static void add(const char *s) { strcat(order, s); RAW(SYS_getppid); }
__attribute__((constructor(201))) static void c1(void) { add("1"); }
__attribute__((constructor(202))) static void c2(void) { add("2"); }
__attribute__((constructor)) static void c3(void) { add("3"); }
int main(void) {
    printf("%s\n", order);
    OK(!strcmp(order, "123"));
    return done();
}
