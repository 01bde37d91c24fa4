#!/usr/bin/env bash
# demo.sh lua|racket: from the sources to the output of a hybridized program.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

case ${1:-lua} in
lua) name=lua ;;
racket | racket-cs) name=racket-cs ;;
racket-bc) name=racket-bc ;;
*) die "there is a demo for lua and for racket (or racket-cs, racket-bc)" ;;
esac

cd "$ROOT"
say '1. The toolchain'
"$ROOT/testsuite/scripts/toolchain.sh"
toolchain

say "2. $name, from Debian's source package, by its own build system, with CC=mv-cc"
load_runtime "$name"
need_packages "${RT_PACKAGES[@]}"
build hybrid || exit 1

cd "$RT_HOME"
unset HRT_PLATFORM
case $name in
lua)
    say "3. A script, run by it:  HRT_STATS=1 lua demo.lua"
    HRT_STATS=1 "$BUILT/src/lua" demo.lua
    ;;
racket-*)
    say "3. A program, run by it:  HRT_STATS=1 racket demo.rkt"
    HRT_STATS=1 "$BUILT/bin/racket" demo.rkt
    ;;
esac
