//@ files: copy copy2
// sendfile, splice, tee, copy_file_range.
#include "check.h"
#include <sys/sendfile.h>
int main(void) {
    int in = open("in", O_CREAT | O_RDWR, 0644);
    for (int i = 0; i < 1000; i++) dprintf(in, "%d squared is %d\n", i, i * i);
    off_t size = lseek(in, 0, SEEK_END), off = 0;
    int out = open("copy", O_CREAT | O_RDWR, 0644);
    while (off < size) MUST(sendfile(out, in, &off, size - off) > 0);
    OK(lseek(out, 0, SEEK_END) == size);
    int p[2];
    pipe(p);
    loff_t at = 0;
    OK(splice(in, &at, p[1], NULL, 1000, 0) == 1000);
    int out2 = open("copy2", O_CREAT | O_RDWR, 0644);
    OK(splice(p[0], NULL, out2, NULL, 1000, 0) == 1000);
    loff_t from = 1000;
    ssize_t n = copy_file_range(in, &from, out2, NULL, 500, 0);
    OK(n == 500);
    return done();
}
