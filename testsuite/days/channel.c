// Many short calls in a row, from the C library's patched sites, each with the result that it must have.
#include "check.h"

int main(void) {
    long parent = getppid();
    for (int i = 0; i < 40000; i++) {
        if (getppid() != parent) return 1;
    }
    return 7;
}
