//@ variants: dynamic-pie static
// exec with an empty environment, an empty argument list, and very long ones: the payload adds and loses nothing.
#include "check.h"
extern char **environ;
int main(int argc, char **argv) {
    if (argc != 1 || !strcmp(argv[0], "child")) {
        int n = 0;
        unsigned long len = 0;
        for (char **e = environ; *e; e++) n++, len += strlen(*e);
        printf("argc %d, %d variables of %lu bytes, last argument %.10s\n", argc, n, len, argc ? argv[argc - 1] : "none");
        return 3;
    }
    char *none[] = {NULL}, *big[1002], *env[502];
    char *text = malloc(1001);
    memset(text, 'v', 1000);
    text[1000] = 0, text[1] = '=';
    big[0] = "child";
    for (int i = 1; i < 1001; i++) big[i] = text;
    big[1001] = NULL;
    for (int i = 0; i < 501; i++) env[i] = text;
    env[501] = NULL, env[500] = NULL;
    for (int k = 0; k < 3; k++) {
        pid_t p = fork();
        if (!p) {
            if (k == 0) execve("./prog", (char *[]){"child", NULL}, none);
            if (k == 1) execve("./prog", big, env);
            if (k == 2) execve("./prog", (char *[]){"child", "x", NULL}, NULL);
            _exit(1);
        }
        OK(reap(p) == 3);
    }
    return done();
}
