//@ flags: -pthread
// pthread_cancel unwinds C++ frames: destructors run, out of a blocked system call, and catch (...) must rethrow.
#include <iostream>
#include <pthread.h>
#include <unistd.h>
struct Guard { int n; ~Guard() { std::cout << "guard " << n << "\n"; } };
static int p[2];
static void *body(void *) {
    Guard a{1};
    try { Guard b{2}; char c; while (read(p[0], &c, 1) >= 0) {} } catch (...) { std::cout << "caught on the way\n"; throw; }
    return nullptr;
}
int main() {
    if (pipe(p)) return 1;
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        void *r;
        pthread_create(&t, nullptr, body, nullptr);
        usleep(5000);
        pthread_cancel(t);
        pthread_join(t, &r);
        std::cout << (r == PTHREAD_CANCELED) << "\n";
    }
}
