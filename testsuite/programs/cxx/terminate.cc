//@ signal: SIGABRT
// An exception that nobody catches: the runtime's words on stderr, then SIGABRT.
#include <cstdio>
#include <stdexcept>
int main() { std::puts("throwing"); std::fflush(stdout); throw std::runtime_error("nobody catches me"); }
