//@ variants: dynamic-pie static
//@ flags: -fnon-call-exceptions -fasynchronous-unwind-tables
// A handler throws, out of a fault, as -fnon-call-exceptions allows.
#include <csignal>
#include <cstring>
#include <iostream>
#include <unistd.h>
struct Fault { int sig; };
static void on(int s, siginfo_t *, void *) {
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, s);
    sigprocmask(SIG_UNBLOCK, &m, nullptr);
    throw Fault{s};
}
struct Guard { ~Guard() { std::cout << "unwound\n"; } };
__attribute__((noinline)) static int touch(volatile int *p) { Guard g; return *p; }
int main() {
    struct sigaction sa;
    std::memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &sa, nullptr);
    for (int i = 0; i < 3; i++) {
        try { touch(nullptr); std::cout << "FAILED\n"; } catch (Fault f) { std::cout << "caught " << f.sig << "\n"; }
    }
    std::cout << getppid() * 0 << "\n";
}
