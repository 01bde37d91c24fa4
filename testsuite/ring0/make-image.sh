#!/usr/bin/env bash
# make-image.sh TREE IMAGE: makes of the folder TREE the ext4 file system that boot.sh gives to the virtual machine. Added
# are folders to mount on, and /bin/sh where the tree has none. TREE stays as it is; no privileges are needed.
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"
export PATH=$PATH:/usr/sbin:/sbin

if [ $# -ne 2 ] || [ ! -d "$1" ]; then
    die "usage: make-image.sh TREE IMAGE"
fi
tree=$1
image=$2
need_packages e2fsprogs >&2
with_scratch

# Room for the files, their inodes, and some more.
kilobytes=$(du -sk --apparent-size "$tree" | cut -f1)
files=$(find "$tree" | wc -l)
rm -f "$image"
: >"$image"
timeout 300 mke2fs -q -t ext4 -O ^has_journal -m 0 -b 4096 -N $((files + 100)) -E root_owner=0:0 -d "$tree" "$image" \
    $((kilobytes * 11 / 10 + files * 5 + 8192))k

# there PATH: the tree has it, be it a link to nowhere.
there() {
    [ -e "$tree/$1" ] || [ -L "$tree/$1" ]
}
{
    for path in proc sys dev tmp .ring0 bin; do
        there "$path" || printf 'mkdir %s\n' "$path"
    done
    there bin/sh || printf 'symlink bin/sh /.ring0/busybox\n'
} >"$SCRATCH/commands"
timeout 60 debugfs -w -f "$SCRATCH/commands" "$image" >"$SCRATCH/log" 2>&1
