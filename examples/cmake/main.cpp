// Counts words in several threads.
#include "count.h"

#include <iostream>
#include <stdexcept>
#include <thread>
#include <vector>

int main()
{
    const std::vector<std::string> lines{"the runtime and the kernel", "the kernel", "a runtime"};
    std::vector<std::map<std::string, int>> parts(lines.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < lines.size(); ++i)
        threads.emplace_back([&, i] { parts[i] = count(lines[i]); });
    for (auto &thread : threads)
        thread.join();
    std::map<std::string, int> all;
    for (const auto &part : parts)
        for (const auto &[word, n] : part)
            all[word] += n;
    for (const auto &[word, n] : all)
        std::cout << word << ' ' << n << '\n';
    try {
        count("");
    } catch (const std::invalid_argument &e) {
        std::cout << "caught: " << e.what() << '\n';
    }
}
