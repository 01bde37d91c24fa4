//@ variants: dynamic-pie musl
//@ flags: -pthread
// epoll with pipes, eventfd and timerfd, level and edge triggered, from two threads.
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
static int ev, p[2];
static void *body(void *a) { millis(20); uint64_t one = 1; write(ev, &one, 8); write(p[1], "abc", 3); return a; }
int main(void) {
    ev = eventfd(0, 0);
    pipe(p);
    int ep = epoll_create1(EPOLL_CLOEXEC), tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = 1}, got[4];
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
    e.data.u32 = 2, e.events = EPOLLIN | EPOLLET;
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
    e.data.u32 = 3, e.events = EPOLLIN;
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, tf, &e) == 0);
    OK(ERR(epoll_ctl(ep, EPOLL_CTL_ADD, tf, &e), EEXIST));
    OK(epoll_wait(ep, got, 4, 0) == 0);
    pthread_t t;
    pthread_create(&t, NULL, body, NULL);
    int seen = 0;
    while (seen != 3) {
        int n = epoll_wait(ep, got, 4, 5000);
        for (int i = 0; i < n; i++) seen |= 1 << (got[i].data.u32 - 1);
    }
    pthread_join(t, NULL);
    uint64_t v;
    OK(read(ev, &v, 8) == 8 && v == 1);
    epoll_wait(ep, got, 4, 0);
    OK(epoll_wait(ep, got, 4, 0) == 0);
    struct itimerspec it = {{0, 0}, {0, 5000000}};
    OK(timerfd_settime(tf, 0, &it, NULL) == 0);
    OK(epoll_wait(ep, got, 4, 5000) == 1 && got[0].data.u32 == 3);
    OK(read(tf, &v, 8) == 8 && v == 1);
    OK(ERR(read(tf, &v, 8), EAGAIN));
    return done();
}
