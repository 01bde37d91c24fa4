//@ variants: dynamic-pie static
//@ flags: -pthread
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 20
// std::thread and what goes with it as kernel threads; thread_local with destructors; cancellation unwinds through C++ frames.
#include <atomic>
#include <condition_variable>
#include <future>
#include <iostream>
#include <mutex>
#include <pthread.h>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <unistd.h>
#include <vector>
static std::atomic<int> made, gone, unwound;
struct Counted {
    int n = 0;
    Counted() { made++; }
    ~Counted() { gone++; }
};
static thread_local Counted counted;
struct Guard {
    ~Guard() { unwound++; }
};
static std::mutex never;
static std::condition_variable nothing;
static void *waits(void *) {
    Guard g;
    std::unique_lock<std::mutex> l(never);
    Guard h;
    for (;;) nothing.wait(l);
    return nullptr;
}
static void *reads(void *p) {
    Guard g;
    char b;
    for (;;) if (read(*static_cast<int *>(p), &b, 1) != 1) break;
    return nullptr;
}
int main() {
    std::mutex m;
    std::condition_variable c;
    int turn = 0, sum = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < 16; i++)
        all.emplace_back([&, i] {
            counted.n = i;
            std::unique_lock<std::mutex> l(m);
            c.wait(l, [&] { return turn == i; });
            turn++;
            sum += counted.n;
            c.notify_all();
        });
    for (auto &t : all) t.join();
    std::cout << sum << " " << made << " " << gone << "\n";
    auto f = std::async(std::launch::async, []() -> int { throw std::runtime_error("from a thread"); });
    try {
        f.get();
    } catch (const std::exception &e) {
        std::cout << e.what() << "\n";
    }
    std::shared_mutex s;
    std::thread([&] {
        std::shared_lock<std::shared_mutex> l(s);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }).join();
    {
        std::unique_lock<std::mutex> l(m);
        std::cout << (c.wait_for(l, std::chrono::milliseconds(10)) == std::cv_status::timeout) << "\n";
    }
    int p[2];
    if (pipe(p)) return 1;
    pthread_t t[2];
    pthread_create(&t[0], nullptr, waits, nullptr);
    pthread_create(&t[1], nullptr, reads, p);
    usleep(50000);
    for (pthread_t x : t) {
        void *r;
        pthread_cancel(x);
        pthread_join(x, &r);
        std::cout << (r == PTHREAD_CANCELED) << " " << unwound << "\n";
    }
    std::cout << never.try_lock() << "\n";
    return 0;
}
