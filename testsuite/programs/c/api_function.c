//@ variants: dynamic-pie static
// The kernel's functions are found by number, and are called as any function; without the kernel there are none.
#include "../../../hrt-runtime-shim/api/hrt.h"
#include "check.h"
int main(void) {
    struct hrt_info info;
    long kernel = hrt_get_info(&info);
    OK(kernel == 0 || kernel == HRT_ENOTSUP);
    OK(hrt_function(-1) == NULL);
    OK(hrt_call(99, 0, 0, 0) == HRT_ENOTSUP);
    uint64_t (*cycles)(void) = (uint64_t(*)(void))hrt_function(HRT_FN_CYCLES);
    OK((cycles != NULL) == (kernel == 0));
    if (cycles) {
        MUST(info.platform == HRT_PLATFORM_KVM || info.platform == HRT_PLATFORM_HOSTED);
        uint64_t a = cycles(), b = cycles();
        MUST(b > a);
        MUST(hrt_call(HRT_OP_INFO, 8, sizeof info, 0) == -EFAULT);
        MUST(hrt_call(HRT_OP_INFO, (long)&info, 1, 0) == -EINVAL);
    }
    return done();
}
