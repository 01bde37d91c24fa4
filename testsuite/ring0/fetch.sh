#!/usr/bin/env bash
# fetch.sh: gets what boot.sh boots, and prints the folder that has it: `kernel`, a Linux with KVM for AMD's processors, and
# `initrd`, with busybox, the kernel's modules that are needed, and `init` from beside this script.
#
# The kernel is Debian's own package for virtual machines, the newest that apt has, and stays the same until the cache is
# removed; MV_RING0_KERNEL names another package. Cache ($MV_CACHE, default ~/.cache/multiverse), below ring0/:
#   debs/NAME/   the packages as downloaded
#   boot-KEY/    kernel and initrd; KEY: the packages and the files beside this script that go into them
. "$(dirname "$0")/../runtimes/lib.sh"
. "$ROOT/testsuite/scripts/deps.sh"

HERE=$(cd "$(dirname "$0")" && pwd)
RING0=${CACHE%/runtimes}/ring0
DEBS=$RING0/debs/${MV_RING0_KERNEL:-default}
export PATH=$PATH:/usr/sbin:/sbin
# Into the initrd, with what they depend on: the disk, and /dev/kvm.
MODULES=(virtio_pci virtio_blk kvm_amd)

# number FILE OFFSET BYTES: a little-endian number in a file.
number() {
    od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# vmlinux BZIMAGE OUT: the kernel that is packed in a bzImage; booting it saves the virtual machine the unpacking. Fails
# when the packing is not LZ4 (a bzImage boots too).
vmlinux() {
    local image=$1 start length
    # Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length. The payload's last four bytes are its size.
    start=$((($(number "$image" 0x1f1 1) + 1) * 512 + $(number "$image" 0x248 4)))
    length=$(($(number "$image" 0x24c 4) - 4))
    dd if="$image" bs=1M iflag=skip_bytes,count_bytes skip="$start" count="$length" status=none | lz4 -dcq >"$2" 2>/dev/null || return
    [ "$(stat -c %s "$2")" -eq "$(number "$image" $((start + length)) 4)" ]
}

# get PACKAGE: downloads it; apt verifies it against the signed index.
get() {
    rm -rf "$DEBS/new"
    mkdir "$DEBS/new"
    (cd "$DEBS/new" && timeout 600 apt-get -qq -o APT::Sandbox::User=root download "$1") >&2 && mv "$DEBS"/new/*.deb "$DEBS/"
}

# candidates: the kernel packages, best first. Where a mirror lacks the newest update, the release's own one will do.
candidates() {
    if [ -n "${MV_RING0_KERNEL:-}" ]; then
        printf '%s\n' "$MV_RING0_KERNEL"
    else
        apt-cache show linux-image-cloud-amd64 2>/dev/null | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | uniq
    fi
}

# have: sets KERNEL and BUSYBOX; fails when the cache lacks one.
have() {
    KERNEL=$(find "$DEBS" -maxdepth 1 -name 'linux-image-*.deb')
    BUSYBOX=$(find "$DEBS" -maxdepth 1 -name 'busybox-static_*.deb')
    [ -n "$KERNEL" ] && [ -n "$BUSYBOX" ]
}

download() {
    local name
    [ -n "$BUSYBOX" ] || get busybox-static || return
    [ -z "$KERNEL" ] || return 0
    for name in $(candidates); do
        if get "$name"; then return; fi
    done
    return 1
}

# make_boot DIR: fills DIR.
make_boot() {
    local dir=$1 root=$SCRATCH/root version module file count=0
    dpkg -x "$KERNEL" "$SCRATCH/kernel"
    dpkg -x "$BUSYBOX" "$SCRATCH/busybox"
    version=$(ls "$SCRATCH/kernel/lib/modules")
    vmlinux "$SCRATCH/kernel/boot/vmlinuz-$version" "$dir/kernel" || cp "$SCRATCH/kernel/boot/vmlinuz-$version" "$dir/kernel"

    mkdir -p "$root/bin" "$root/modules"
    cp "$SCRATCH/busybox/bin/busybox" "$root/bin/"
    cp "$HERE/init" "$root/init"
    chmod 755 "$root/init"
    cc -O1 -static -o "$root/bin/leave" "$HERE/leave.c"
    cc -O1 -static -o "$root/bin/signals" "$HERE/signals.c"
    # Numbered in the order in which they are to be loaded.
    depmod -b "$SCRATCH/kernel" "$version"
    for module in "${MODULES[@]}"; do
        modprobe -d "$SCRATCH/kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++' >"$SCRATCH/modules"
    while read -r file; do
        count=$((count + 1))
        cp "$file" "$root/modules/$(printf '%02d' "$count")-${file##*/}"
    done <"$SCRATCH/modules"
    (cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$dir/initrd"
    printf '%s\n' "$version" >"$dir/version"
}

need_packages "${BUILD_PACKAGES[@]}" cpio kmod lz4 >&2
mkdir -p "$DEBS"
exec 8>"$RING0/lock"
flock 8
if ! have; then
    printf '== fetching a kernel package and busybox\n' >&2
    # The machine's index of packages may be missing or too old.
    download || { timeout 300 apt-get -qq update >&2 && have || download; } || die "apt-get download failed"
    have || die "apt-get download brought no kernel"
fi
key=$({ printf '%s\n' "${KERNEL##*/}" "${BUSYBOX##*/}" && cat "$0" "$HERE/init" "$HERE"/*.c; } | sha256sum | cut -c1-12)
dir=$RING0/boot-$key
if ! [ -e "$dir/complete" ]; then
    with_scratch
    find "$RING0" -maxdepth 1 -name 'boot-*' -mtime +7 -exec rm -rf {} +
    rm -rf "$dir"
    mkdir -p "$dir"
    make_boot "$dir"
    touch "$dir/complete"
fi
printf '%s\n' "$dir"
