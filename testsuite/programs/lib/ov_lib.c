// A library whose functions are overridden, and whose constructor allocates.
#include <stdlib.h>
#include <string.h>
#include <time.h>
char *lib_small, *lib_large, *lib_freed;
long lib_time(time_t *t) { return *t = time(NULL); }
long lib_twice(void) {
    time_t a, b;
    return (lib_time(&a) > 0) + (lib_time(&b) > 0);
}
unsigned long lib_empty(void) { return 1; }
__attribute__((constructor)) static void start(void) {
    lib_small = malloc(100);
    memset(lib_small, 's', 100);
    lib_large = malloc(1000000);
    memset(lib_large, 'l', 1000000);
    lib_freed = malloc(50);
}
