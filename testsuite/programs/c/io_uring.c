// io_uring through raw system calls: a write and a read by the ring.
#include "check.h"
#include <linux/io_uring.h>
int main(void) {
    struct io_uring_params p = {0};
    int r = RAW(SYS_io_uring_setup, 4, &p);
    if (r < 0) CANNOT("no io_uring here");
    char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, r, IORING_OFF_SQ_RING);
    char *cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, r, IORING_OFF_CQ_RING);
    struct io_uring_sqe *e = mmap(NULL, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED, r, IORING_OFF_SQES);
    OK(sq != MAP_FAILED && cq != MAP_FAILED && (void *)e != MAP_FAILED);
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    char in[6] = "";
    for (int k = 0; k < 2; k++) {
        memset(e, 0, sizeof *e);
        e->opcode = k ? IORING_OP_READ : IORING_OP_WRITE;
        e->fd = fd, e->addr = (long)(k ? in : "hello"), e->len = 5, e->user_data = 100 + k;
        unsigned *tail = (void *)(sq + p.sq_off.tail), *arr = (void *)(sq + p.sq_off.array);
        arr[*tail & (p.sq_entries - 1)] = 0;
        __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
        OK(RAW(SYS_io_uring_enter, r, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) == 1);
        unsigned *head = (void *)(cq + p.cq_off.head);
        struct io_uring_cqe *c = (void *)(cq + p.cq_off.cqes);
        c += *head & (p.cq_entries - 1);
        OK(c->res == 5 && c->user_data == 100u + k);
        __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    }
    OK(!strcmp(in, "hello"));
    return done();
}
