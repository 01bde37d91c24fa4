#!/usr/bin/env bash
# Builds every example with the toolchain, as its README says, runs it on every platform that takes no hardware, and
# compares with what it prints when built plain.
. "$(dirname "$0")/../runtimes/lib.sh"
toolchain
with_scratch
export PATH=$MV_BIN:$PATH
cp -r "$ROOT/examples" "$SCRATCH/plain"
cp -r "$ROOT/examples" "$SCRATCH/hybrid"
JSON=$SCRATCH/stats

# example NAME PROGRAM PLAIN-BUILD HYBRID-BUILD: the builds are for bash, in the example's folder.
example() {
    local name=$1 program=$2 platform
    if ! (cd "$SCRATCH/plain/$name" && timeout 240 bash -c "$3") >"$SCRATCH/log" 2>&1 ||
        ! (cd "$SCRATCH/hybrid/$name" && timeout 240 bash -c "$4") >"$SCRATCH/log" 2>&1; then
        fail "example-$name-build"
        tail -n 15 "$SCRATCH/log" | sed 's/^/   | /'
        return
    fi
    ok "example-$name-build"
    if timeout 20 mv-link --inspect "$SCRATCH/hybrid/$name/${5:-$program}" >/dev/null; then
        ok "example-$name-is-hybrid"
    else
        fail "example-$name-is-hybrid"
    fi
    (cd "$SCRATCH/plain/$name" && timeout 30 "./$program" >"$SCRATCH/expected" 2>&1) || fail "example-$name-plain" "status $?"
    for platform in hosted native; do
        rm -f "$JSON"
        if ! (cd "$SCRATCH/hybrid/$name" && HRT_PLATFORM=$platform HRT_STATS=$JSON timeout 30 "./$program" >"$SCRATCH/printed" 2>&1); then
            fail "example-$name-$platform" "it ended with an error"
        elif ! diff "$SCRATCH/expected" "$SCRATCH/printed"; then
            fail "example-$name-$platform" "it prints something else"
        elif [ "$platform" = hosted ] && ! grep -q '"platform":"hosted"' "$JSON" 2>/dev/null; then
            fail "example-$name-$platform" "no statistics say that it ran there"
        else
            ok "example-$name-$platform"
        fi
    done
}

example hello hello 'make CC=cc' 'make'
example overrides lists 'make CC=cc' 'make'
(cd "$SCRATCH/hybrid/overrides" && rm -f "$JSON" && HRT_PLATFORM=hosted HRT_STATS=$JSON timeout 30 ./lists) >"$SCRATCH/printed" 2>&1 || true
if grep -q '"zeroed":{"function":"hrt_calloc","places":1,"calls":5120000}' "$JSON" && grep -q '"ticks":{"function":"hrt_cycles","places":1,"calls":2}' "$JSON"; then
    ok example-overrides-calls
else
    fail example-overrides-calls "the statistics do not count the calls of zeroed and ticks"
fi
if command -v cmake >/dev/null; then
    example cmake build/words 'cmake -B build && cmake --build build' 'cmake -B build -DCMAKE_CXX_COMPILER=mv-c++ && cmake --build build'
else
    skip example-cmake "no cmake"
fi
if command -v libtool >/dev/null; then
    example libtool greet 'make CC=cc' 'make' .libs/greet
else
    skip example-libtool "no libtool"
fi
unset CARGO_TARGET_DIR
example rust target/release/primes 'rm -r .cargo && cargo build --release --offline' 'cargo build --release --offline'
finish
