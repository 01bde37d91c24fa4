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

rt_checks() {
    :
}
