#!/usr/bin/env bash
# boot.sh [OPTION]... TREE COMMAND-FILE: boots a Linux with /dev/kvm in QEMU's software CPU, which has AMD's virtualization,
# with a copy of the folder TREE for its file system, and runs there each line of COMMAND-FILE as a shell command, as root.
# This takes no KVM of this machine's and no privileges, once the packages are installed.
#
# TREE has programs with all that they need, at their absolute paths: see stage.sh. There it is read-only, but for /tmp in
# memory, where the commands begin. Busybox serves for what it lacks. /proc, /sys and /dev are there, no network but lo.
#
#   --out DIR         where results go: N.out, N.err and N.status for line N, N.time with the milliseconds that it took
#                     (default: COMMAND-FILE.results). Status 124: ended after its limit; 128 and more: by a signal
#   --log FILE        where the kernel's log goes, in full
#   --limit SECONDS   for everything, boot included (default 180)
#   --each SECONDS    for each command (default 30); a line `@SECONDS COMMAND` has a limit of its own
#   --memory MIB      the virtual machine's memory (default 2048)
#
# Exit status: 0 when every command was run, however it ended; 1 when that cannot be said: the virtual machine hung or crashed.
# There are results then for the commands before that.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

RING0_DIR=$ROOT/testsuite/ring0
LIMIT=180 EACH=30 MEMORY=2048 OUT='' LOG='' QUIET=quiet
while [ $# -gt 2 ]; do
    case $1 in
    --limit) LIMIT=$2 ;;
    --each) EACH=$2 ;;
    --memory) MEMORY=$2 ;;
    --out) OUT=$2 ;;
    --log) LOG=$2 QUIET='' ;;
    *) die "unknown option $1" ;;
    esac
    shift 2
done
if [ $# -ne 2 ] || [ ! -d "$1" ] || [ ! -r "$2" ]; then
    die "usage: boot.sh [--out DIR] [--log FILE] [--limit SECONDS] [--each SECONDS] [--memory MIB] TREE COMMAND-FILE"
fi
TREE=$1 COMMANDS=$2
OUT=${OUT:-$COMMANDS.results}

need_packages qemu-system-x86 cpio
BOOT=$("$RING0_DIR/fetch.sh")
with_scratch
QEMU=
trap '[ -z "$QEMU" ] || kill "$QEMU" 2>/dev/null || true; rm -rf "$SCRATCH"' EXIT
trap 'exit 143' INT TERM HUP
rm -rf "$OUT"
mkdir -p "$OUT"
LOG=${LOG:-$SCRATCH/console}

START=$EPOCHREALTIME
"$RING0_DIR/make-image.sh" "$TREE" "$SCRATCH/image"

# The commands go into a second archive behind the first. A line for the virtual machine: SECONDS COMMAND.
mkdir "$SCRATCH/more"
awk -v each="$EACH" '{ limit = each } match($0, /^@[0-9]+ /) { limit = substr($0, 2, RLENGTH - 2); $0 = substr($0, RLENGTH + 1) } { print limit, $0 }' \
    "$COMMANDS" >"$SCRATCH/more/commands"
(cd "$SCRATCH/more" && echo commands | cpio -o -H newc -R 0:0 --quiet) | cat "$BOOT/initrd" - >"$SCRATCH/initrd"

since() {
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'
}

MADE=$(since "$START")
START=$EPOCHREALTIME
RESULTS=$SCRATCH/results
: >"$RESULTS"
# Linux there would measure its time-stamp counter, which goes wrong where this machine is busy: its clock then runs many times too
# fast. It is this machine's counter, so it can be told.
cc -O1 -o "$SCRATCH/tsc" "$RING0_DIR/tsc.c"
TSC=$("$SCRATCH/tsc")
# Both processors in one thread of QEMU's: where each has its own, one that runs a virtual machine at times gets the state of the
# other's host for its guest's, until the whole machine crashes (QEMU 7.2; a program with 16 threads is enough).
# Without SMAP, which this processor has: where that is on, QEMU 7.2 takes what `iretq` and `lretq` read from a program's stack
# for an access of the kernel's.
# Each processor is on a node of its own, with half of the memory. Linux is not to move pages between them by itself: each costs what is emulated of a virtual machine its entries.
NODES=()
for node in 0 1; do
    NODES+=(-object "memory-backend-ram,id=node$node,size=$((MEMORY / 2))M" -numa "node,nodeid=$node,cpus=$node,memdev=node$node")
done
timeout -k 5 "$LIMIT" qemu-system-x86_64 -nodefaults -no-user-config -display none -monitor none -no-reboot \
    -M q35 -accel tcg,thread=single -cpu EPYC,+svm,+npt,-smap -smp 2 -m "$MEMORY" "${NODES[@]}" \
    -kernel "$BOOT/kernel" -initrd "$SCRATCH/initrd" \
    -append "console=ttyS0 $QUIET panic=-1 mitigations=off tsc=reliable tsc_early_khz=$TSC no_timer_check random.trust_cpu=on vsyscall=emulate numa_balancing=disable" \
    -serial "file:$LOG" -serial "file:$RESULTS" -device isa-debug-exit,iobase=0xf4,iosize=4 \
    -drive "if=none,id=disk,file=$SCRATCH/image,format=raw,readonly=on" -device virtio-blk-pci,drive=disk \
    </dev/null >"$SCRATCH/qemu" 2>&1 &
QEMU=$!
BOOTED=
while kill -0 "$QEMU" 2>/dev/null; do
    sleep 0.1
    if [ -z "$BOOTED" ] && [ -s "$RESULTS" ]; then
        BOOTED=$(since "$START")
    fi
done
STATUS=0
wait "$QEMU" || STATUS=$?
QEMU=

# The protocol is init's. A line of base64 has no blank.
awk -v dir="$OUT" '
    $1 == "ring0" && $2 == "status" { print $4 > (dir "/" $3 ".status"); print $5 > (dir "/" $3 ".time"); next }
    $1 == "ring0" && ($2 == "out" || $2 == "err") { file = dir "/" $3 "." $2 ".base64"; printf "" > file; next }
    $1 == "ring0" { file = ""; next }
    file != "" { print > file }' "$RESULTS"
for file in "$OUT"/*.base64; do
    [ -e "$file" ] || continue
    base64 -di "$file" >"${file%.base64}"
    rm "$file"
done

# What `leave 16` of init makes.
if [ "$STATUS" -eq 33 ] && [ "$(tail -n 1 "$RESULTS")" = 'ring0 done' ]; then
    printf 'virtual machine: image made in %s, first command after %s, %d commands run after %s\n' \
        "$MADE" "$BOOTED" "$(wc -l <"$SCRATCH/more/commands")" "$(since "$START")"
    exit 0
fi
case $STATUS in
124 | 137) what="did not end in $LIMIT s" ;;
0) what="crashed" ;;
3) what="could not begin" ;;
*) what="ended with status $STATUS" ;;
esac
began=$(awk '$2 == "begin" { n = $3 } $2 == "status" && $3 == n { n = "" } END { print n }' "$RESULTS")
{
    printf 'boot.sh: the virtual machine %s%s\n' "$what" "${began:+, in line $began: $(sed -n "${began}p" "$COMMANDS")}"
    # Of the processor asked for, the software has not everything.
    sed "/warning: TCG doesn't support/d; s/^/   | qemu: /" "$SCRATCH/qemu"
    tail -n 40 "$LOG" 2>/dev/null | tr -d '\r' | sed 's/^/   | /'
} >&2
exit 1
