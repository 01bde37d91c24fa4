//@ flags: -pthread
// A robust mutex tells that its owner died: a thread that exited, and a process that was killed.
#include "check.h"
static pthread_mutex_t *m;
static void *dies(void *a) { pthread_mutex_lock(m); return a; }
int main(void) {
    m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t at;
    pthread_mutexattr_init(&at);
    pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&at, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &at);
    pthread_t t;
    pthread_create(&t, NULL, dies, NULL);
    pthread_join(t, NULL);
    OK(pthread_mutex_lock(m) == EOWNERDEAD);
    OK(pthread_mutex_consistent(m) == 0);
    OK(pthread_mutex_unlock(m) == 0);
    pid_t pid = fork();
    if (!pid) {
        pthread_mutex_lock(m);
        kill(getpid(), SIGKILL);
    }
    OK(reap(pid) == 1000 + SIGKILL);
    OK(pthread_mutex_lock(m) == EOWNERDEAD);
    OK(pthread_mutex_consistent(m) == 0);
    OK(pthread_mutex_unlock(m) == 0);
    OK(pthread_mutex_lock(m) == 0);
    void *head;
    size_t len;
    OK(RAW(SYS_get_robust_list, 0, &head, &len) == 0 && head && len == 24);
    return done();
}
