// A hybrid started with little address space, as under `ulimit -v`, still starts.
//@ no-kvm: by name it cannot start in 64 MiB of address space, and says so (kvm_days has the limits)
#include "check.h"
#include <sys/resource.h>
int main(int argc, char **argv) {
    if (argc > 1) { printf("started under %s MiB\n", argv[1]); return 4; }
    int mib[] = {512, 128, 64, 32};
    for (int i = 0; i < 4; i++) {
        pid_t p = fork();
        if (!p) {
            struct rlimit rl = {(rlim_t)mib[i] << 20, (rlim_t)mib[i] << 20};
            setrlimit(RLIMIT_AS, &rl);
            char s[12];
            sprintf(s, "%d", mib[i]);
            execl("./prog", "prog", s, NULL);
            _exit(1);
        }
        OK(reap(p) == 4);
    }
    struct rlimit rl = {8, 8};
    pid_t p = fork();
    if (!p) { setrlimit(RLIMIT_NOFILE, &rl); execl("./prog", "prog", "nofile", NULL); _exit(1); }
    OK(reap(p) == 4);
    p = fork();
    if (!p) { rl.rlim_cur = rl.rlim_max = 256 << 10; setrlimit(RLIMIT_STACK, &rl); execl("./prog", "prog", "stack", NULL); _exit(1); }
    OK(reap(p) == 4);
    p = fork();
    if (!p) { rl.rlim_cur = rl.rlim_max = RLIM_INFINITY; setrlimit(RLIMIT_STACK, &rl); execl("./prog", "prog", "unlimited stack", NULL); _exit(1); }
    OK(reap(p) == 4);
    return done();
}
