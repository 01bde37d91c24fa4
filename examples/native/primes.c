/* A program on the kernel's API alone: no libc, no main. Counts primes by kernel threads. */
#include "hrt.h"

enum { UP_TO = 2000000, PIECES = 200 };

static void say(const char *text, unsigned long number) {
    char line[96];
    int n = 0;
    while (text[n]) line[n] = text[n], n++;
    char digits[24];
    int d = 0;
    do digits[d++] = (char)('0' + number % 10); while (number /= 10);
    while (d) line[n++] = digits[--d];
    line[n++] = '\n';
    hrt_linux(1 /* write */, 1, (long)line, n, 0, 0, 0);
}

static void *count(void *p) {
    long piece = (long)p, found = 0;
    for (long n = piece * (UP_TO / PIECES); n < (piece + 1) * (UP_TO / PIECES); n++) {
        int prime = n > 1;
        for (long d = 2; d * d <= n && prime; d++) prime = n % d != 0;
        found += prime;
    }
    return (void *)found;
}

static hrt_thread_t t[PIECES];

int hrt_main(int argc, char **argv, char **envp) {
    (void)argv, (void)envp;
    unsigned long start = hrt_cycles(), primes = 0;
    for (long i = 0; i < PIECES; i++)
        if (hrt_thread_create(&t[i], count, (void *)i, 0, 0)) return 1;
    for (int i = 0; i < PIECES; i++) {
        void *found;
        hrt_thread_join(t[i], &found);
        primes += (unsigned long)found;
    }
    say("primes below 2000000: ", primes);
    if (argc > 1) say("cycles: ", hrt_cycles() - start);
    return 0;
}
