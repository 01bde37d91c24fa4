//@ variants: dynamic-pie static
// posix_spawn with file actions, system and popen.
#include "check.h"
#include <spawn.h>
extern char **environ;
int main(void) {
    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 1, "out", O_CREAT | O_WRONLY, 0644);
    char *argv[] = {"sh", "-c", "echo spawned; exit 3", NULL};
    pid_t pid;
    OK(posix_spawn(&pid, "/bin/sh", &fa, NULL, argv, environ) == 0);
    OK(reap(pid) == 3);
    char buf[100] = "";
    int fd = open("out", O_RDONLY);
    read(fd, buf, 99);
    OK(!strcmp(buf, "spawned\n"));
    OK(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, environ) == ENOENT);
    OK(posix_spawnp(&pid, "true", NULL, NULL, (char *[]){"true", NULL}, environ) == 0);
    OK(reap(pid) == 0);
    OK(WEXITSTATUS(system("echo from system; exit 5")) == 5);
    int st = system("kill -9 $$");
    OK(WIFSIGNALED(st) && WTERMSIG(st) == 9);
    FILE *f = popen("read a; echo got $a | tr a-z A-Z > popen.out", "w");
    fprintf(f, "words\n");
    OK(pclose(f) == 0);
    f = popen("cat popen.out; exit 2", "r");
    OK(fgets(buf, 100, f) && !strcmp(buf, "GOT WORDS\n"));
    OK(WEXITSTATUS(pclose(f)) == 2);
    return done();
}
