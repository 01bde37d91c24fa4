# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# OCaml's native compiler, as the distribution has it: what it compiles is hybridized.

RT_SOURCE=''
RT_UPSTREAM=''
RT_PACKAGES=(ocaml-nox gcc libc6-dev)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local dir=$1 log=$3
    cp "$RT_HOME"/*.ml "$dir/" && cd "$dir" || return 1
    step "ocaml: binary_trees" 300 "$log" ocamlopt -o binary_trees binary_trees.ml || return 1
    step "ocaml: system" 300 "$log" ocamlopt -I +threads -o system unix.cmxa threads.cmxa system.ml
}

rt_executables() {
    printf '%s\n' binary_trees system
}

rt_benches() {
    printf 'binary-trees|"$RT/binary_trees" 18 >/dev/null\n'
}

rt_checks() {
    check binary-trees '"$RT/binary_trees" 12'
    check minor-heaps 'for s in 4k 32k 1M; do OCAMLRUNPARAM=s=$s "$RT/binary_trees" 10; done'
    check system --status 3 '"$RT/system"'
    check memory-limit --killed --status 134 'ulimit -v 200000; "$RT/binary_trees" 24'
}
