#!/usr/bin/env bash
# Everything that `make test` runs. Every step runs, whether or not one before it failed; the last line is the count of all.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

cd "$ROOT"
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
need_cargo
need_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
mkdir -p "$TARGET"
rm -f "$TARGET/test-count"
with_scratch
START=$SECONDS

# run NAME SECONDS COMMAND...: shows the command's output while it runs and keeps it in $SCRATCH/log.
run() {
    local name=$1 limit=$2 start=$SECONDS status=0
    shift 2
    printf '== %s: %s\n' "$name" "$*"
    timeout -k 20 "$limit" "$@" </dev/null 2>&1 | tee "$SCRATCH/log" || status=$?
    printf '== %s: status %d after %s\n' "$name" "$status" "$(elapsed $((SECONDS - start)))"
    return "$status"
}

# A step that is one check.
simple() {
    if run "$@"; then ok "$1"; else fail "$1"; fi
}

# add NAME STATUS PASSED FAILED SKIPPED: adds a step's own counts. A step that fails without saying which test did is one
# failure more, and so is one that tested nothing.
add() {
    PASSED=$((PASSED + $3))
    FAILED=$((FAILED + $4))
    SKIPPED=$((SKIPPED + $5))
    if [ "$2" -ne 0 ] && [ "$4" -eq 0 ]; then
        fail "$1" "status $2"
    elif [ $(($3 + $4)) -eq 0 ]; then
        fail "$1" "no test ran"
    fi
}

count() {
    local status=0
    finish | tee "$TARGET/test-count" || status=1
    exit "$status"
}

simple format 120 cargo fmt --all --check
simple clippy 600 cargo clippy --locked --workspace --all-targets -- -D warnings
simple toolchain 600 "$ROOT/testsuite/scripts/toolchain.sh"
if command -v shellcheck >/dev/null; then
    simple scripts 120 make --no-print-directory check-scripts
else
    skip scripts "no shellcheck"
fi

status=0
run cargo-test 1500 cargo test --locked --workspace --no-fail-fast || status=$?
read -r p f s < <(awk '/^test result: / { gsub(/;/, ""); for (i = 2; i <= NF; i++) { if ($i == "passed") p += $(i-1); if ($i == "failed") f += $(i-1); if ($i == "ignored") s += $(i-1) } }
    END { print p + 0, f + 0, s + 0 }' "$SCRATCH/log")
add cargo-test "$status" "$p" "$f" "$s"

# counted NAME SECONDS COMMAND...: a step whose own count is the last line of its output that looks like one.
counted() {
    local status=0
    run "$@" || status=$?
    read -r p f s < <(awk '/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p = $1; f = $3; s = $5 } END { print p + 0, f + 0, s + 0 }' "$SCRATCH/log")
    add "$1" "$status" "$p" "$f" "$s"
}

counted examples 300 "$ROOT/testsuite/scripts/examples.sh"
counted lua 600 "$ROOT/testsuite/runtimes/run.sh" --quick lua
# In a shell of its own: it ends when the packages cannot be installed.
if (need_packages qemu-system-x86 cpio && "$ROOT/testsuite/ring0/fetch.sh") </dev/null 2>&1 | tee "$SCRATCH/log"; then
    counted ring0 480 "$ROOT/testsuite/scripts/ring0.sh" --quick
else
    skip ring0 "what it boots cannot be had: $(tail -n 1 "$SCRATCH/log")"
fi

printf '== everything: %s\n' "$(elapsed $((SECONDS - START)))"
count
