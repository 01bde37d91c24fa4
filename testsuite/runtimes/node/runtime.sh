# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# Node, as installed: a large executable with a collector of several threads, and code made at run time.

RT_SOURCE=''
RT_UPSTREAM=''
RT_PACKAGES=(nodejs)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    cp "$(readlink -f "$(command -v node)")" "$1/node"
}

rt_executables() {
    printf '%s\n' node
}

rt_benches() {
    printf 'binary-trees|"$RT/node" "$RT_HOME/binary-trees.js" 18 >/dev/null\n'
    printf 'start|"$RT/node" -e 0\n'
}

rt_checks() {
    check version '"$RT/node" --version'
    check binary-trees '"$RT/node" "$RT_HOME/binary-trees.js" 12'
    check system --killed --status 7 '"$RT/node" "$RT_HOME/system.js"'
    check error --status 1 '"$RT/node" -e "throw new Error(1)" 2>&1 | grep -v "^    at"; exit "${PIPESTATUS[0]}"'
    check out-of-memory --killed --any-stderr --status 134 '"$RT/node" --max-old-space-size=30 -e "const a = []; for (;;) a.push(new Array(1000).fill(a.length))"'
    check sigterm --killed --any-stderr '"$RT/node" -e "console.log(1); setInterval(() => 0, 1000)" >out & p=$!
        for _ in $(seq 1000); do grep -q 1 out 2>/dev/null && break; sleep 0.01; done; kill -TERM $p; wait $p 2>/dev/null; echo $?'
}
