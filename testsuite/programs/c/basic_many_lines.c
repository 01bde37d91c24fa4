// Many small unbuffered writes to stdout, in order.
#include "check.h"
int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 2000; i++) printf("line %d of %s\n", i, "many");
    return 0;
}
