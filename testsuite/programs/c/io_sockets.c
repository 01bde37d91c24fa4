//@ variants: dynamic-pie static
// Unix and TCP sockets: a server in a child, large transfers, half close, options, a file descriptor passed.
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
static void all(int fd, char *b, size_t n, int out) {
    while (n) { ssize_t k = out ? write(fd, b, n) : read(fd, b, n); if (k <= 0) _exit(9); b += k, n -= k; }
}
int main(void) {
    int sv[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pid_t p = fork();
    if (!p) {
        int fd = open("passed", O_CREAT | O_RDWR, 0644);
        write(fd, "through the socket", 18);
        char cbuf[CMSG_SPACE(sizeof fd)] = {0};
        struct iovec v = {"x", 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = cbuf, .msg_controllen = sizeof cbuf};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
        _exit(sendmsg(sv[1], &m, 0) != 1);
    }
    char x, cbuf[CMSG_SPACE(sizeof(int))], text[20] = "";
    struct iovec v = {&x, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = cbuf, .msg_controllen = sizeof cbuf};
    OK(recvmsg(sv[0], &m, 0) == 1);
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    OK(pread(fd, text, 18, 0) == 18 && !strcmp(text, "through the socket"));
    OK(reap(p) == 0);
    struct ucred uc;
    socklen_t len = sizeof uc;
    OK(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &uc, &len) == 0 && uc.pid == getpid());
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    len = sizeof a;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    OK(bind(s, (void *)&a, sizeof a) == 0 && listen(s, 5) == 0 && getsockname(s, (void *)&a, &len) == 0);
    size_t n = 1 << 20;
    char *b = malloc(n);
    p = fork();
    if (!p) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c, (void *)&a, sizeof a)) _exit(1);
        for (size_t i = 0; i < n; i++) b[i] = i * 17;
        all(c, b, n, 1);
        shutdown(c, SHUT_WR);
        char r[4];
        all(c, r, 4, 0);
        _exit(memcmp(r, "done", 4) != 0);
    }
    int c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
    all(c, b, n, 0);
    OK(b[1000] == (char)17000 && b[n - 1] == (char)((n - 1) * 17));
    OK(read(c, &x, 1) == 0);
    OK(write(c, "done", 4) == 4);
    OK(reap(p) == 0);
    OK(ERR(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)8, sizeof a), EFAULT));
    return done();
}
