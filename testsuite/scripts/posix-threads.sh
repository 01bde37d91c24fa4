#!/usr/bin/env bash
# posix-threads.sh [--platform hosted|kvm] [GLOB...]: the threads part of the Open POSIX Test Suite (Debian's source package, fetched into the cache), plain and with the
# threads of the C library as kernel threads (the set `pthread`). Each test must end as its plain build does: all that GLOB matches, of pthread_create/1-1 and the like.
# MV_PREEMPT=1ms preempts the threads as well. MV_JOBS: how many at a time (default: one for each processor).
#
# What differs for a documented reason is named below, and shown.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

# TEST: why (docs/overrides.md, "What differs").
scheduling='priorities and policies of a thread cannot be set, only read'
declare -A DIFFERS=(
    [pthread_attr_setinheritsched/2-2]=$scheduling
    [pthread_attr_setschedparam/1-3]=$scheduling
    [pthread_attr_setschedparam/1-4]=$scheduling
    [pthread_getschedparam/1-2]=$scheduling
    [pthread_setschedparam/1-1]=$scheduling
    [pthread_setschedparam/1-2]=$scheduling
    [pthread_setschedparam/4-1]=$scheduling
    [pthread_setschedprio/1-1]=$scheduling
    [pthread_cond_broadcast/1-2]='more than 512 threads wait for what processes share, each with a carrier'
    [pthread_detach/4-3]='ends only if a thread is left to take the last signals, which is a matter of time'
    [sem_post/8-1]='expects processes to wait in an order that nothing enforces'
    [pthread_create/11-1]="a thread's clock of processor time is its carrier's"
)

platform=hosted
if [ "${1:-}" = --platform ]; then
    platform=${2:?--platform needs a name}
    shift 2
fi
case $platform in hosted | kvm) ;; *) die "--platform is hosted or kvm" ;; esac

RT_NAME=posix-threads RT_SOURCE=posixtestsuite RT_UPSTREAM=1.5.2 RT_PACKAGES=(gcc libc6-dev)
need_packages "${RT_PACKAGES[@]}" dpkg-dev
toolchain
fetch
with_scratch
config=$SCRATCH/pthread.toml
printf 'sets = ["pthread"]\n' >"$config"
if [ -n "${MV_PREEMPT:-}" ]; then
    printf '[threads]\npreempt = "%s"\n' "$MV_PREEMPT" >>"$config"
fi

# ---- Building ------------------------------------------------------------------------------------------------------

plain=$CACHE/build/$RT_NAME/plain-$RT_KEY
if [ ! -e "$plain/built" ]; then
    rm -rf "$plain"
    mkdir -p "$plain/src"
    tar -xf "$RT_ORIG" -C "$plain/src" --strip-components=1
    # plain_build SOURCE: one that cannot be built on this system is left out, with its messages beside it.
    plain_build() {
        local out=${1%.c}.test
        gcc -O2 -w -std=gnu99 -D_GNU_SOURCE -D_XOPEN_SOURCE=600 -I include "$1" -o "$out" -pthread -lrt -lm >"$out.log" 2>&1 || rm -f "$out"
    }
    export -f plain_build
    # shellcheck disable=SC2016  # for the inner shell
    step 'building the tests' 600 "$plain/log" bash -c \
        'cd "$1" && ls conformance/interfaces/{pthread,sem}_*/[0-9]*.c | xargs -P "$(nproc)" -I{} bash -c "plain_build {}"' _ "$plain/src"
    touch "$plain/built"
fi

cd "$plain/src/conformance/interfaces"
tests=()
for file in */*.test; do
    name=${file%.test}
    [ $# -gt 0 ] || tests+=("$name")
    for glob; do
        # shellcheck disable=SC2254  # it is a pattern
        case $name in $glob) tests+=("$name") ;; esac
    done
done
[ ${#tests[@]} -gt 0 ] || die "no test matches"

# ---- Running -------------------------------------------------------------------------------------------------------

# timed COMMAND...: runs it under the time limit, in a session of its own, of which nothing is left behind.
timed() {
    local pid status=0
    setsid timeout -k 5 "$LIMIT" "$@" </dev/null &
    pid=$!
    wait "$pid" || status=$?
    kill -KILL -- "-$pid" 2>/dev/null || true
    return "$status"
}

# outcome NAME: runs a test plain and hybrid, and writes both exit statuses and how many kernel threads there were.
outcome() {
    local dir=$SCRATCH/${1//\//:} plain have threads=0 n
    mkdir "$dir"
    timeout 60 "$MV_BIN/mv-link" --config "$config" --hybridize "$1.test" -o "$dir/hybrid" >"$dir/hybrid.out" 2>&1 || {
        printf '%s 0 link 0\n' "$1"
        return
    }
    cp "$1.test" "$dir/plain"
    cd "$dir" || return
    # Whatever depends on time has another chance.
    for _ in 1 2 3; do
        plain=0 have=0
        timed ./plain >plain.out 2>&1 || plain=$?
        HRT_PLATFORM=$platform HRT_STATS=$dir/stats timed ./hybrid >hybrid.out 2>&1 || have=$?
        [ "$plain" != "$have" ] || break
    done
    while read -r n; do
        threads=$((threads + n))
    done < <(grep -ho '"kernel_threads":{"created":[0-9]*' stats 2>/dev/null | sed 's/.*://')
    printf '%s %s %s %s\n' "$1" "$plain" "$have" "$threads"
    rm -f hybrid plain
}
LIMIT=${MV_LIMIT:-60}
export -f outcome timed
export platform config LIMIT MV_BIN
printf '== %d tests, plain and on %s\n' ${#tests[@]} "$platform"
printf '%s\n' "${tests[@]}" | xargs -P "${MV_JOBS:-$(nproc)}" -I{} bash -c "outcome {}" >"$SCRATCH/outcomes" 2>/dev/null || true

threads=0
while read -r name plain have created; do
    threads=$((threads + ${created:-0}))
    if [ "$plain" = "$have" ]; then
        PASSED=$((PASSED + 1))
    elif [ "$plain" = 124 ] || [ "$plain" = 137 ]; then
        printf 'skip %s: it does not end when it is plain\n' "$name"
        SKIPPED=$((SKIPPED + 1))
    elif [ "$have" = 0 ]; then
        printf 'skip %s: only the plain one fails, with %s\n' "$name" "$plain"
        SKIPPED=$((SKIPPED + 1))
    elif [ -n "${DIFFERS[$name]:-}" ]; then
        printf 'skip %s: %s, not %s: %s\n' "$name" "$have" "$plain" "${DIFFERS[$name]}"
        SKIPPED=$((SKIPPED + 1))
    else
        printf 'FAIL %s: status %s, plain %s\n' "$name" "$have" "$plain"
        tail -n 5 "$SCRATCH/${name//\//:}/hybrid.out" 2>/dev/null | sed 's/^/   | /' || true
        FAILED=$((FAILED + 1))
    fi
done < <(sort "$SCRATCH/outcomes")
printf '   of the plain ones %s end with PASS (0)\n' "$(awk '$2 == 0' "$SCRATCH/outcomes" | wc -l)"
printf '   %d kernel threads\n' "$threads"
[ "$threads" -gt 0 ] || die "no kernel thread was made: the set is not in place"
printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
[ "$FAILED" -eq 0 ]
