// Trees made top-down and bottom-up under the Boehm collector, an array that stays, and writes to an old heap.
//
// usage: gcbench DEPTH [incremental]
#include <gc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *left, *right;
    long value;
};

static struct node *bottom_up(int depth) {
    struct node *n = GC_MALLOC(sizeof *n);
    if (depth > 0) {
        n->left = bottom_up(depth - 1);
        n->right = bottom_up(depth - 1);
    }
    n->value = depth;
    return n;
}

static void top_down(int depth, struct node *n) {
    if (depth <= 0)
        return;
    n->left = GC_MALLOC(sizeof *n);
    n->right = GC_MALLOC(sizeof *n);
    top_down(depth - 1, n->left);
    top_down(depth - 1, n->right);
}

static long count(const struct node *n) { return n ? 1 + count(n->left) + count(n->right) : 0; }

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 14;
    GC_INIT();
    if (argc > 2 && !strcmp(argv[2], "incremental"))
        GC_enable_incremental();
    struct node *kept = bottom_up(most);
    long len = 1L << (most + 2);
    double *array = GC_MALLOC_ATOMIC(len * sizeof *array);
    for (long i = 0; i < len; i++)
        array[i] = 1.0 / (double)(i + 1);
    for (int depth = 4; depth <= most; depth += 2) {
        long times = 2L << (most - depth + 4), sum = 0;
        for (long i = 0; i < times; i++) {
            struct node *n = GC_MALLOC(sizeof *n);
            top_down(depth, n);
            sum += count(n) + count(bottom_up(depth));
        }
        printf("%ld trees of depth %d\tnodes: %ld\n", 2 * times, depth, sum);
    }
    // Writes all over what is old: each page of it must be seen to change.
    long slots = 1L << most;
    struct node **table = GC_MALLOC(slots * sizeof *table);
    unsigned long at = 12345;
    for (long i = 0; i < 40 * slots; i++) {
        at = at * 6364136223846793005ul + 1442695040888963407ul;
        struct node *n = GC_MALLOC(sizeof *n);
        n->value = i;
        table[(at >> 33) % (unsigned long)slots] = n;
    }
    long live = 0, sum = 0;
    for (long i = 0; i < slots; i++)
        if (table[i])
            live++, sum += table[i]->value;
    printf("table\tlive: %ld\tsum: %ld\n", live, sum);
    printf("kept\tnodes: %ld\tarray: %g\n", count(kept), array[len / 2]);
    return 0;
}
