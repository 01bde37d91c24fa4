// exec of a script by its #! line, of one without (execvp falls back to sh), of one whose interpreter is the program.
#include "check.h"
static void put(const char *name, const char *text, int mode) {
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, mode);
    write(fd, text, strlen(text));
    close(fd);
}
static int run(const char *name) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) { execlp(name, name, "arg", NULL); _exit(100 + errno); }
    return reap(pid);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        for (int i = 0; i < argc; i++) printf("interpreted %d: %s\n", i, argv[i]);
        return 8;
    }
    put("a.sh", "#!/bin/sh\necho script $1\nexit 4\n", 0755);
    put("b.sh", "echo no interpreter line $1\nexit 5\n", 0755);
    put("c.sh", "#!./prog option\n", 0755);
    put("d.sh", "#!/nonexistent\n", 0755);
    put("e.sh", "#!/bin/sh\n", 0644);
    OK(run("./a.sh") == 4);
    OK(run("./b.sh") == 5);
    OK(run("./c.sh") == 8);
    OK(run("./d.sh") == 100 + ENOENT);
    OK(getuid() != 0 || run("./e.sh") == 100 + EACCES);
    return done();
}
