//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 30
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 4
// thread_pthread_kill.c with kernel threads.
#include "thread_pthread_kill.c"
