#!/usr/bin/env bash
# Runs the programs that testsuite/ring0/programs lists in a virtual machine that has /dev/kvm, on any machine: see
# testsuite/ring0/boot.sh. Each runs plain and hybridized, and must print the same and end the same.
# MV_RING0_KVM=1 runs them with HRT_PLATFORM=kvm HRT_RING=0 too. MV_CC_BIN names the mv-cc to test. ONLY=GLOB limits the programs.
# ring0.sh --corpus [FILTER]: runs instead each program of the corpus (testsuite/programs), or those whose name contains one of FILTER's
# parts (A|B|C), plain and on `kvm` in ring 0. MV_RING0_LIMIT: the seconds for all of them.
# ring0.sh --all: both, and that 400 processes that end and 40 that are killed leave nothing behind. ring0.sh --quick: both, but of the corpus a part, in under two minutes on two free cores.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

RING0_DIR=$ROOT/testsuite/ring0
KEPT=${CACHE%/runtimes}/ring0/failed
if [ -n "${MV_CC_BIN:-}" ]; then
    MV_BIN=$(dirname "$MV_CC_BIN")
fi
toolchain
need_packages "${BUILD_PACKAGES[@]}"
with_scratch
TREE=$SCRATCH/tree
COMMANDS=$SCRATCH/commands
RESULTS=$COMMANDS.results
mkdir "$TREE"
: >"$COMMANDS"
# What depends on the ring most: the calling convention, exceptions, signals; and some of everything else.
QUICK='c/abi_|c/basic_segv|c/jit_own|c/mm_map|c/mm_shared|c/proc_core|c/proc_fork:|c/proc_seccomp_strict|c/proc_vfork|c/sig_altstack|c/sig_context'
QUICK+='|c/sig_fault|c/sig_nested|c/sig_single|c/sig_storm:|c/sig_wild|c/sig_write_barrier|c/mm_lazy|c/thread_main|c/thread_raw|c/thread_tls|cxx/exceptions|rust/threads'
usage="usage: ring0.sh [--all | --quick | --corpus [FILTER]]"
PROGRAMS=$RING0_DIR/programs CORPUS='' FILTER='' LIMIT=240 LEAKS=''
case ${1:-} in
'') ;;
--all) CORPUS=1 LIMIT=3000 MV_RING0_KVM=1 LEAKS=1 ;;
--quick) CORPUS=1 FILTER=$QUICK LIMIT=420 MV_RING0_KVM=1 ;;
--corpus) PROGRAMS=/dev/null CORPUS=1 FILTER=${2:-} LIMIT=${MV_RING0_LIMIT:-3000} ;;
*) die "$usage" ;;
esac
PLATFORMS=(hosted)
if [ "${MV_RING0_KVM:-0}" = 1 ]; then
    PLATFORMS+=(kvm)
fi

# ---- Building and staging ------------------------------------------------------------------------------------------

# put FILE PATH: an executable with what it needs, into the tree.
put() {
    "$RING0_DIR/stage.sh" --as "$2" "$TREE" "$1"
}

# lua: makes lua, plain and hybrid, once; the hybrid of the plain one.
lua() {
    if ! [ -e "$SCRATCH/hybrid-lua" ]; then
        load_runtime lua
        need_packages "${RT_PACKAGES[@]}"
        build plain || return
        timeout 120 "$MV_BIN/mv-link" --hybridize "$BUILT/src/lua" -o "$SCRATCH/hybrid-lua" || return
        put "$BUILT/src/lua" /t/plain/lua && put "$SCRATCH/hybrid-lua" /t/hybrid/lua
    fi
}

# racket_built: prints where Racket CS is, if testsuite/runtimes/run.sh has built it: that takes too long for this.
racket_built() {
    local built
    for built in "$CACHE"/build/racket-cs/plain-*/built; do
        [ -e "$built" ] && printf '%s' "${built%/built}/src" && return
    done
    return 1
}

# racket: Racket CS, plain and hybrid, once; the hybrid of the plain one.
racket() {
    local built
    built=$(racket_built) || return
    if ! [ -e "$SCRATCH/hybrid-racket" ]; then
        timeout 120 "$MV_BIN/mv-link" --hybridize "$built/bin/racket" -o "$SCRATCH/hybrid-racket" || return
        put "$built/bin/racket" /t/plain/racket && put "$SCRATCH/hybrid-racket" /t/hybrid/racket || return
        put "$built/collects" /t/collects && put "$built/etc" /t/etc
    fi
}

# c NAME KIND SOURCE: a C program, plain and hybrid.
c() {
    local name=$1 source=$3 kind cc flags=(-O1 -pthread -I "$ROOT/testsuite/programs/include" -I "$ROOT/hrt-runtime-shim/api")
    case $2 in
    dynamic-pie) flags+=(-fPIE -pie) ;;
    no-pie) flags+=(-fno-pie -no-pie) ;;
    static) flags+=(-fno-pie -static) ;;
    static-pie) flags+=(-fPIE -static-pie) ;;
    *) die "no such kind: $2" ;;
    esac
    for kind in plain hybrid; do
        cc=cc
        [ "$kind" = plain ] || cc=$MV_BIN/mv-cc
        timeout 120 "$cc" "${flags[@]}" -o "$SCRATCH/$kind-$name" "$source" && put "$SCRATCH/$kind-$name" "/t/$kind/$name" || return
    done
}

# add_program NAME KIND SOURCE
add_program() {
    case $2 in
    lua | racket)
        "$2" && { [ "$3" = - ] || put "$ROOT/testsuite/$3" "/t/${3##*/}"; }
        ;;
    *) c "$1" "$2" "$ROOT/testsuite/$3" ;;
    esac
}

# ---- Commands ------------------------------------------------------------------------------------------------------

LINES_USED=0
declare -A LINE

# command_line LABEL COMMAND: one more for the virtual machine; LINE[LABEL] is its number.
command_line() {
    printf '%s\n' "$2" >>"$COMMANDS"
    LINES_USED=$((LINES_USED + 1))
    LINE[$1]=$LINES_USED
}

# run_in PLATFORM NAME BINARY ARGUMENTS: in a fresh folder, by the same name everywhere. Leaves the statistics' line too.
run_in() {
    local platform=$1 name=$2 binary=$3 arguments=$4 kind=hybrid settings="HRT_PLATFORM=$1 HRT_STATS=/tmp/$2.$1 "
    case $platform in
    plain) kind=plain settings='' ;;
    kvm) settings+='HRT_RING=0 ' ;;
    esac
    command_line "$name $platform" "rm -rf work && mkdir work && cd work && ln -s /t/$kind/$binary $binary && $settings./$binary $arguments"
    if [ -n "$settings" ]; then
        command_line "$name $platform statistics" "cat /tmp/$name.$platform"
    fi
}

# result LABEL out|err|status: prints the file's name.
result() {
    printf '%s/%s.%s' "$RESULTS" "${LINE[$1]}" "$2"
}

# status LABEL: prints its command's exit status.
status() {
    cat "$(result "$1" status)" 2>/dev/null || printf 'none'
}

# ---- Verdicts ------------------------------------------------------------------------------------------------------

# show LABEL: the end of what it wrote on stderr.
show() {
    tail -n 8 "$(result "$1" err)" 2>/dev/null | cut -c1-300 | sed 's/^/   | stderr: /' || true
}

# judge_command LABEL PATTERN: it ended with status 0, and a line of its output is like PATTERN.
judge_command() {
    if [ "$(status "$1")" = 0 ] && grep -qE "$2" "$(result "$1" out)"; then
        ok "ring0-$1"
    else
        fail "ring0-$1" "status $(status "$1"), it printed: $(head -c 300 "$(result "$1" out)" 2>/dev/null)"
        show "$1"
    fi
}

# judge_panic: a program that takes the exception handlers from its virtual CPU ends by SIGABRT, with a report.
judge_panic() {
    # What AMD's processors tell of a shutdown is that it was one; the guest's registers are gone.
    if [ "$(status kvm-panic)" = 134 ] && grep -q 'exit: reason 8 (shutdown' "$(result kvm-panic err)" &&
        grep -q 'program: backtrace' "$(result kvm-panic err)"; then
        ok ring0-kvm-panic
    else
        fail ring0-kvm-panic "status $(status kvm-panic)"
        show kvm-panic
    fi
}

# judge NAME PLATFORM: as the plain run, and where it says.
judge() {
    local name=$1 label="$1 $2" why='' stats other
    local MV_TEST_PLATFORM=$2
    if ! [ -e "$(result "$label" status)" ]; then
        fail "ring0-$name-$2" "it was not run"
        return
    fi
    if ! cmp -s "$(result "$name plain" status)" "$(result "$label" status)"; then
        why="status $(status "$label"), plain $(status "$name plain"); "
    fi
    if ! cmp -s "$(result "$name plain" out)" "$(result "$label" out)"; then
        why="${why}stdout differs; "
    fi
    stats=$(result "$label statistics" out)
    other=$(stats_bad "$stats")
    if [ -z "$other" ] && [ "$2" = kvm ]; then
        other=$(sed -n '/"ring": *0[,}]/!s/^/a process did not run in ring 0: /p' "$stats" | head -n 1 | cut -c1-160)
    fi
    why=$why${other:+$other; }
    if [ -z "$why" ]; then
        ok "ring0-$name-$2"
        return
    fi
    fail "ring0-$name-$2" "${why%; }"
    diff -a "$(result "$name plain" out)" "$(result "$label" out)" | head -n 10 | cut -c1-200 | sed 's/^/   | stdout: /' || true
    show "$label"
}

# ---- The corpus ----------------------------------------------------------------------------------------------------

# corpus_pack: the programs that FILTER selects, built, into the tree; what is to be run of them is in $SCRATCH/corpus, a
# line for each: SECONDS NAME, or - NAME WHY.
corpus_pack() {
    local list
    need_cargo
    MV_CC_BIN=$MV_BIN/mv-cc MV_CORPUS_PACK=$TREE/t/corpus timeout 900 cargo test --locked --manifest-path "$ROOT/Cargo.toml" \
        -p testsuite --test corpus -- "$FILTER" </dev/null >"$SCRATCH/corpus" || return
    list=$(find "$TREE/t/corpus/built" "$TREE/t/corpus/run" -type f -perm /111)
    # shellcheck disable=SC2086  # no blanks in there
    "$RING0_DIR/stage.sh" --needs "$TREE" $list
}

# judge_corpus NAME: by the lines of the corpus test.
judge_corpus() {
    local test what why seen=0
    while read -r test what why; do
        seen=$((seen + 1))
        case $what in
        ok) ok "ring0-$test" ;;
        ignored) skip "ring0-$test" "$why" ;;
        *) fail "ring0-$test" "$what $why" ;;
        esac
    done < <(sed -n 's/^test \([^ ]*::[^ ]*\) *\.\.\. /\1 /p' "$(result "$1" out)" 2>/dev/null)
    if [ "$seen" -ne 2 ]; then
        fail "ring0-$1" "status $(status "$1"), with $seen results"
        show "$1"
    elif [ "$(status "$1")" != 0 ]; then
        sed -n '/^---- /,/^failures:/p' "$(result "$1" out)" | grep -v '^failures:' | cut -c1-300 | sed 's/^/   | /'
    fi
}

# ---- What is run ---------------------------------------------------------------------------------------------------

command_line kvm-device 'ls -l /dev/kvm'
cc -O1 -static -o "$SCRATCH/guest" "$RING0_DIR/guest.c"
put "$SCRATCH/guest" /t/guest
command_line kvm-guest '/t/guest'
if [ "${MV_RING0_KVM:-0}" = 1 ]; then
    c panic dynamic-pie "$ROOT/testsuite/days/panic.c"
    command_line kvm-panic 'HRT_PLATFORM=kvm HRT_RING=0 /t/hybrid/panic shutdown'
    for example in ring0 barrier; do
        c "$example" static "$ROOT/examples/$example/$example.c"
        command_line "example-$example" "HRT_PLATFORM=kvm HRT_RING=0 /t/hybrid/$example"
    done
fi

c numa static "$RING0_DIR/numa.c"
command_line 'numa plain' '/t/plain/numa'
for platform in "${PLATFORMS[@]}"; do
    command_line "numa $platform" "HRT_PLATFORM=$platform HRT_RING=0 HRT_STATS=/tmp/numa /t/hybrid/numa && grep -q '\"keeps\": *[1-9]' /tmp/numa"
done

CASES=()
if [ -n "$CORPUS" ]; then
    # What programs look for on any Debian.
    put /bin/true /bin/true
    mkdir -p "$TREE/etc"
    printf 'root:x:0:0:root:/tmp:/bin/sh\n' >"$TREE/etc/passwd"
    if [ -d /usr/lib/locale/C.utf8 ]; then
        put /usr/lib/locale/C.utf8 /usr/lib/locale/C.utf8
    fi
    if ! corpus_pack; then
        fail ring0-corpus-build
        : >"$SCRATCH/corpus"
    fi
    while read -r seconds name why; do
        case $seconds in
        -) skip "ring0-$name" "$why" ;;
        *)
            CASES+=("$name")
            command_line "$name" "@$seconds MV_CORPUS_PACKED=/t/corpus /t/corpus/run --test-threads 1 $name::"
            ;;
        esac
    done <"$SCRATCH/corpus"
fi

if [ -n "$LEAKS" ]; then
    c probe static-pie "$ROOT/testsuite/days/probe.c"
    c busy static-pie "$ROOT/testsuite/days/busy.c"
    put "$RING0_DIR/leaks.sh" /t/leaks.sh
    command_line kvm-leaks '@900 export HRT_PLATFORM=kvm HRT_RING=0; sh /t/leaks.sh /t/hybrid/probe /t/hybrid/busy 400 40'
fi

NAMES=()
declare -A WANT
while IFS='|' read -r name kind source want arguments <&5; do
    # The blanks around.
    read -r name <<<"$name"
    read -r kind <<<"$kind"
    read -r source <<<"$source"
    case $name in '' | '#'*) continue ;; esac
    # shellcheck disable=SC2053  # a pattern
    if [ -n "${ONLY:-}" ] && [[ $name != $ONLY ]]; then
        continue
    fi
    if [ "$kind" = racket ] && ! racket_built >/dev/null; then
        skip "ring0-$name" "no Racket CS in the cache: make test-runtimes NAMES=racket-cs builds it"
        continue
    fi
    if ! add_program "$name" "$kind" "$source"; then
        fail "ring0-$name-build"
        continue
    fi
    NAMES+=("$name")
    WANT[$name]=$((want))
    binary=$name
    case $kind in
    lua | racket)
        binary=$kind
        [ "$source" = - ] || arguments="/t/${source##*/} $arguments"
        ;;
    esac
    if [ "$kind" = racket ]; then
        arguments="-X /t/collects -G /t/etc $arguments"
    fi
    for platform in plain "${PLATFORMS[@]}"; do
        run_in "$platform" "$name" "$binary" "$arguments"
    done
done 5<"$PROGRAMS"

printf '== booting, for %d commands\n' "$LINES_USED"
if "$RING0_DIR/boot.sh" --limit "$LIMIT" --each 60 --log "$SCRATCH/console" "$TREE" "$COMMANDS"; then
    ok ring0-boot
else
    fail ring0-boot
fi
judge_command kvm-device '^crw.* 10, *232 .*/dev/kvm$'
judge_command kvm-guest '^port 0x42: 42$'
if [ "${MV_RING0_KVM:-0}" = 1 ]; then
    judge_panic
    judge_command example-ring0 '^ring 0, page tables at 0x'
    judge_command example-barrier '^ring 0, page tables: 80 pages noted$'
fi
judge_command 'numa plain' '^8192 of 8192 pages are near$'
for platform in "${PLATFORMS[@]}"; do
    judge_command "numa $platform" '^8192 of 8192 pages are near$'
done
for name in "${NAMES[@]}"; do
    if [ "$(status "$name plain")" = "${WANT[$name]}" ]; then
        ok "ring0-$name-plain"
    else
        fail "ring0-$name-plain" "status $(status "$name plain"), not ${WANT[$name]}"
        show "$name plain"
    fi
    for platform in "${PLATFORMS[@]}"; do
        judge "$name" "$platform"
    done
    if [ "${MV_RING0_KVM:-0}" != 1 ]; then
        skip "ring0-$name-kvm" "MV_RING0_KVM is not 1"
    fi
done
if [ -n "$LEAKS" ]; then
    judge_command kvm-leaks '^leaks: none of 400 that ended and 40 that were killed'
fi
for name in "${CASES[@]}"; do
    judge_corpus "$name"
done
rm -rf "$KEPT"
if [ "$FAILED" -gt 0 ]; then
    mkdir -p "$KEPT"
    cp -r "$COMMANDS" "$RESULTS" "$SCRATCH/console" "$KEPT/" 2>/dev/null || true
    printf 'Commands, results and the log of the kernel are kept in %s\n' "$KEPT"
fi
finish
