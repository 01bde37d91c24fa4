//@ variants: dynamic-pie no-pie
//@ toml: sets = ["malloc"]
//@ stats: overrides.malloc.places == 2
//@ stats: overrides.malloc.calls >= 2
// The program started by way of ld.so, as `ld.so ./prog`: AT_BASE is 0 then, and all is as ever.
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>
extern char **environ;
int main(int argc, char **argv) {
    char *p = malloc(100);
    strcpy(p, argv[argc - 1]);
    if (argc > 1) {
        printf("child %s\n", p);
        OK(getauxval(AT_BASE) == 0);
        free(p);
        return done();
    }
    OK(getauxval(AT_BASE) != 0);
    free(p);
    pid_t pid = fork();
    if (pid == 0) {
        char *args[] = {"ld.so", "./prog", "argument", NULL};
        execve("/lib64/ld-linux-x86-64.so.2", args, environ);
        _exit(9);
    }
    OK(reap(pid) == 0);
    return done();
}
