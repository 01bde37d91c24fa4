// prctl, personality, uname, sysinfo, getrandom, umask, priorities, capabilities.
#include "check.h"
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
int main(void) {
    struct utsname u;
    OK(uname(&u) == 0 && !strcmp(u.sysname, "Linux") && !strcmp(u.machine, "x86_64"));
    struct sysinfo si;
    OK(sysinfo(&si) == 0 && si.totalram > 0);
    char a[32] = {0}, b[32] = {0};
    OK(getrandom(a, 32, 0) == 32 && getrandom(b, 32, 0) == 32 && memcmp(a, b, 32));
    OK(personality(0xffffffff) != -1);
    umask(022);
    OK(umask(077) == 022);
    OK(prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0);
    OK(prctl(PR_SET_DUMPABLE, 1) == 0);
    OK(prctl(PR_SET_TIMERSLACK, 1000) == 0 && prctl(PR_GET_TIMERSLACK) == 1000);
    OK(ERR(prctl(9999), EINVAL));
    errno = 0;
    OK(getpriority(PRIO_PROCESS, 0) != -1 || errno == 0);
    OK(nice(1) == getpriority(PRIO_PROCESS, 0));
    struct rlimit rl = {64, 64}, old;
    OK(prlimit(0, RLIMIT_NOFILE, &rl, &old) == 0 && getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur == 64);
    int n = 0;
    while (open("/dev/null", O_RDONLY) >= 0) n++;
    int e = errno;
    printf("descriptors until EMFILE: %d\n", n);
    OK(e == EMFILE);
    close(10); // the statistics need one
    return done();
}
