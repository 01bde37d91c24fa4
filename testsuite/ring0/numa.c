// Memory that a program has used on one node and unmapped is not given to it on another one: prints how many pages, of those that each of two processors
// has mapped and written first, are on the node of that processor, where the processors' nodes differ.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGES = 64, SIZE = PAGES * 4096, PIECES = 16 };

static unsigned go_to(int cpu) {
    unsigned now, node;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0 || syscall(SYS_getcpu, &now, &node, NULL) != 0) return -1;
    return node;
}

// Maps, writes and unmaps some memory, in pieces; how many of its pages are on `node`.
static int use(unsigned node) {
    int here = 0;
    char *piece[PIECES];
    for (int i = 0; i < PIECES; i++) {
        piece[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece[i] == MAP_FAILED) return -1;
        memset(piece[i], 1, SIZE);
        void *page[PAGES];
        int status[PAGES];
        for (int p = 0; p < PAGES; p++) page[p] = piece[i] + 4096 * p;
        // Without nodes to go to, move_pages(2) says where they are.
        if (syscall(SYS_move_pages, 0, PAGES, page, NULL, status, 0) != 0) return -1;
        for (int p = 0; p < PAGES; p++) here += status[p] == (int)node;
    }
    for (int i = 0; i < PIECES; i++) munmap(piece[i], SIZE);
    return here;
}

int main(void) {
    unsigned node[2] = {go_to(0), go_to(1)};
    if (node[0] == node[1]) {
        puts("the processors are on one node");
        return 1;
    }
    int own = 0, all = 0;
    for (int round = 0; round < 8; round++) {
        go_to(round % 2);
        int here = use(node[round % 2]);
        if (here < 0) {
            perror("memory");
            return 1;
        }
        own += here, all += PIECES * PAGES;
    }
    printf("%d of %d pages are near\n", own, all);
    return own != all;
}
