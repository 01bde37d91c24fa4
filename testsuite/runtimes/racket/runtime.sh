# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# Racket 8.7: CS (on Chez Scheme) and BC (its own virtual machine with the 3m collector), both from Debian's one source package.

RT_SOURCE=racket
RT_UPSTREAM=8.7
RT_PACKAGES=(gcc libc6-dev make dpkg-dev libffi-dev zlib1g-dev liblz4-dev libncurses-dev)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

# Of the 190 bundled packages (share/pkgs, 78 MB of mostly documentation and GUI) only what `raco exe` needs, and rackunit.
RACKET_PKGS=(base racket-lib compiler-lib zo-lib scheme-lib rackunit-lib testing-util-lib)

rt_unpack() {
    local package keep=()
    for package in "${RACKET_PKGS[@]}"; do
        keep+=("*/share/pkgs/$package")
    done
    tar -xf "$RT_ORIG" -C "$1" --strip-components=1 --exclude='*/share/pkgs/*' --exclude='*/share/links.rktd'
    tar -xf "$RT_ORIG" -C "$1" --strip-components=1 --wildcards "${keep[@]}"
    {
        printf '('
        for package in "${RACKET_PKGS[@]}"; do
            printf '(root (#"pkgs" #"%s"))\n' "$package"
        done
        printf ')\n'
    } >"$1/share/links.rktd"
}

rt_build() {
    local src=$1 cc=$2 log=$3 kind=$4 variant=${RT_NAME#racket-}
    mkdir -p "$src/src/build"
    cd "$src/src/build" || return 1
    # CC also to make: the one that builds zuo would be make's own otherwise.
    step "$RT_NAME ($kind): configure" 600 "$log" ../configure CC="$cc" "--enable-${variant}only" || return 1
    step "$RT_NAME ($kind): make" "${MV_RACKET_LIMIT:-5400}" "$log" make CC="$cc" || return 1
    step "$RT_NAME ($kind): make install" 2400 "$log" make install CC="$cc" PLT_SETUP_OPTIONS="-D -j 1"
}

rt_executables() {
    printf '%s\n' bin/racket lib/gracket lib/starter src/build/bin/zuo src/build/cs/c/ChezScheme/ta6le/bin/ta6le/scheme
}

# The sizes at which the seven programs are checked, and those at which they are timed.
RACKET_CHECKED=('fannkuch-redux 7' 'binary-trees 10' 'fasta 250' 'fasta-3 250' 'n-body 1000' 'spectral-norm 100' 'mandelbrot-2 60')
RACKET_TIMED=('fannkuch-redux 10' 'binary-trees 17' 'fasta 3000000' 'fasta-3 5000000' 'n-body 1500000' 'spectral-norm 1200' 'mandelbrot-2 1500')
# Files of Chez Scheme's own tests, of those that take seconds.
RACKET_MATS=(4 5_1 5_2 5_3 5_4 6 7 bytevector exceptions fx hash io thread unix)

rt_benches() {
    local program
    for program in "${RACKET_TIMED[@]}"; do
        printf '%s|"$RT/bin/racket" "$RT_HOME/programs/%s.rkt" %s >/dev/null\n' "${program% *}" "${program% *}" "${program#* }"
    done
    printf 'start|"$RT/bin/racket" -n -e ""\n'
}

rt_checks() {
    local program name file
    check version '"$RT/bin/racket" --version'
    check no-init '"$RT/bin/racket" -n -e ""'
    check eval '"$RT/bin/racket" -l racket/base -e "(display (for/list ([i 5]) (* i i)))"'
    check eval-full '"$RT/bin/racket" -e "(require racket/set) (displayln (set-count (list->set (range 50))))"'
    check repl --stdin "$RT_HOME/repl.txt" --status 6 '"$RT/bin/racket" -q -i -l racket/base'
    check script --stdin "$RT_HOME/demo.rkt" '"$RT/bin/racket" -q "$RT_HOME/demo.rkt"'
    check error-status --status 1 '"$RT/bin/racket" -l racket/base -e "(error \"no\")"'
    check exit-status --status 9 '"$RT/bin/racket" -l racket/base -e "(exit 9)"'
    check sigint --killed --any-stderr --status 1 '"$RT/bin/racket" -l racket/base -e "(displayln 1)" -e "(flush-output)" -e "(sleep 60)" >out & p=$!
        for _ in $(seq 1000); do grep -q 1 out 2>/dev/null && break; sleep 0.01; done; sleep 0.1; kill -INT $p; wait $p'
    check sigterm --killed --any-stderr '"$RT/bin/racket" -l racket/base -e "(displayln 1)" -e "(flush-output)" -e "(sleep 60)" >out & p=$!
        for _ in $(seq 1000); do grep -q 1 out 2>/dev/null && break; sleep 0.01; done; sleep 0.1; kill -TERM $p; wait $p; echo $?'
    for program in "${RACKET_CHECKED[@]}"; do
        name=${program% *}
        case $name in
        mandelbrot-2) check "$name" --expect "$RT_HOME/expected/$name" "set -o pipefail; \"\$RT/bin/racket\" \"\$RT_HOME/programs/$name.rkt\" ${program#* } | od -An -v -tx1" ;;
        *) check "$name" --expect "$RT_HOME/expected/${name%-3}" "\"\$RT/bin/racket\" \"\$RT_HOME/programs/$name.rkt\" ${program#* }" ;;
        esac
    done
    for file in threads gc places processes tcp; do
        # The programs and the files that they compile to are copied: the folder of the checks stays as it is.
        check "$file" --killed --limit 240 "cp \"\$RT_HOME/tests/$file.rkt\" . && \"\$RT/bin/racket\" $file.rkt"
    done
    check timers --limit 60 '"$RT/bin/racket" -l racket/base -e "(define t (thread (lambda () (let loop () (loop)))))" -e "(for ([_ 100]) (sleep 0.005))" -e "(displayln (thread-running? t))"'
    check make 'cp "$RT_HOME"/programs/*.rkt "$RT_HOME/demo.rkt" . && "$RT/bin/raco" make -v *.rkt && ls compiled && "$RT/bin/racket" demo.rkt'
    # raco exe copies the executable, so that what it makes is a hybrid when racket is one.
    check exe --status 4 'cp "$RT_HOME/tests/exe.rkt" . && "$RT/bin/raco" exe -o made exe.rkt && mv made elsewhere && ./elsewhere one "two words"'
    check distribute --status 4 'cp "$RT_HOME/tests/exe.rkt" . && "$RT/bin/raco" exe -o made exe.rkt && "$RT/bin/raco" distribute dist made && dist/bin/made x'
    # shellcheck disable=SC2053  # a pattern
    if [ -n "${MV_BIN:-}" ] && { [ -z "${ONLY:-}" ] || [[ $RT_NAME-exe-is-hybrid == $ONLY ]]; }; then
        exe_is_hybrid
    fi
    if [ "$QUICK" -eq 1 ]; then
        return
    fi
    # What the source package has of Racket's own tests: collects/tests is not in it.
    for name in c cleanable file-handle filesystem glob process shell; do
        check "zuo-$name" --killed --any-stderr --limit 300 'cp -r "$RT/src/zuo" zuo && cd zuo && "$RT/src/build/bin/zuo" tests/'"$name.zuo"
    done
    for name in thread regexp io expander; do
        check "demo-$name" --killed --any-stderr --limit 300 "\"\$RT/bin/racket\" -d \"\$RT/src/$name/demo.rkt\" 2>&1 | sed -E 's/[0-9]+([.][0-9]+)?/N/g; s/  +/ /g' | grep -v -E 'cpu time|gc:|#<' ; echo \"\${PIPESTATUS[0]}\""
    done
    if [ "$RT_NAME" = racket-cs ]; then
        for name in "${RACKET_MATS[@]}"; do
            # shellcheck disable=SC2016
            check "mat-$name" --killed --any-stderr --limit 300 'cp -r "$RT"/src/ChezScheme/mats/. . && cp "$RT_HOME/tests/chez.ss" . && C=$RT/src/build/cs/c/ChezScheme/ta6le
                SCHEME=$C/bin/ta6le/scheme SCHEMEHEAPDIRS=$C/boot/ta6le MAT='"$name"'.ms "$C/bin/ta6le/scheme" -q chez.ss >log 2>&1 </dev/null; echo "status $?"
                grep -E "^(Bug|Error) in" result.mo | sed "s/\".*//"; grep -c . result.mo'
        done
    fi
}

# exe_is_hybrid: what raco exe made from the hybrid carries our note.
exe_is_hybrid() {
    mkdir -p "$SCRATCH/exe"
    cp "$RT_HOME/tests/exe.rkt" "$SCRATCH/exe/"
    if timeout 120 "$HYBRID/bin/raco" exe -o "$SCRATCH/exe/made" "$SCRATCH/exe/exe.rkt" && timeout 20 "$MV_BIN/mv-link" --inspect "$SCRATCH/exe/made" >/dev/null; then
        ok "$RT_NAME-exe-is-hybrid"
    else
        fail "$RT_NAME-exe-is-hybrid"
    fi
}
