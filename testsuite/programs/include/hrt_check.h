// For programs on the kernel's functions: without the kernel each must say so, and nothing else is looked at. What a program prints is
// the same in both cases.
#ifndef HRT_CHECK_H
#define HRT_CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../../../hrt-runtime-shim/api/hrt.h"
#include "check.h"

// Some microseconds' work, in which the kernel may make posted calls on another core.
static inline void a_while(void) {
    for (volatile int i = 0; i < 3000; i++) {}
}

// Ends a program that runs without the kernel, after it has seen that the functions say so. Libc gets to know of the carriers.
static inline int without_kernel(void) {
    struct hrt_info info;
    if (hrt_get_info(&info) == 0) {
        MUST(hrt_threads_by_pthread() == 0);
        return 0;
    }
    hrt_thread_t t;
    hrt_mutex_t m = HRT_MUTEX_INIT(HRT_MUTEX_NORMAL);
    MUST(hrt_thread_create(&t, NULL, NULL, 0, 0) == HRT_ENOTSUP);
    MUST(hrt_thread_yield() == HRT_ENOTSUP);
    MUST(hrt_mutex_lock(&m) == HRT_ENOTSUP);
    MUST(hrt_threads_by_pthread() == HRT_ENOTSUP);
    return 1;
}
#endif
