// inotify reports creation, writing and removal, in order.
#include "check.h"
#include <sys/inotify.h>
int main(void) {
    int in = inotify_init1(IN_NONBLOCK);
    mkdir("d", 0755);
    OK(inotify_add_watch(in, "d", IN_CREATE | IN_CLOSE_WRITE | IN_DELETE) == 1);
    int fd = open("d/f", O_CREAT | O_WRONLY, 0644);
    write(fd, "x", 1);
    close(fd);
    unlink("d/f");
    char b[4096] __attribute__((aligned(8)));
    ssize_t n = read(in, b, sizeof b);
    for (char *p = b; p < b + n;) {
        struct inotify_event *e = (void *)p;
        printf("event %x on %s\n", e->mask, e->name);
        p += sizeof *e + e->len;
    }
    return done();
}
