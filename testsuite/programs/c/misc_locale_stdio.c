// printf of floating point, wide characters, scanf, qsort, regex, iconv-free locale work.
#include "check.h"
#include <locale.h>
#include <regex.h>
#include <wchar.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) {
    printf("%.17g %a %e %'d\n", 1.0 / 3, 0.1, 6.02e23, 1234567);
    setlocale(LC_ALL, "C.UTF-8");
    wchar_t w[10];
    OK(mbstowcs(w, "\xc3\xa4\xe2\x82\xac", 10) == 2 && w[0] == 0xe4 && w[1] == 0x20ac);
    printf("%ls\n", w);
    int v[1000];
    srand(1);
    for (int i = 0; i < 1000; i++) v[i] = rand() % 10000;
    qsort(v, 1000, sizeof *v, cmp);
    int sorted = 1;
    for (int i = 1; i < 1000; i++) sorted &= v[i - 1] <= v[i];
    OK(sorted);
    regex_t r;
    OK(regcomp(&r, "^a(b|c)+d$", REG_EXTENDED) == 0 && regexec(&r, "abcbd", 0, NULL, 0) == 0 && regexec(&r, "ad", 0, NULL, 0) != 0);
    return done();
}
