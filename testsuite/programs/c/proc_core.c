// A core dump is written where Linux writes one, and the parent sees that it was.
#include "check.h"
#include <elf.h>
#include <sys/resource.h>
int main(void) {
    char pattern[100] = "";
    int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY);
    read(fd, pattern, 99);
    if (strcmp(pattern, "core\n")) CANNOT("core_pattern is not `core`");
    struct rlimit rl = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &rl)) CANNOT("no right to raise RLIMIT_CORE");
    for (int k = 0; k < 2; k++) {
        unlink("core");
        pid_t p = fork();
        if (!p) { if (k) abort(); *(volatile int *)8 = 1; }
        int st;
        waitpid(p, &st, 0);
        OK(WIFSIGNALED(st) && WCOREDUMP(st));
        char dir[300];
        sprintf(dir, "core.%d", p);
        fd = open("core", O_RDONLY);
        if (fd < 0) fd = open(dir, O_RDONLY);
        Elf64_Ehdr e;
        OK(read(fd, &e, sizeof e) == sizeof e && e.e_type == ET_CORE);
        // The signal in the core's NT_PRSTATUS is the one it died by.
        Elf64_Phdr ph;
        int sig = 0;
        for (int i = 0; i < e.e_phnum && !sig; i++) {
            pread(fd, &ph, sizeof ph, e.e_phoff + i * sizeof ph);
            Elf64_Nhdr n;
            int cursig = 0;
            if (ph.p_type == PT_NOTE && pread(fd, &n, sizeof n, ph.p_offset) == sizeof n && n.n_type == NT_PRSTATUS)
                pread(fd, &cursig, 2, ph.p_offset + sizeof n + 8 + 12), sig = cursig;
        }
        OK(sig == (k ? SIGABRT : SIGSEGV));
        unlink("core"), unlink(dir);
    }
    return done();
}
