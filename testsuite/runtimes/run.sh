#!/usr/bin/env bash
# run.sh [--quick] [--platform NAME] NAME...: builds each runtime plain and hybrid, runs its checks with both and compares.
# Hybrids run on platform NAME (hosted if not said, or $MV_TEST_PLATFORM) and their statistics must say so. ONLY=GLOB limits
# the checks; MV_RELINK=1 makes the hybrids from the plain builds, without mv-cc: a quick first look. Ends with the count; the exit status tells whether one failed.
. "$(dirname "$0")/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

export QUICK=0
while [ $# -gt 0 ]; do
    case $1 in
    --quick) QUICK=1 ;;
    --platform) MV_TEST_PLATFORM=${2:?run.sh: --platform needs a name} && shift ;;
    -*) set -- && break ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || die "usage: run.sh [--quick] [--platform NAME] NAME...; names: $RUNTIMES"
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
printf 'Hybrids ran on %s.\n' "$MV_TEST_PLATFORM"
finish
