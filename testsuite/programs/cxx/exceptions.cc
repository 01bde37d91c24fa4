//@ variants: dynamic-pie no-pie static static-pie
// Exceptions: across functions, rethrown, with destructors, from threads, and exception_ptr.
#include <exception>
#include <iostream>
#include <stdexcept>
#include <thread>
#include <unistd.h>
struct Loud { const char *n; ~Loud() { std::cout << "destroyed " << n << "\n"; getppid(); } };
static void deep(int n) { Loud l{"in deep"}; if (n == 0) throw std::runtime_error("from the deep"); deep(n - 1); }
int main() {
    try { deep(3); } catch (const std::exception &e) { std::cout << "caught " << e.what() << "\n"; }
    try { try { throw 5; } catch (int) { throw; } } catch (int i) { std::cout << "again " << i << "\n"; }
    std::exception_ptr p;
    std::thread([&] { try { deep(0); } catch (...) { p = std::current_exception(); } }).join();
    try { std::rethrow_exception(p); } catch (const std::runtime_error &e) { std::cout << "other thread: " << e.what() << "\n"; }
    int sum = 0;
    for (int i = 0; i < 20000; i++) try { getppid(); throw i; } catch (int k) { sum += k & 1; }
    std::cout << sum << "\n";
}
