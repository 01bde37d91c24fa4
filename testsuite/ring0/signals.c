// signals COMMAND...: runs it with the signals as a login leaves them. A shell without a terminal starts what it runs beside
// itself with SIGINT and SIGQUIT ignored.
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv) {
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    if (argc > 1) execvp(argv[1], argv + 1);
    return 127;
}
