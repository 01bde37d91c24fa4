# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2153,SC2317  # subshells export on purpose; callers use what is set here
# Common ground of the scripts beside this file: where things are, fetching, building, comparing. To be sourced.
#
# Cache ($MV_CACHE, default ~/.cache/multiverse), below runtimes/:
#   apt/                      a package index of our own, with the source entries that the machine's may lack
#   src/SOURCE/               Debian source packages as downloaded
#   build/NAME/plain-KEY/     built with CC=cc; KEY: the source package
#   build/NAME/hybrid-KEY/    built with CC=mv-cc; KEY: the source package and the toolchain
#   build/NAME/relink-KEY/    MV_RELINK=1 instead of that: a copy of the plain build, its executables put through
#                             mv-link --hybridize: minutes faster, but it says nothing about mv-cc
set -euo pipefail

RT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$RT_DIR/../.." && pwd)
CACHE=${MV_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/multiverse}/runtimes
MV_NICE=${MV_NICE:-10}
# The platform that hybrid programs must have run on.
MV_TEST_PLATFORM=${MV_TEST_PLATFORM:-hosted}
export LC_ALL=C.UTF-8 TZ=UTC
unset HRT_STATS HRT_TRACE HRT_PLATFORM HRT_RING

PASSED=0
FAILED=0
SKIPPED=0

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

elapsed() {
    printf '%dm%02ds' $(($1 / 60)) $(($1 % 60))
}

# step LABEL SECONDS LOG COMMAND...: runs a long command with its output in LOG, under a time limit, saying every half
# minute that it is still at it. On failure prints the end of the log.
step() {
    local label=$1 limit=$2 log=$3 start=$SECONDS pid status=0 next=30
    shift 3
    mkdir -p "$(dirname "$log")"
    printf '== %s\n' "$label"
    timeout -k 20 "$limit" nice -n "$MV_NICE" "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - start)) -ge "$next" ]; then
            next=$((next + 30))
            printf '   … %s: %s, %d lines of log\n' "$label" "$(elapsed $((SECONDS - start)))" "$(wc -l <"$log")"
        fi
    done
    wait "$pid" || status=$?
    if [ "$status" -ne 0 ]; then
        if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
            printf '   %s: stopped after the limit of %s s\n' "$label" "$limit"
        fi
        printf '   %s: failed with status %d after %s; the end of %s:\n' "$label" "$status" "$(elapsed $((SECONDS - start)))" "$log"
        tail -n 25 "$log" | sed 's/^/   | /'
        return 1
    fi
    printf '   %s: done in %s\n' "$label" "$(elapsed $((SECONDS - start)))"
}

# ---- Names ---------------------------------------------------------------------------------------------------------

RUNTIMES="lua sqlite cpython racket-cs racket-bc ocaml boehm sbcl node java"

# load_runtime NAME: sets RT_NAME, RT_HOME (the folder beside this file), RT_SOURCE (Debian source package), RT_UPSTREAM
# (the version that the checks are written for) and RT_PACKAGES (what its build needs), and defines rt_build and rt_checks.
# Without RT_SOURCE it is what the distribution has installed: rt_build copies or compiles, and hybrids are made of that by
# mv-link --hybridize.
load_runtime() {
    RT_NAME=$1
    case " $RUNTIMES " in
    *" $RT_NAME "*) ;;
    *) die "no runtime '$RT_NAME'; there are: $RUNTIMES" ;;
    esac
    RT_HOME=$RT_DIR/${RT_NAME%%-*}
    export RT_HOME
    # What a runtime may replace.
    rt_unpack() { tar -xf "$RT_ORIG" -C "$1" --strip-components=1; }
    # shellcheck source=/dev/null
    . "$RT_HOME/runtime.sh"
}

# ---- Sources -------------------------------------------------------------------------------------------------------


# An index of source packages from the places where this machine already gets its Debian packages. The machine's own
# configuration stays as it is.
apt_index() {
    local release keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri suite component
    local stamp=$CACHE/apt/updated
    if [ -n "$(find "$stamp" -mtime -1 2>/dev/null)" ]; then
        return
    fi
    command -v apt-get >/dev/null || die "no apt-get: sources come as Debian source packages"
    release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    mkdir -p "$CACHE/apt/parts" "$CACHE/apt/lists/partial"
    # shellcheck disable=SC2016  # apt's own variables
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
        while read -r uri suite component; do
            [ "$component" = main ] || continue
            case $suite in
            "$release" | "$release"-updates | "$release"-security) ;;
            *) continue ;;
            esac
            printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
            if [ -r "$keyring" ]; then
                printf 'Signed-By: %s\n' "$keyring"
            fi
            printf '\n'
        done >"$CACHE/apt/parts/deb-src.sources"
    [ -s "$CACHE/apt/parts/deb-src.sources" ] || die "apt has no Debian archive configured for '$release'"
    timeout 300 apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$CACHE/apt/parts" \
        -o Dir::State::lists="$CACHE/apt/lists" -o APT::Sandbox::User= update || die "apt-get update of the source index failed"
    touch "$stamp"
}

# download PACKAGE[/RELEASE]: its source package into $dir.
download() { # $dir is the caller's
    rm -f "${dir:?}"/*
    (cd "$dir" && timeout 600 apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$CACHE/apt/parts" \
        -o Dir::State::lists="$CACHE/apt/lists" -o APT::Sandbox::User= source --download-only "$1")
}

# fetch: the source package of the loaded runtime; sets RT_ORIG (the upstream tarball) and RT_KEY.
fetch() {
    local dir=$CACHE/src/$RT_SOURCE dsc
    if [ -z "$RT_SOURCE" ]; then
        # shellcheck disable=SC2016  # dpkg-query's own variables
        RT_KEY=$({ dpkg-query -W -f '${Package} ${Version}\n' "${RT_PACKAGES[@]}" && cat "$RT_HOME"/*; } | sha256sum | cut -c1-12)
        RT_ORIG=installed
        return
    fi
    mkdir -p "$dir"
    exec 8>"$CACHE/src/$RT_SOURCE.lock"
    flock 8
    if [ ! -e "$dir/complete" ]; then
        printf '== fetching the Debian source package %s\n' "$RT_SOURCE"
        apt_index
        # apt verifies what it downloads against the signed index. Where a mirror lacks the newest update, the release's own
        # version has the same upstream tarball.
        download "$RT_SOURCE" || download "$RT_SOURCE/$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" ||
            die "apt-get source $RT_SOURCE failed"
        touch "$dir/complete"
    fi
    dsc=$(echo "$dir"/*.dsc)
    [ -f "$dsc" ] || die "no .dsc file in $dir"
    # Once more against the description: the cache may have rotted since.
    (cd "$dir" && sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]\{64\}\) [0-9]* \(.*\)$/\1  \2/p' "$dsc" | sha256sum --quiet -c) >&2 ||
        die "$dir does not match its checksums; remove it and try again"
    RT_ORIG=$(echo "$dir/$RT_SOURCE"_*.orig.tar.*)
    [ -f "$RT_ORIG" ] || die "no single upstream tarball in $dir"
    case ${RT_ORIG##*/} in
    "$RT_SOURCE"_"$RT_UPSTREAM"*) ;;
    *) die "the archive has ${RT_ORIG##*/}, the checks are for $RT_UPSTREAM" ;;
    esac
    RT_KEY=$(sha256sum "$dsc" | cut -c1-12)
    exec 8>&-
}

# ---- Toolchain and builds ------------------------------------------------------------------------------------------

# toolchain: sets MV_BIN (the folder of mv-cc and mv-link) and MV_HASH. MV_CONFIG, an absolute name, is a configuration for hybrids.
toolchain() {
    MV_BIN=${MV_BIN:-${CARGO_TARGET_DIR:-$ROOT/target}/release}
    MV_BIN=$(cd "$MV_BIN" 2>/dev/null && pwd) || die "no toolchain built yet: run make first"
    if ! [ -x "$MV_BIN/mv-cc" ] || ! [ -x "$MV_BIN/mv-link" ]; then
        die "no mv-cc and mv-link in $MV_BIN: run make first"
    fi
    MV_HASH=$(cat "$MV_BIN/mv-link" "$MV_BIN/mv-cc" ${MV_CONFIG:+"$MV_CONFIG"} | sha256sum | cut -c1-12)
}

# build_dir plain|hybrid
build_dir() {
    case $1 in
    plain) printf '%s' "$CACHE/build/$RT_NAME/plain-$RT_KEY" ;;
    hybrid) printf '%s' "$CACHE/build/$RT_NAME/hybrid-$RT_KEY-$MV_HASH" ;;
    relink) printf '%s' "$CACHE/build/$RT_NAME/relink-$RT_KEY-$MV_HASH" ;;
    esac
}

# hybrid_kind: how hybrids are made: by a build with mv-cc (hybrid), or from the plain build (relink).
hybrid_kind() {
    if [ "${MV_RELINK:-0}" = 1 ] || [ -z "$RT_SOURCE" ]; then printf 'relink'; else printf 'hybrid'; fi
}

# relink DIR: fills DIR/src from the plain build. rt_executables prints the executables, below the root of the sources.
relink() {
    local dir=$1 plain file
    plain=$(build_dir plain)
    if ! [ -e "$plain/built" ]; then
        printf 'hybrids of %s are made from its plain build: that first\n' "$RT_NAME" >&2
        return 1
    fi
    printf '== %s (relink): the plain build, its executables rewritten by mv-link --hybridize; mv-cc has no part in this\n' "$RT_NAME"
    cp -a "$plain/src" "$dir/" || return 1
    while read -r file; do
        if [ -f "$plain/src/$file" ]; then
            rm "$dir/src/$file"
            timeout 120 "$MV_BIN/mv-link" --hybridize "$plain/src/$file" -o "$dir/src/$file" \
                ${MV_CONFIG:+--config "$MV_CONFIG"} || return 1
            touch -r "$plain/src/$file" "$dir/src/$file"
        fi
    done < <(rt_executables)
}

# build plain|hybrid: builds the loaded runtime unless that is done already; sets BUILT to its folder.
build() {
    local kind=$1 cc=${MV_PLAIN_CC:-cc} dir old status=0
    BUILT=
    fetch
    if [ "$kind" = hybrid ]; then
        toolchain
        cc=$MV_BIN/mv-cc
        kind=$(hybrid_kind)
    fi
    dir=$(build_dir "$kind")
    mkdir -p "$CACHE/build/$RT_NAME"
    exec 9>"$CACHE/build/$RT_NAME/$kind.lock"
    if ! flock -n 9; then
        printf '   … another process builds %s (%s); waiting\n' "$RT_NAME" "$kind"
        flock 9
    fi
    if [ ! -e "$dir/built" ]; then
        for old in "$CACHE/build/$RT_NAME/$kind"-*; do
            rm -rf "$old"
        done
        mkdir -p "$dir/src"
        [ "$kind" = relink ] || [ -z "$RT_SOURCE" ] || rt_unpack "$dir/src"
        (
            if [ "$kind" = relink ]; then
                relink "$dir"
                exit
            fi
            unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
            if [ "$kind" = hybrid ]; then
                export HRT_PLATFORM=$MV_TEST_PLATFORM
            fi
            rt_build "$dir/src" "$cc" "$dir/build.log" "$kind"
        ) || status=$?
        if [ "$status" -ne 0 ]; then
            exec 9>&-
            return 1
        fi
        touch "$dir/built"
    fi
    exec 9>&-
    BUILT=$dir/src
}

# ---- Checks --------------------------------------------------------------------------------------------------------

ok() {
    printf 'ok %s\n' "$1"
    PASSED=$((PASSED + 1))
}

fail() {
    printf 'FAIL %s%s\n' "$1" "${2:+: $2}"
    FAILED=$((FAILED + 1))
}

skip() {
    printf 'SKIP %s: %s\n' "$1" "$2"
    SKIPPED=$((SKIPPED + 1))
}

finish() {
    printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
    [ "$FAILED" -eq 0 ]
}

# stats_bad FILE: why these statistics do not show that every process ran on the platform wanted; nothing when they do.
stats_bad() {
    local file=$1 lines other
    lines=$(grep -c . "$file" 2>/dev/null || true)
    if [ "${lines:-0}" -eq 0 ]; then
        printf 'the hybrid wrote no statistics'
        return
    fi
    other=$(grep -v "\"platform\": *\"$MV_TEST_PLATFORM\"" "$file" | head -n 1 || true)
    if [ -n "$other" ]; then
        printf 'a process did not run on %s: %s' "$MV_TEST_PLATFORM" "$(printf '%s' "$other" | cut -c1-120)"
        return
    fi
    # A library OS through which no call went would be none.
    # With overrides a short program may need nothing of Linux but its end.
    if ! grep -q "\"forwarded\": *[1-9]${MV_CONFIG:+\|\"mediated\": *[1-9]}" "$file"; then
        printf 'the statistics count no forwarded system call'
    fi
}

# run_one plain|hybrid BUILD OUTDIR SECONDS STDIN COMMAND: one run in a fresh folder that has the same path for both kinds.
# COMMAND is for bash, with $RT the root of the built sources and $RT_HOME the folder of the runtime's checks.
run_one() {
    local kind=$1 built=$2 out=$3 limit=$4 stdin=$5 command=$6 work=$SCRATCH/work status=0
    rm -rf "$work" "$out"
    mkdir -p "$work" "$out"
    ln -sfn "$built" "$SCRATCH/rt"
    (
        cd "$work"
        if [ "$kind" = hybrid ]; then
            export HRT_PLATFORM=$MV_TEST_PLATFORM HRT_STATS=$out/stats
        fi
        export RT=$SCRATCH/rt HOME=$work TMPDIR=$work
        timeout -k 10 "$limit" bash -c "$command" <"$stdin" >"$out/stdout" 2>"$out/stderr"
    ) || status=$?
    printf '%d\n' "$status" >"$out/status"
}

# check NAME [options] COMMAND: runs COMMAND with the plain and the hybrid build. They must agree in stdout, stderr and exit
# status, and the hybrid's statistics must say that it ran on the platform wanted.
#   --stdin FILE     standard input (default: none)
#   --expect FILE    what both must print on stdout
#   --status N       the exit status that both must have (default 0)
#   --any-stderr     stderr differs from run to run
#   --killed         a process of the run ends by a signal, so some statistics may be missing
#   --limit SECONDS  time limit of a run (default 120)
check() {
    local name=$1 stdin=/dev/null expect='' want=0 stderr=1 killed=0 limit=120 kind why='' what
    shift
    while [ $# -gt 1 ]; do
        case $1 in
        --stdin) stdin=$2 && shift ;;
        --expect) expect=$2 && shift ;;
        --status) want=$2 && shift ;;
        --limit) limit=$2 && shift ;;
        --any-stderr) stderr=0 ;;
        --killed) killed=1 ;;
        *) die "check: unknown option $1" ;;
        esac
        shift
    done
    # shellcheck disable=SC2053  # a pattern
    if [ -n "${ONLY:-}" ] && [[ $RT_NAME-$name != $ONLY ]]; then
        return
    fi
    name=$RT_NAME-$name
    for kind in plain hybrid; do
        if [ "$kind" = plain ]; then
            run_one plain "$PLAIN" "$SCRATCH/plain" "$limit" "$stdin" "$1"
        else
            run_one hybrid "$HYBRID" "$SCRATCH/hybrid" "$limit" "$stdin" "$1"
        fi
        if [ "$(cat "$SCRATCH/$kind/status")" != "$want" ]; then
            why="$why$kind exits with $(cat "$SCRATCH/$kind/status"), not $want; "
        fi
        if [ -n "$expect" ] && ! cmp -s "$expect" "$SCRATCH/$kind/stdout"; then
            why="$why$kind prints something else than ${expect##*/}; "
        fi
    done
    if ! cmp -s "$SCRATCH/plain/stdout" "$SCRATCH/hybrid/stdout"; then
        why="${why}stdout differs; "
    fi
    if [ "$stderr" -eq 1 ] && ! cmp -s "$SCRATCH/plain/stderr" "$SCRATCH/hybrid/stderr"; then
        why="${why}stderr differs; "
    fi
    what=$(stats_bad "$SCRATCH/hybrid/stats")
    if [ -n "$what" ] && { [ "$killed" -eq 0 ] || [ -s "$SCRATCH/hybrid/stats" ]; }; then
        why="$why$what; "
    fi
    if [ -z "$why" ]; then
        ok "$name"
        rm -rf "$CACHE/failures/$name"
        return
    fi
    fail "$name" "${why%; }"
    keep_failure "$name" "$1"
}

# keep_failure NAME COMMAND: shows the start of the difference and keeps both runs' files.
keep_failure() {
    local dir=$CACHE/failures/$1
    rm -rf "$dir"
    mkdir -p "$dir"
    cp -r "$SCRATCH/plain" "$SCRATCH/hybrid" "$dir/"
    printf '%s\n' "$2" >"$dir/command"
    diff -a "$dir/plain/stdout" "$dir/hybrid/stdout" | head -n 10 | cut -c1-200 | sed 's/^/   | stdout: /' || true
    diff -a "$dir/plain/stderr" "$dir/hybrid/stderr" | head -n 10 | cut -c1-200 | sed 's/^/   | stderr: /' || true
    printf '   both runs are kept in %s\n' "$dir"
}

# with_scratch: makes SCRATCH, removed at exit.
with_scratch() {
    SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/mv-runtimes.XXXXXX")
    export SCRATCH
    trap 'rm -rf "$SCRATCH"' EXIT
}
