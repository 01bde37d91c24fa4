//@ variants: dynamic-pie no-pie static static-pie
// The smallest one in C++, with iostream's static initialization.
#include <iostream>
#include <string>

int main() {
    std::string s = "hello";
    std::cout << s << " of " << s.size() << std::endl;
}
