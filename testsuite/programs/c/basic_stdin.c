//@ stdin: first line\nsecond line\n12 30\n
// Standard input through stdio, to its end.
#include "check.h"
int main(void) {
    char line[100];
    int a, b;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%d %d", &a, &b) == 2) printf("sum %d\n", a + b);
        else printf("read: %s", line);
    }
    OK(feof(stdin));
    OK(read(0, line, 1) == 0);
    return done();
}
