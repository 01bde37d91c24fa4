//@ variants: dynamic-pie static musl
//@ exit: 42
// exit runs atexit functions in reverse order, after main's return, and the status gets out.
#include "check.h"
static void a(void) { printf("first registered, last run\n"); }
static void b(void) { printf("second\n"); }
static void c(void) { printf("third registered, first run\n"); }
__attribute__((constructor)) static void ctor(void) { printf("constructor\n"); }
__attribute__((destructor)) static void dtor(void) { printf("destructor\n"); }
int main(void) {
    atexit(a);
    atexit(b);
    atexit(c);
    printf("main\n");
    return 42;
}
