#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    printf("hello, %s\n", argc > 1 ? argv[1] : "world");
    /* Answered by the HRT kernel without going to Linux. */
    printf("the process id is %s\n", getpid() == syscall(SYS_getpid) ? "right" : "wrong");
    return 0;
}
