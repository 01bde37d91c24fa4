# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# The Boehm collector, the distribution's library, under a program of our own.

RT_SOURCE=''
RT_UPSTREAM=''
RT_PACKAGES=(libgc-dev gcc libc6-dev)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local dir=$1 cc=$2 log=$3
    step "boehm: gcbench" 120 "$log" "$cc" -O2 -Wall -Wextra -Werror "$RT_HOME/gcbench.c" -o "$dir/gcbench" -lgc
}

rt_executables() {
    printf '%s\n' gcbench
}

rt_benches() {
    printf 'gcbench|"$RT/gcbench" 16 >/dev/null\n'
    printf 'incremental|"$RT/gcbench" 15 incremental >/dev/null\n'
}

rt_checks() {
    check gcbench '"$RT/gcbench" 13'
    check incremental '"$RT/gcbench" 13 incremental'
    check markers 'GC_MARKERS=4 "$RT/gcbench" 13'
    check no-dirty-bits 'GC_DISABLE_INCREMENTAL=1 "$RT/gcbench" 12 incremental'
    check large-heap 'GC_INITIAL_HEAP_SIZE=64M "$RT/gcbench" 12'
}
