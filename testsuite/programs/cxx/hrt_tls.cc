//@ variants: dynamic-pie static
//@ flags: -pthread
//@ stats: kernel_threads.created >= 40
// Kernel threads with thread-local variables of their own: libc's, the program's with initial values and destructors, pthread keys; they go with a thread to another
// carrier.
#include "hrt_check.h"
#include <atomic>
#include <ctype.h>
#include <string>
#include <vector>
static __thread long mine = 42;
static std::atomic<long> destroyed, keyed;
struct Object {
    std::string text = "fresh";
    ~Object() { destroyed++; }
};
static thread_local Object object;
static pthread_key_t key;
static hrt_barrier_t all = HRT_BARRIER_INIT(20);
static void *works(void *p) {
    long n = (long)p;
    MUST(mine == 42 && object.text == "fresh");
    mine = n;
    object.text = std::to_string(n);
    MUST(pthread_getspecific(key) == NULL && pthread_setspecific(key, p) == 0);
    errno = (int)n;
    pthread_t self = pthread_self();
    hrt_barrier_wait(&all);
    for (int i = 0; i < 50; i++) {
        hrt_thread_yield();
        MUST(errno == (int)n && mine == n && object.text == std::to_string(n) && pthread_equal(self, pthread_self()));
        MUST(isalpha('x') && !isalpha('1') && strtol("77", NULL, 10) == 77);
        std::vector<std::string> v(10, "some memory, that is allocated and freed again");
        char line[64];
        snprintf(line, sizeof line, "%ld %.2f", n, n / 4.0);
        MUST(atol(line) == n);
        errno = (int)n;
    }
    try {
        throw n;
    } catch (long caught) {
        MUST(caught == n);
    }
    return p;
}
static void *sets(void *p) {
    mine = 7;
    object.text = "gone";
    hrt_semaphore_post((hrt_semaphore_t *)p);
    return NULL;
}
int main() {
    if (without_kernel()) return done();
    MUST(pthread_key_create(&key, [](void *) { keyed++; }) == 0);
    hrt_thread_t t[20];
    MUST(hrt_threads_maker(NULL, NULL, NULL) == 0);
    MUST(hrt_thread_create(&t[0], works, NULL, HRT_THREAD_TLS, 0) == HRT_ENOTSUP);
    MUST(hrt_threads_by_pthread() == 0);
    for (int round = 1; round <= 2; round++) {
        for (long i = 0; i < 20; i++) MUST(hrt_thread_create(&t[i], works, (void *)(i + 1), HRT_THREAD_TLS, 0) == 0);
        for (long i = 0; i < 20; i++) {
            void *r = NULL;
            MUST(hrt_thread_join(t[i], &r) == 0 && (long)r == i + 1);
        }
        MUST(destroyed == 20 * round && keyed == 20 * round);
    }
    static hrt_semaphore_t s = HRT_SEMAPHORE_INIT(0);
    for (int i = 0; i < 4; i++) MUST(hrt_thread_create(&t[i], sets, &s, HRT_THREAD_TLS | (i % 2 ? HRT_THREAD_DETACHED : 0), 0) == 0);
    for (int i = 0; i < 4; i++) MUST(hrt_semaphore_wait(&s) == 0);
    for (int i = 0; i < 4; i += 2) MUST(hrt_thread_detach(t[i]) == 0);
    for (int i = 0; i < 1000 && destroyed < 44; i++) millis(1);
    MUST(destroyed == 44 && mine == 42);
    MUST(hrt_threads_maker(NULL, NULL, NULL) == -EBUSY);
    return done();
}
