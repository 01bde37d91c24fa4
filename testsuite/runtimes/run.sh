#!/usr/bin/env bash
# run.sh [--quick] NAME...: builds each runtime plain and hybrid, runs its checks with both and compares. ONLY=GLOB limits
# the checks; MV_RELINK=1 makes the hybrids from the plain builds, without mv-cc: a quick first look. Ends with the count; the exit status tells whether one failed.
. "$(dirname "$0")/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

export QUICK=0
if [ "${1:-}" = --quick ]; then
    QUICK=1
    shift
fi
[ $# -gt 0 ] || die "usage: run.sh [--quick] NAME...; names: $RUNTIMES"
with_scratch
for name in "$@"; do
    load_runtime "$name"
    need_packages "${RT_PACKAGES[@]}"
    PLAIN='' HYBRID=''
    if build plain; then
        PLAIN=$BUILT
        ok "$name-build-plain"
    else
        fail "$name-build-plain"
    fi
    if build hybrid; then
        HYBRID=$BUILT
        ok "$name-build-$(hybrid_kind)"
    else
        fail "$name-build-$(hybrid_kind)"
    fi
    if [ -z "$PLAIN" ] || [ -z "$HYBRID" ]; then
        skip "$name-checks" "not built"
        continue
    fi
    export PLAIN HYBRID
    rt_checks
done
if [ "${MV_RELINK:-0}" = 1 ]; then
    printf 'These hybrids were relinked from plain builds (MV_RELINK=1), not built with mv-cc.\n'
fi
finish
