#!/usr/bin/env bash
# shellcheck disable=SC2031  # lib.sh sets these in subshells too, on purpose
# bench.sh [--rounds N] [--build] [--predict] NAME...: times each runtime's programs plain and hybrid, in turns, and compares.
#   NAME      a runtime. Without --build its programs are timed; with --build, its whole build by cc and by mv-cc.
#   --rounds  how often each is run (default 11; for builds 3). The two kinds alternate, and which goes first alternates too.
#   --predict says before each what mv-link --predict makes of the plain one, as processor time hybrid/plain.
# Prints, for each, both medians in seconds, the median of the rounds' ratios hybrid/plain with its quartiles, and the
# same for processor time (user + system). JSON lines go to $MV_BENCH_JSON, default runtimes/bench.json in the cache.
. "$(dirname "$0")/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

rounds='' builds=0 predict=0
while :; do
    case ${1:-} in
    --rounds) rounds=$2 && shift 2 ;;
    --build) builds=1 && shift ;;
    --predict) predict=1 && shift ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || die "usage: bench.sh [--rounds N] [--build] [--predict] NAME...; names: $RUNTIMES"
[ -n "$rounds" ] || rounds=$((builds == 1 ? 3 : 11))
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds wants a number"
with_scratch
mkdir -p "$CACHE"
JSON=${MV_BENCH_JSON:-$CACHE/bench.json}
: >"$JSON"
export TIMEFORMAT='%R %U %S'

# timed FILE SECONDS COMMAND...: runs it in a fresh folder; adds "real processor" seconds to FILE.
timed() {
    local file=$1 limit=$2 status=0 line
    shift 2
    rm -rf "$SCRATCH/work"
    mkdir -p "$SCRATCH/work"
    line=$( (cd "$SCRATCH/work" && time timeout -k 10 "$limit" "$@" >"$SCRATCH/output" 2>"$SCRATCH/errors" </dev/null) 2>&1) || status=$?
    if [ "$status" -ne 0 ]; then
        printf 'status %d\n' "$status"
        tail -n 5 "$SCRATCH/errors" | sed 's/^/   | /'
        return 1
    fi
    awk '{ printf "%.3f %.3f\n", $1, $2 + $3 }' <<<"$line" >>"$file"
}

# result NAME: the two kinds' times in $SCRATCH/{plain,hybrid}, line by line the rounds.
result() {
    paste "$SCRATCH/plain.times" "$SCRATCH/hybrid.times" | awk -v name="$1" -v json="$JSON" '
        function sort(a, n,    i, j, t) { for (i = 2; i <= n; i++) { t = a[i]; for (j = i - 1; j > 0 && a[j] > t; j--) a[j + 1] = a[j]; a[j + 1] = t } }
        function quantile(a, n, q,    at, low) { at = 1 + (n - 1) * q; low = int(at); return low >= n ? a[n] : a[low] + (at - low) * (a[low + 1] - a[low]) }
        { n++; p[n] = $1; pc[n] = $2; h[n] = $3; hc[n] = $4; r[n] = $1 > 0 ? $3 / $1 : 1; rc[n] = $2 > 0 ? $4 / $2 : 1 }
        END {
            sort(p, n); sort(h, n); sort(pc, n); sort(hc, n); sort(r, n); sort(rc, n)
            printf "%-28s %8.3f %8.3f   %6.3f [%.3f, %.3f]   %8.3f %8.3f   %6.3f [%.3f, %.3f]\n", name, quantile(p, n, 0.5), quantile(h, n, 0.5), quantile(r, n, 0.5), quantile(r, n, 0.25), quantile(r, n, 0.75),
                quantile(pc, n, 0.5), quantile(hc, n, 0.5), quantile(rc, n, 0.5), quantile(rc, n, 0.25), quantile(rc, n, 0.75)
            printf "{\"name\":\"%s\",\"rounds\":%d,\"wall\":{\"plain\":%.3f,\"hybrid\":%.3f,\"ratio\":%.4f,\"q1\":%.4f,\"q3\":%.4f},\"cpu\":{\"plain\":%.3f,\"hybrid\":%.3f,\"ratio\":%.4f,\"q1\":%.4f,\"q3\":%.4f}}\n", name, n,
                quantile(p, n, 0.5), quantile(h, n, 0.5), quantile(r, n, 0.5), quantile(r, n, 0.25), quantile(r, n, 0.75),
                quantile(pc, n, 0.5), quantile(hc, n, 0.5), quantile(rc, n, 0.5), quantile(rc, n, 0.25), quantile(rc, n, 0.75) >>json
        }'
}

# pair NAME SECONDS FUNCTION: FUNCTION plain|hybrid prepares and sets COMMAND; first one round of each that does not count.
pair() {
    local name=$1 limit=$2 prepare=$3 round kind kinds
    rm -f "$SCRATCH"/*.times
    for ((round = 0; round <= rounds; round++)); do
        kinds='plain hybrid'
        [ $((round % 2)) -eq 0 ] || kinds='hybrid plain'
        for kind in $kinds; do
            "$prepare" "$kind"
            # A warm-up of a whole build would only cost time.
            if [ "$round" -eq 0 ] && [ "$builds" -eq 1 ]; then continue; fi
            if ! timed "$([ "$round" -eq 0 ] && echo /dev/null || echo "$SCRATCH/$kind.times")" "$limit" "${COMMAND[@]}"; then
                fail "$name" "the $kind one failed"
                return
            fi
        done
    done
    result "$name"
    PASSED=$((PASSED + 1))
}

program_of() {
    ln -sfn "$([ "$1" = plain ] && echo "$PLAIN" || echo "$HYBRID")" "$SCRATCH/rt"
    if [ "$1" = hybrid ]; then export HRT_PLATFORM=$MV_TEST_PLATFORM; else unset HRT_PLATFORM; fi
    export RT=$SCRATCH/rt
    # One more word, so that bash does not matter to what is timed: it replaces itself.
    COMMAND=(bash -c "${BENCH/\"\$RT/exec \"\$RT}")
}

# predicted NAME: what mv-link says of the plain BENCH.
predicted() {
    program_of plain
    export MV_BIN MV_TEST_PLATFORM
    # shellcheck disable=SC2016  # expanded where it runs
    COMMAND=(bash -c "${BENCH/\"\$RT/'"$MV_BIN/mv-link" --predict --platform "$MV_TEST_PLATFORM" --json -o "$SCRATCH/predict.json" -- "$RT'}")
    rm -f "$SCRATCH/predict.json"
    if ! timed /dev/null 600 "${COMMAND[@]}"; then
        fail "$1-predict" "mv-link --predict failed"
        return
    fi
    awk -v name="$1" '/"processor_ratio": \{/ { within = 1; next } within && /"low"|"mid"|"high"/ { gsub(/[",:]/, ""); v[$1] = $2 } within && /\}/ { within = 0 }
        END { if ("mid" in v) printf "%-28s predicted: processor %.3f (%.3f ... %.3f)\n", name, v["mid"], v["low"], v["high"]; else exit 1 }' "$SCRATCH/predict.json" ||
        fail "$1-predict" "no prediction in its report"
}

build_of() {
    export CC
    unset HRT_PLATFORM
    if [ "$1" = plain ]; then CC=${MV_PLAIN_CC:-cc}; else CC=$MV_BIN/mv-cc HRT_PLATFORM=$MV_TEST_PLATFORM; export HRT_PLATFORM; fi
    COMMAND=(bash -c "cd \"$SCRATCH/tree\" && $(declare -f rt_build_bench) && rt_build_bench")
}

toolchain
printf '%s, %d processors; %d rounds; toolchain %s%s\n' "$(uname -srm)" "$(nproc)" "$rounds" "$MV_HASH" \
    "$([ "$builds" -eq 0 ] && [ "${MV_RELINK:-0}" = 1 ] && echo '; hybrids relinked from plain builds (MV_RELINK=1)')"
printf '%-28s %8s %8s   %-22s   %8s %8s   %s\n' '' plain hybrid 'ratio [quartiles]' 'cpu' hybrid 'ratio [quartiles]'
for name in "$@"; do
    unset -f rt_benches rt_build_bench
    load_runtime "$name"
    need_packages "${RT_PACKAGES[@]}"
    if [ "$builds" -eq 1 ]; then
        if ! declare -f rt_build_bench >/dev/null; then
            skip "$name-build" "no build benchmark"
            continue
        fi
        fetch
        mkdir -p "$SCRATCH/tree"
        rt_unpack "$SCRATCH/tree"
        if [ -x "$SCRATCH/tree/configure" ] && ! (cd "$SCRATCH/tree" && timeout 300 ./configure >/dev/null 2>&1); then
            fail "$name-build" "configure failed"
            continue
        fi
        pair "$name-build" 1800 build_of
        rm -rf "$SCRATCH/tree"
        continue
    fi
    if ! declare -f rt_benches >/dev/null; then
        skip "$name" "no benchmark"
        continue
    fi
    build plain >/dev/null || die "$name (plain) does not build: see build.sh"
    PLAIN=$BUILT
    build hybrid >/dev/null || die "$name (hybrid) does not build: see build.sh"
    HYBRID=$BUILT
    while IFS='|' read -r -u 3 bench BENCH; do
        # shellcheck disable=SC2053  # a pattern
        if [ -n "${ONLY:-}" ] && [[ $name-$bench != $ONLY ]]; then continue; fi
        if [ "$predict" -eq 1 ]; then
            predicted "$name-$bench"
        fi
        pair "$name-$bench" 300 program_of
    done 3< <(rt_benches)
done
# Every ratio once more, as one: the geometric mean of the wall-clock and processor time ratios.
awk -F'"ratio":' '{ split($2, w, ","); split($3, c, ","); if (w[1] > 0 && c[1] > 0) { n++; lw += log(w[1]); lc += log(c[1]) } }
    END { if (n > 1) printf "%-28s wall %.4f, processor %.4f (geometric means of %d)\n", "all", exp(lw / n), exp(lc / n), n }' "$JSON"
printf 'JSON: %s\n' "$JSON"
[ "$FAILED" -eq 0 ]
