#include <stdio.h>
#include <unistd.h>

int greet(const char *who);

int greet(const char *who)
{
    char text[100];
    int n = snprintf(text, sizeof text, "greetings to %s, from a library\n", who);
    return write(STDOUT_FILENO, text, n) == n ? 0 : 1;
}
