//@ variants: dynamic-pie static
//@ flags: -pthread
//@ limit: 30
//@ toml: sets = ["pthread"]
//@ stats: kernel_threads.created >= 4
// sig_storm_threads.c with kernel threads.
#include "sig_storm_threads.c"
