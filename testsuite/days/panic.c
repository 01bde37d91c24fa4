// Brings the kernel that serves it to a state that should not be. `panic partner`: takes a page of the kernel's away from it;
// `panic shutdown`: takes the virtual CPU its exception handlers, in ring 0; `panic abort`: just abort(3).
#include "check.h"
#include "../../hrt-runtime-shim/api/hrt.h"

static void on(int s, siginfo_t *i, void *c) {
    (void)s, (void)i, (void)c;
    puts("the program's handler");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "abort")) abort();
    struct hrt_info info;
    if (hrt_get_info(&info) || info.platform != HRT_PLATFORM_KVM) CANNOT("not on kvm");
    if (!strcmp(what, "shutdown")) {
        if (!hrt_in_ring0()) CANNOT("not in ring 0");
        struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = {0, 0};
        __asm__ volatile("lidt %0; ud2" : : "m"(none));
    }
    if (!strcmp(what, "partner")) {
        // With a handler of the program's, which it must not reach; without one Linux ends the process at once.
        handle(SIGSEGV, on, 0);
        // The GS base is the thread's block; what the partner writes for each run of the virtual CPU is after its first 8 KiB.
        char *block;
        __asm__ volatile("mov %%gs:0, %0" : "=r"(block));
        mprotect(block + 8192, 4096, PROT_NONE);
    }
    return 1;
}
