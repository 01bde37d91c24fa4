// Makes a virtual machine by /dev/kvm, runs two instructions in it, and says what came out. Tells a fault of the machine
// that is to run the tests from one of the program tested.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define TRY(call)            \
    ({                       \
        long r_ = (call);    \
        if (r_ < 0) {        \
            perror(#call);   \
            return 1;        \
        }                    \
        r_;                  \
    })

int main(void) {
    static const uint8_t code[] = {0xe6, 0x42, 0xf4}; // out %al, $0x42; hlt
    int kvm = TRY(open("/dev/kvm", O_RDWR | O_CLOEXEC));
    int vm = TRY(ioctl(kvm, KVM_CREATE_VM, 0));
    int vcpu = TRY(ioctl(vm, KVM_CREATE_VCPU, 0));
    long size = TRY(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED || memory == MAP_FAILED) return 2;
    memcpy(memory, code, sizeof code);
    struct kvm_userspace_memory_region region = {.memory_size = 4096, .userspace_addr = (uintptr_t)memory};
    TRY(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
    struct kvm_sregs sregs;
    TRY(ioctl(vcpu, KVM_GET_SREGS, &sregs));
    sregs.cs.base = sregs.cs.selector = 0;
    TRY(ioctl(vcpu, KVM_SET_SREGS, &sregs));
    struct kvm_regs regs = {.rax = 42, .rflags = 2};
    TRY(ioctl(vcpu, KVM_SET_REGS, &regs));
    TRY(ioctl(vcpu, KVM_RUN, 0));
    if (run->exit_reason != KVM_EXIT_IO) return 3;
    printf("port %#x: %d\n", run->io.port, *((uint8_t *)run + run->io.data_offset));
    TRY(ioctl(vcpu, KVM_RUN, 0));
    printf("%s\n", run->exit_reason == KVM_EXIT_HLT ? "halted" : "not halted");
    return 0;
}
