//@ variants: dynamic-pie static
// FS read by arch_prctl and moved away from libc's TLS and back: calls in between must not rely on it.
#include "check.h"
#include <asm/prctl.h>
static unsigned long cell[4] = {11, 22, 33, 44};
int main(void) {
    unsigned long v = 1, fs;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
    OK(RAW(SYS_arch_prctl, ARCH_GET_FS, &v) == 0 && v == fs);
    OK(RAW(SYS_arch_prctl, ARCH_GET_GS, &v) == 0 && v == 0);
    long bad = 0;
    for (int i = 0; i < 100; i++) {
        long moved = RAW(SYS_arch_prctl, ARCH_SET_FS, cell);
        unsigned long seen;
        __asm__ volatile("mov %%fs:8, %0" : "=r"(seen));
        long pid = RAW(SYS_getpid), x = RAW(9999), pp = RAW(SYS_getppid), sa = RAW(SYS_rt_sigaction, 500, 0, 0, 8);
        RAW(SYS_arch_prctl, ARCH_SET_FS, fs);
        bad += moved != 0 || seen != 22 || pid != getpid() || pp != getppid() || x != -ENOSYS || sa != -EINVAL;
    }
    OK(bad == 0);
    OK(RAW(SYS_arch_prctl, ARCH_SET_FS, 0x8000000000000000UL) == -EPERM);
    OK(RAW(SYS_arch_prctl, 0x9999, 0) == -EINVAL);
    return done();
}
