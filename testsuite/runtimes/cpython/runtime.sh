# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# CPython 3.11, with its own test suite's modules for what touches the system.

RT_SOURCE=python3.11
RT_UPSTREAM=3.11
RT_PACKAGES=(gcc libc6-dev make dpkg-dev pkg-config zlib1g-dev libffi-dev libssl-dev)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

PYTHON_MODULES=(test_os test_posix test_signal test_threading test_thread test_threadsignals test_threading_local test_subprocess test_mmap test_socket
    test_select test_selectors test_poll test_epoll test_fork1 test_wait3 test_wait4 test_pty test_faulthandler test_time test_fcntl test_io test_queue test_concurrent_futures
    test_asyncio test_multiprocessing_fork test_multiprocessing_spawn test_multiprocessing_forkserver test_multiprocessing_main_handling)
PYTHON_QUICK=(test_os test_signal test_threading test_mmap test_subprocess)

rt_build() {
    local src=$1 cc=$2 log=$3 kind=$4
    cd "$src" || return 1
    step "cpython ($kind): configure" 900 "$log" ./configure CC="$cc" --without-ensurepip || return 1
    step "cpython ($kind): make" 2400 "$log" make CC="$cc"
}

rt_executables() {
    printf '%s\n' python
}

# The names of the tests that each ended in which way, one per line, sorted: times and addresses stay out. A module that did
# not come to its end, or failed, is a failed check: the modules above pass plainly. VSOCK tests hang where a virtual
# machine's host gives it a vsock that leads nowhere. What a helper process of a test writes may come between a test's name and
# its result.
PYTHON_RESULTS='"$RT/python" -u -m test -v -u none --timeout 500 -i "*VSOCK*" "$MODULE" >log 2>&1; s=$?; cp log "$LOGS/$MODULE-$(basename "$(dirname "$(readlink "$RT")")")"
    awk "/^test[A-Za-z0-9_]* [(].*[)] [.][.][.] / && !/ (ok|FAIL|ERROR|expected failure|skipped .*)\$/ { held = \$1 \" \" \$2 \" ... \"; next }
        held != \"\" && /^(ok|FAIL|ERROR|expected failure|skipped .*)\$/ { print held \$0; held = \"\"; next } { print }" log |
        sed -n "s/^\(test[A-Za-z0-9_]* ([A-Za-z0-9_.]*)\).* \.\.\. .*\(ok\|skipped\|FAIL\|ERROR\|expected failure\)\( .*\)\{0,1\}$/\1 \2/p" | sort
    grep -a -E "^(FAIL|ERROR): " log | sort; grep -a "^Ran [0-9]* test" log | sed "s/ in .*//"
    grep -a "^Tests result: SUCCESS" log && grep -a -q "^Ran [1-9]" log && exit "$s"; tail -n 3 log; exit 1'

rt_checks() {
    local module modules=("${PYTHON_MODULES[@]}")
    check version '"$RT/python" -VV | cut -d" " -f1-2'
    check repl --stdin "$RT_HOME/repl.txt" '"$RT/python" -q -i -c "import sys; sys.ps1 = sys.ps2 = str()" 2>&1'
    check status --status 5 '"$RT/python" -c "import sys; sys.exit(5)"'
    check traceback --status 1 '"$RT/python" -c "1/0"'
    check subprocess '"$RT/python" -c "import subprocess, sys; print(subprocess.run([sys.executable, \"-c\", \"print(6*7)\"], capture_output=True).stdout)"'
    check sigint --killed --any-stderr --status 130 '"$RT/python" -c "
import os, signal, threading, time
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
time.sleep(30)" 2>&1 | tail -n 1; exit "${PIPESTATUS[0]}"'
    check threads '"$RT/python" "$RT_HOME/threads.py"'
    if [ "$QUICK" -eq 1 ]; then
        modules=("${PYTHON_QUICK[@]}")
    fi
    export LOGS=$CACHE/logs/cpython MODULE
    mkdir -p "$LOGS"
    for module in "${modules[@]}"; do
        MODULE=$module
        check "$module" --killed --any-stderr --limit 600 "$PYTHON_RESULTS"
    done
}
