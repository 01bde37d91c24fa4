// argv rewritten in place shows in /proc; PR_SET_NAME; /proc/self/exe and maps are right.
#include "check.h"
#include <sys/prctl.h>
static char *slurp(const char *path) {
    static char buf[1 << 20];
    int fd = open(path, O_RDONLY), n = 0, k;
    while ((k = read(fd, buf + n, sizeof buf - 1 - n)) > 0) n += k;
    buf[n] = 0;
    close(fd);
    return buf;
}
int main(int argc, char **argv) {
    (void)argc;
    printf("cmdline %s\n", slurp("/proc/self/cmdline"));
    memset(argv[0], 'T', strlen(argv[0]));
    printf("cmdline %s\n", slurp("/proc/self/cmdline"));
    printf("comm %s", slurp("/proc/self/comm"));
    OK(prctl(PR_SET_NAME, "renamed") == 0);
    printf("comm %s", slurp("/proc/self/comm"));
    char exe[4096] = "";
    readlink("/proc/self/exe", exe, sizeof exe - 1);
    OK(!strcmp(strrchr(exe, '/'), "/prog"));
    char *maps = slurp("/proc/self/maps");
    OK(strstr(maps, "[stack]") && strstr(maps, "/prog"));
    int local;
    unsigned long a, z;
    int inside = 0;
    for (char *l = maps; l && *l; l = strchr(l, '\n') ? strchr(l, '\n') + 1 : NULL)
        if (sscanf(l, "%lx-%lx", &a, &z) == 2) inside += (unsigned long)&local >= a && (unsigned long)&local < z;
    OK(inside == 1);
    OK(!strcmp(slurp("/proc/self/environ"), slurp("/proc/self/environ")));
    return done();
}
