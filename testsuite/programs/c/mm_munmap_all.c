// Runs on after it has unmapped its libc-independent surroundings: every system call is its own from then on.
//@ variants: static
//@ exit: 12
#include "check.h"
int main(void) {
    printf("unmapping the vdso and vvar\n");
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned long v[8][2];
    int n = 0;
    while (fgets(line, sizeof line, f))
        if (strstr(line, "[vdso]") && n < 8 && sscanf(line, "%lx-%lx", &v[n][0], &v[n][1]) == 2) n++;
    fclose(f);
    for (int i = 0; i < n; i++) RAW(SYS_munmap, v[i][0], v[i][1] - v[i][0]);
    struct timespec t;
    if (RAW(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0) RAW(SYS_write, 1, "still here\n", 11);
    RAW(SYS_exit_group, 12);
    return 0;
}
