//@ variants: dynamic-pie no-pie static static-pie
//@ toml: sets = ["malloc"]
//@ stats: overrides.malloc.calls >= 1000
//@ stats: overrides.free.calls >= 1000
//@ stats: overrides.realloc.calls >= 100
//@ stats: overrides.malloc.places >= 1
//@ flags: -fno-builtin -Wno-alloc-size-larger-than -Wno-use-after-free -Wno-deprecated-declarations
// What malloc(3), posix_memalign(3) and malloc_usable_size(3) promise.
#include "check.h"
#include <malloc.h>
#include <stdint.h>

static unsigned seed = 1;
static unsigned any(unsigned below) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % below;
}
static int zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i]) return 0;
    return 1;
}
static int holds(const unsigned char *p, size_t n, int byte) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != byte) return 0;
    return 1;
}

static void sizes(void) {
    static const size_t size[] = {0, 1, 15, 16, 17, 24, 100, 128, 129, 1000, 4096, 5000, 32767, 32768, 32769, 65536, 65537,
                                  200000, 1 << 20, 4000000, 4128768, 4128769, 5 << 20, 33 << 20};
    void *p[sizeof size / sizeof *size];
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        p[i] = malloc(size[i]);
        MUST(p[i] && (uintptr_t)p[i] % 16 == 0);
        MUST(malloc_usable_size(p[i]) >= size[i]);
        memset(p[i], (int)i + 1, size[i]);
    }
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        MUST(holds(p[i], size[i], (int)i + 1));
        for (size_t j = 0; j < i; j++) MUST(p[i] != p[j]);
        free(p[i]);
    }
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        char *q = calloc(1, size[i]);
        MUST(q && zero(q, size[i]));
        memset(q, 0xff, size[i]);
        free(q);
        q = calloc(size[i], 1);
        MUST(q && zero(q, size[i]));
        free(q);
    }
    puts("sizes");
}

static void errors(void) {
    OK(malloc(PTRDIFF_MAX) == NULL && errno == ENOMEM);
    OK(malloc((size_t)PTRDIFF_MAX + 1) == NULL && errno == ENOMEM);
    OK(malloc(SIZE_MAX) == NULL && errno == ENOMEM);
    OK(calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    OK(calloc(SIZE_MAX, 1) == NULL && errno == ENOMEM);
    char *p = malloc(10);
    memcpy(p, "123456789", 10);
    OK(realloc(p, SIZE_MAX) == NULL && errno == ENOMEM && !strcmp(p, "123456789"));
    OK(reallocarray(p, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM && !strcmp(p, "123456789"));
    p = reallocarray(p, 100, 10);
    OK(p && !strcmp(p, "123456789"));
    OK(realloc(p, 0) == NULL);
    p = realloc(NULL, 0);
    OK(p != NULL);
    free(p);
    free(NULL);
    OK(malloc_usable_size(NULL) == 0);
    void *q = &q;
    OK(posix_memalign(&q, 3, 10) == EINVAL && posix_memalign(&q, 4, 10) == EINVAL && posix_memalign(&q, 0, 10) == EINVAL);
    OK(posix_memalign(&q, 64, PTRDIFF_MAX) == ENOMEM && q == &q);
    OK(memalign(64, SIZE_MAX - 10) == NULL && errno == ENOMEM);
    OK(memalign((size_t)PTRDIFF_MAX + 2, 10) == NULL && errno == EINVAL);
    OK(pvalloc(SIZE_MAX) == NULL && errno == ENOMEM);
    errno = 5;
    free(malloc(10));
    MUST(errno == 5);
}

static void alignment(void) {
    for (size_t align = 1; align <= 16 << 20; align *= 2) {
        for (int i = 0; i < 12; i++) {
            static const size_t size[] = {0, 1, 20, 300, 5000, 70000};
            size_t n = size[i % 6];
            unsigned char *p;
            if (i < 6) p = memalign(align, n);
            else if (align < 8) continue;
            else MUST(posix_memalign((void **)&p, align, n) == 0);
            MUST(p && (uintptr_t)p % align == 0 && malloc_usable_size(p) >= n);
            memset(p, 7, n);
            unsigned char *q = realloc(p, n + 5000);
            MUST(q && holds(q, n, 7));
            free(q);
        }
    }
    MUST((uintptr_t)memalign(48, 1) % 64 == 0);
    void *v = valloc(10), *w = pvalloc(10);
    OK((uintptr_t)v % 4096 == 0 && (uintptr_t)w % 4096 == 0 && malloc_usable_size(w) >= 4096);
    free(v);
    free(w);
    v = aligned_alloc(256, 512);
    OK((uintptr_t)v % 256 == 0);
    free(v);
}

// Random operations; what is in the objects must stay.
static void churn(void) {
    enum { N = 700 };
    static struct { unsigned char *p; size_t n; unsigned char byte; } o[N];
    for (int turn = 0; turn < 60000; turn++) {
        int i = any(N);
        size_t n = any(10) ? any(600) : any(20) ? any(60000) : any(6000000);
        if (o[i].p && any(2)) {
            unsigned char *p = realloc(o[i].p, n ? n : 1);
            size_t same = o[i].n < n ? o[i].n : n;
            MUST(p && holds(p, same < 100 ? same : 100, o[i].byte));
            o[i].p = p;
        } else if (o[i].p) {
            MUST(holds(o[i].p, o[i].n < 100 ? o[i].n : 100, o[i].byte));
            free(o[i].p);
            o[i].p = NULL;
            continue;
        } else {
            o[i].p = any(3) ? malloc(n) : calloc(1, n);
            MUST(o[i].p);
        }
        o[i].n = n;
        o[i].byte = (unsigned char)any(256);
        memset(o[i].p, o[i].byte, n < 100 ? n : 100);
    }
    for (int i = 0; i < N; i++) free(o[i].p);
    puts("churned");
}

// A large object grows and shrinks, and its contents go with it.
static void large(void) {
    size_t n = 1000;
    unsigned char *p = malloc(n);
    memset(p, 1, n);
    for (int i = 0; i < 17; i++) {
        p = realloc(p, 2 * n);
        MUST(p && p[0] == 1 && p[n - 1] == (i ? i + 1 : 1));
        n *= 2;
        p[n - 1] = (unsigned char)(i + 2);
    }
    while (n > 1000) {
        p = realloc(p, n /= 2);
        MUST(p && p[0] == 1);
    }
    free(p);
    puts("large");
}

// What is freed is used again, and given back: memory does not grow without end.
static void bounded(void) {
    for (int i = 0; i < 20000; i++) {
        char *p = malloc(1 << 20);
        p[0] = p[(1 << 20) - 1] = 1;
        free(p);
    }
    for (int i = 0; i < 300; i++) {
        char *p = malloc(64 << 20);
        p[0] = p[(64 << 20) - 1] = 1;
        free(p);
    }
    enum { N = 40000 };
    char **all = malloc(N * sizeof *all);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < N; i++) memset(all[i] = malloc(1000 + 700 * round), 1, 1000);
        for (int i = 0; i < N; i++) free(all[i]);
    }
    free(all);
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    MUST(f && fscanf(f, "%*d %ld", &resident) == 1);
    fclose(f);
    OK(resident < 96 << 8);
}

// The C library's own use of it.
static void library(void) {
    char *line = NULL, *text;
    size_t room = 0;
    FILE *f = tmpfile();
    for (int i = 0; i < 3000; i++) fprintf(f, "%d ", i);
    rewind(f);
    OK(getline(&line, &room, f) == 13890);
    fclose(f);
    OK(asprintf(&text, "%s!", "text") == 5 && !strcmp(text, "text!"));
    free(text);
    text = strdup(line);
    OK(!strcmp(text, line));
    free(text);
    free(line);
    f = open_memstream(&text, &room);
    for (int i = 0; i < 5000; i++) fputs("word ", f);
    fclose(f);
    OK(room == 25000 && strlen(text) == 25000);
    free(text);
    text = getcwd(NULL, 0);
    OK(text && text[0] == '/');
    free(text);
    setenv("SOME", "thing", 1);
    OK(!strcmp(getenv("SOME"), "thing"));
}

int main(void) {
    sizes();
    errors();
    alignment();
    churn();
    large();
    bounded();
    library();
    return done();
}
