#!/usr/bin/env bash
# build.sh NAME plain|hybrid: builds a runtime with cc or with mv-cc (MV_RELINK=1: makes the hybrid from the plain build), once for each source and toolchain, and prints where.
. "$(dirname "$0")/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

[ $# -eq 2 ] || die "usage: build.sh NAME plain|hybrid"
case $2 in
plain | hybrid) ;;
*) die "usage: build.sh NAME plain|hybrid" ;;
esac
load_runtime "$1"
need_packages "${RT_PACKAGES[@]}"
build "$2" || exit 1
kind=plain
if [ "$2" = hybrid ]; then
    kind=$(hybrid_kind)
fi
printf '%s (%s): %s\n' "$1" "$kind" "$BUILT"
