/* Lists that threads build, hand on and free. Nothing in here knows of the kernel: see multiverse.toml. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 4, LISTS = 64, LENGTH = 500, ROUNDS = 40 };

struct node {
    struct node *next;
    long value;
};

static struct node *lists[LISTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The kernel's hrt_cycles takes its place. */
__attribute__((noinline)) unsigned long ticks(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000UL + t.tv_nsec;
}

/* The kernel's hrt_calloc(1, size) takes its place. */
__attribute__((noinline)) void *zeroed(const char *what, size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        perror(what);
    return p;
}

static long take_down(struct node *n)
{
    long sum = 0;
    while (n) {
        struct node *next = n->next;
        sum += n->value;
        free(n);
        n = next;
    }
    return sum;
}

static void *work(void *arg)
{
    long sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < LISTS; i++) {
            struct node *head = NULL;
            for (long k = 0; k < LENGTH; k++) {
                struct node *n = zeroed("node", sizeof *n);
                if (!n)
                    exit(1);
                n->value = k;
                n->next = head;
                head = n;
            }
            pthread_mutex_lock(&lock);
            struct node *other = lists[i];
            lists[i] = head;
            pthread_mutex_unlock(&lock);
            sum += take_down(other);
        }
    }
    *(long *)arg = sum;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    long sums[THREADS], sum = 0;
    unsigned long start = ticks();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, &sums[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += sums[i];
    }
    for (int i = 0; i < LISTS; i++)
        sum += take_down(lists[i]);
    printf("sum of all values: %ld\n", sum);
    printf("time has passed: %s\n", ticks() > start && time(NULL) > 0 ? "yes" : "no");
    return 0;
}
