#!/bin/sh
# leaks.sh PROBE BUSY ENDED KILLED: in the virtual machine that boot.sh boots, starts PROBE, which ends with status 7, ENDED times, 8 at
# a time, and BUSY, which never ends, KILLED times, each killed after some milliseconds more. Says what went wrong, or that nothing did
# and nothing is left of them.
PROBE=$1 BUSY=$2 ENDED=$3 KILLED=$4 BAD=''

# Memory that Linux itself holds and cannot give up, in KiB.
held() {
    awk '/^(SUnreclaim|KernelStack|PageTables):/ { sum += $2 } END { print sum }' /proc/meminfo
}

bad() {
    echo "leaks: $*"
    BAD=1
}

# The first one makes Linux allocate what it keeps.
"$PROBE" >/dev/null
before=$(held)
n=0
while [ $n -lt "$ENDED" ]; do
    jobs=''
    for _ in 1 2 3 4 5 6 7 8; do
        "$PROBE" >/dev/null &
        jobs="$jobs $!"
    done
    for job in $jobs; do
        wait "$job"
        status=$?
        [ $status -eq 7 ] || bad "one ended with $status"
    done
    n=$((n + 8))
done
n=0
while [ $n -lt "$KILLED" ]; do
    "$BUSY" >/dev/null 2>&1 &
    job=$!
    usleep $((n * 7919 % 300 * 1000))
    kill -KILL $job
    wait $job
    status=$?
    [ $status -eq 137 ] || bad "one that was killed ended with $status"
    n=$((n + 1))
done
# What never ends is ended with its parent; Linux gives memory back a little later.
n=0
while [ $n -lt 30 ]; do
    left=0
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" != "$BUSY" ] || left=$((left + 1))
    done
    after=$(held)
    if [ "$left" -eq 0 ] && [ "$after" -lt $((before + 32 * 1024)) ]; then
        break
    fi
    sleep 1
    n=$((n + 1))
done
[ "$left" -eq 0 ] || bad "$left processes are left"
[ "$after" -lt $((before + 32 * 1024)) ] || bad "Linux holds $((after - before)) KiB more"
[ -n "$BAD" ] || echo "leaks: none of $ENDED that ended and $KILLED that were killed ($before KiB before, $after after)"
