//@ variants: dynamic-pie static
//@ flags: -pthread
// std::thread, mutex, condition_variable, async, future, atomic wait, thread_local destructors, jthread-like stops.
#include <atomic>
#include <condition_variable>
#include <future>
#include <iostream>
#include <mutex>
#include <numeric>
#include <queue>
#include <thread>
#include <vector>
static std::atomic<int> gone{0};
struct Local { int v = 3; ~Local() { gone += v; } };
static thread_local Local local;
int main() {
    std::mutex m;
    std::condition_variable cv;
    std::queue<int> q;
    bool end = false;
    std::atomic<long> sum{0};
    std::vector<std::thread> ts;
    for (int i = 0; i < 4; i++)
        ts.emplace_back([&] {
            local.v = 3;
            for (;;) {
                std::unique_lock<std::mutex> l(m);
                cv.wait(l, [&] { return end || !q.empty(); });
                if (q.empty()) return;
                int v = q.front();
                q.pop();
                l.unlock();
                sum += v;
            }
        });
    for (int i = 0; i < 10000; i++) { { std::lock_guard<std::mutex> l(m); q.push(i); } cv.notify_one(); }
    { std::lock_guard<std::mutex> l(m); end = true; }
    cv.notify_all();
    for (auto &t : ts) t.join();
    std::cout << sum << " " << gone << "\n";
    std::vector<std::future<long>> fs;
    for (int i = 0; i < 20; i++) fs.push_back(std::async(std::launch::async, [i] { std::vector<long> v(1000, i); return std::accumulate(v.begin(), v.end(), 0L); }));
    long total = 0;
    for (auto &f : fs) total += f.get();
    std::cout << total << "\n";
    auto f = std::async(std::launch::async, []() -> int { throw 7; });
    try { f.get(); } catch (int i) { std::cout << "future threw " << i << "\n"; }
    std::promise<int> p;
    std::cout << (p.get_future().wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout) << "\n";
}
