// A large code buffer full of system calls at every alignment, run once each, then again.
#include "check.h"
int main(void) {
    size_t size = 1 << 20;
    unsigned char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int at[8000], n = 0;
    for (size_t o = 0; n < 8000 && o + 16 < size; o += 9 + n % 61) {
        memcpy(m + o, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3", 8);
        at[n++] = o;
    }
    mprotect(m, size, PROT_READ | PROT_EXEC);
    int bad = 0;
    for (int r = 0; r < 3; r++)
        for (int i = 0; i < n; i++) bad += ((int (*)(void))(m + at[i]))() != getppid();
    OK(n == 8000);
    OK(bad == 0);
    return done();
}
