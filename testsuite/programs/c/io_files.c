//@ files: d/b link
// Files, directories, links, renames, stat in all forms.
#include "check.h"
#include <dirent.h>
#include <linux/stat.h>
int main(void) {
    OK(mkdir("d", 0755) == 0);
    OK(ERR(mkdir("d", 0755), EEXIST));
    int fd = open("d/a", O_CREAT | O_EXCL | O_WRONLY, 0640);
    OK(write(fd, "content\n", 8) == 8);
    OK(close(fd) == 0);
    OK(ERR(close(fd), EBADF));
    OK(rename("d/a", "d/b") == 0);
    OK(symlink("d/b", "link") == 0);
    struct stat s;
    OK(stat("link", &s) == 0 && s.st_size == 8 && S_ISREG(s.st_mode));
    OK(lstat("link", &s) == 0 && S_ISLNK(s.st_mode));
    struct statx x;
    OK(RAW(SYS_statx, AT_FDCWD, "d/b", 0, STATX_SIZE, &x) == 0 && x.stx_size == 8);
    OK(RAW(SYS_statx, AT_FDCWD, 0, 0, STATX_SIZE, &x) == -EFAULT);
    OK(ERR(open("nowhere/file", O_RDONLY), ENOENT));
    OK(ERR(rmdir("d"), ENOTEMPTY));
    DIR *d = opendir("d");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += !strcmp(e->d_name, "b");
    OK(n == 1);
    closedir(d);
    OK(chdir("d") == 0);
    char cwd[4096];
    OK(getcwd(cwd, sizeof cwd) && !strcmp(strrchr(cwd, '/'), "/d"));
    OK(access("b", R_OK) == 0);
    OK(chmod("b", 0600) == 0);
    OK(truncate("b", 4) == 0);
    return done();
}
