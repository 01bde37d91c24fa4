//@ signal: SIGPIPE
// Writing to a pipe without a reader: EPIPE when ignored, death otherwise.
#include "check.h"
int main(void) {
    int p[2];
    OK(pipe(p) == 0);
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    OK(ERR(write(p[1], "x", 1), EPIPE));
    signal(SIGPIPE, SIG_DFL);
    write(p[1], "x", 1);
    printf("FAILED\n");
    return 0;
}
