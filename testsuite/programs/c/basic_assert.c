//@ signal: SIGABRT
// An assertion's text on stderr is the plain program's.
#include <assert.h>
#include <stdio.h>
int main(int argc, char **argv) {
    (void)argv;
    printf("about to fail\n");
    fflush(stdout);
    assert(argc == 17);
}
