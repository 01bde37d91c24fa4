//@ variants: dynamic-pie static musl
//@ toml: sets = ["malloc"]
//@ stats: overrides.malloc.calls >= 100000
//@ stats: overrides.free.calls >= 100000
//@ flags: -pthread
//@ limit: 60
// Objects go from thread to thread and are freed there; forks in the middle of it get a heap that works.
#include "check.h"
#include <stdatomic.h>

enum { THREADS = 6, SLOTS = 512, TURNS = 40000 };
struct object { size_t size; unsigned char byte, body[]; };
static _Atomic(struct object *) shared[SLOTS];
static atomic_int bad, stop, children;

static struct object *make(unsigned *r) {
    *r = *r * 1103515245 + 12345;
    size_t size = (*r >> 8) % 100 ? (*r >> 9) % 500 : (*r >> 9) % 90000;
    struct object *o = malloc(sizeof *o + size);
    o->size = size;
    o->byte = (unsigned char)(*r >> 16);
    memset(o->body, o->byte, size < 200 ? size : 200);
    return o;
}
static void check(struct object *o) {
    for (size_t i = 0; i < o->size && i < 200; i++)
        if (o->body[i] != o->byte) bad++;
    free(o);
}
static void *work(void *arg) {
    unsigned r = (unsigned)(long)arg * 77777;
    for (int i = 0; i < TURNS; i++) {
        struct object *o = make(&r);
        o = atomic_exchange(&shared[(r >> 10) % SLOTS], o);
        if (o) check(o);
    }
    return NULL;
}
static void *forks(void *arg) {
    while (!stop) {
        pid_t pid = fork();
        if (pid == 0) {
            unsigned r = 5;
            for (int i = 0; i < 2000; i++) check(make(&r));
            // What other threads had in their hands is the child's as well.
            for (int i = 0; i < SLOTS; i++) {
                struct object *o = atomic_exchange(&shared[i], NULL);
                if (o) check(o);
            }
            _exit(bad ? 1 : 0);
        }
        if (pid < 0 || reap(pid) != 0) bad++;
        children++;
        millis(1);
    }
    return arg;
}
static void *brief(void *arg) {
    char *p = malloc((size_t)(long)arg);
    memset(p, 1, (size_t)(long)arg);
    return p;
}
int main(void) {
    pthread_t t[THREADS], f;
    bad = 0;
    pthread_create(&f, NULL, forks, NULL);
    for (long i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, work, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    stop = 1;
    pthread_join(f, NULL);
    for (int i = 0; i < SLOTS; i++)
        if (shared[i]) check(shared[i]);
    OK(bad == 0);
    OK(children > 0);
    // Threads come and go; what they leave is freed by another.
    for (long i = 1; i < 1000; i++) {
        void *p;
        pthread_create(&f, NULL, brief, (void *)(i * 17));
        pthread_join(f, &p);
        MUST(*(char *)p == 1);
        free(p);
    }
    return done();
}
