//@ signal: SIGKILL
// kill -9 of itself.
#include "check.h"
int main(void) {
    printf("bye\n");
    kill(getpid(), SIGKILL);
    printf("FAILED\n");
    return 1;
}
