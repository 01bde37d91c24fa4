# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# OpenJDK 17, as the distribution has it: the launcher is hybridized, and with it the process into which it loads the JVM.

RT_SOURCE=''
RT_UPSTREAM=''
RT_PACKAGES=(openjdk-17-jdk-headless)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local dir=$1 log=$3 jdk part
    jdk=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
    mkdir -p "$dir/jdk/bin"
    for part in "$jdk"/*; do
        [ "${part##*/}" = bin ] || ln -s "$part" "$dir/jdk/"
    done
    cp "$jdk/bin/java" "$dir/jdk/bin/"
    step "java: classes" 300 "$log" "$jdk/bin/javac" -d "$dir" "$RT_HOME/BinaryTrees.java" "$RT_HOME/Sys.java"
}

rt_executables() {
    printf '%s\n' jdk/bin/java
}

rt_benches() {
    local gc
    for gc in Serial Parallel G1 Z; do
        printf 'binary-trees-%s|"$RT/jdk/bin/java" -XX:+Use%sGC -Xmx1g -cp "$RT" BinaryTrees 18 >/dev/null\n' "${gc,,}" "$gc"
    done
}

rt_checks() {
    local gc
    check version '"$RT/jdk/bin/java" -version 2>&1'
    for gc in Serial Parallel G1 Z; do
        check "binary-trees-${gc,,}" "\"\$RT/jdk/bin/java\" -XX:+Use${gc}GC -Xmx512m -cp \"\$RT\" BinaryTrees 12"
    done
    # A child is started by a helper of the JDK's, which is plain.
    check system --limit 240 --status 6 '"$RT/jdk/bin/java" -cp "$RT" Sys'
    check interpreted '"$RT/jdk/bin/java" -Xint -cp "$RT" BinaryTrees 8'
    check exception --status 1 '"$RT/jdk/bin/java" -cp "$RT" BinaryTrees x'
    check out-of-memory --status 1 --any-stderr '"$RT/jdk/bin/java" -Xmx20m -cp "$RT" BinaryTrees 18'
    check sigterm --killed --any-stderr '"$RT/jdk/bin/java" -cp "$RT" BinaryTrees 25 >out & p=$!; for _ in $(seq 20); do sleep 0.1; done; kill -TERM $p; wait $p; echo $?'
}
