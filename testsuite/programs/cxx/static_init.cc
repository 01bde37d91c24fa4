//@ variants: dynamic-pie no-pie static static-pie
//@ exit: 5
// Static objects: made in order before main, unmade in reverse after exit; function statics once among threads.
#include <cstdio>
#include <cstdlib>
#include <thread>
struct S { const char *n; S(const char *m) : n(m) { std::printf("made %s\n", n); } ~S() { std::printf("unmade %s\n", n); } };
static S a{"a"}, b{"b"};
static S &once() { static S s{"once"}; return s; }
int main() {
    std::thread t([] { once(); }), u([] { once(); });
    t.join();
    u.join();
    std::printf("main %s\n", once().n);
    std::exit(5);
}
