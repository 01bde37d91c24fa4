//@ flags: -pthread
// A blocked thread blocks no other: ping-pong over pipes between threads and processes.
#include "check.h"
static int a[2], b[2];
static void *echo(void *x) { char c; while (read(a[0], &c, 1) == 1) write(b[1], &c, 1); return x; }
int main(void) {
    pipe(a), pipe(b);
    pthread_t t;
    pthread_create(&t, NULL, echo, NULL);
    int good = 0;
    for (int i = 0; i < 5000; i++) { char c = i, d; write(a[1], &c, 1); read(b[0], &d, 1); good += c == d; }
    OK(good == 5000);
    close(a[1]);
    pthread_join(t, NULL);
    pipe(a);
    pid_t p = fork();
    if (!p) { close(a[1]); echo(NULL); _exit(0); }
    for (int i = 0; i < 2000; i++) { char c = i, d; write(a[1], &c, 1); read(b[0], &d, 1); good += c == d; }
    close(a[1]);
    OK(reap(p) == 0);
    OK(good == 7000);
    return done();
}
