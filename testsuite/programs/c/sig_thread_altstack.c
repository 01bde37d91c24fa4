//@ flags: -pthread
// Each thread has an alternate stack of its own; faults on several at once.
#include "check.h"
static __thread char *mine;
static __thread sigjmp_buf back;
static void on(int s, siginfo_t *i, void *c) {
    char here;
    (void)s, (void)i, (void)c;
    if (!(&here > mine && &here < mine + 32768)) { write(1, "FAILED\n", 7); _exit(1); }
    siglongjmp(back, 1);
}
static void *body(void *a) {
    stack_t ss = {.ss_size = 32768}, old;
    MUST(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    mine = ss.ss_sp = malloc(32768);
    MUST(sigaltstack(&ss, NULL) == 0);
    for (volatile int i = 0; i < 1000; i++) if (!sigsetjmp(back, 1)) *(volatile int *)(long)(8 + i) = 1;
    ss.ss_flags = SS_DISABLE;
    sigaltstack(&ss, NULL);
    free(mine);
    return a;
}
int main(void) {
    pthread_t t[4];
    handle(SIGSEGV, on, SA_ONSTACK);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, body, NULL);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    return done();
}
