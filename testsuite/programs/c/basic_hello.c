//@ variants: dynamic-pie no-pie static static-pie musl
//@ args: one two
//@ stats: sites_patched >= 1
// The smallest one: arguments in, a line out.
#include <stdio.h>

int main(int argc, char **argv) {
    printf("hello from %s with %d arguments\n", argv[0], argc - 1);
    for (int i = 1; i < argc; i++) printf("%d: %s\n", i, argv[i]);
    return 0;
}
