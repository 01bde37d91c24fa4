// held COMMAND...: runs it with a virtual machine that stays, in descriptors 5 to 7. When the first one comes and the last one goes,
// Linux rewrites instructions of its scheduler (static keys), and of QEMU's software CPUs one may then go on with the old ones for ever.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int kvm = open("/dev/kvm", O_RDWR);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (argc < 2 || cpu < 0) {
        perror("/dev/kvm");
    } else {
        // To where none of the three can be by now: 0 to 4 are taken.
        int from[] = {fcntl(kvm, F_DUPFD, 20), fcntl(vm, F_DUPFD, 20), fcntl(cpu, F_DUPFD, 20)};
        for (int i = 0; i < 3; i++) {
            dup2(from[i], 5 + i);
            close(from[i]);
        }
    }
    if (argc > 1) execvp(argv[1], argv + 1);
    return 127;
}
