// membarrier, userfaultfd or its refusal, kcmp, ioprio, perf_event_open or its refusal: rarer calls pass through.
#include "check.h"
int main(void) {
    long r = RAW(SYS_membarrier, 0, 0, 0);
    OK(r == -ENOSYS || r > 0);
    OK(RAW(SYS_membarrier, 0x7777, 0, 0) < 0);
    r = RAW(SYS_kcmp, getpid(), getpid(), 0, 0, 0);
    OK(r == 0 || r == -ENOSYS || r == -EPERM);
    OK(RAW(SYS_ioprio_get, 1, 0) >= 0);
    OK(RAW(SYS_perf_event_open, 8, 0, -1, -1, 0) < 0);
    OK(RAW(SYS_bpf, 9999, 0, 0) < 0);
    OK(RAW(SYS_set_tid_address, 0) == gettid());
    OK(RAW(SYS_modify_ldt, 0, 0, 0) == -EFAULT || RAW(SYS_modify_ldt, 0, 0, 0) == 0 || RAW(SYS_modify_ldt, 0, 0, 0) == -ENOSYS);
    OK(RAW(SYS_sched_getscheduler, 0) == 0);
    return done();
}
