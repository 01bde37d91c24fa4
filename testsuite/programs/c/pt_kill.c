//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 30
//@ toml: sets = ["pthread"]
//@ no-kvm: threads of the C library are Linux's there (docs/overrides.md)
//@ stats: kernel_threads.created >= 4
// thread_pthread_kill.c with kernel threads.
#include "thread_pthread_kill.c"
