# shellcheck shell=bash
# need_packages PACKAGE...: sees to it that these Debian packages are there. To be sourced.

need_packages() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        printf 'This is no Debian system: please see to it that these are installed, by whatever name: %s\n' "$*" >&2
        return 0
    fi
    for package in "$@"; do
        # shellcheck disable=SC2016  # dpkg-query's own variables
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    local as=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as=(sudo)
        else
            printf 'Some Debian packages are missing. Install them and run this again:\n\n    apt-get install -y %s\n\n' "${missing[*]}" >&2
            exit 1
        fi
    fi
    printf '== installing %s\n' "${missing[*]}"
    if ! timeout 300 "${as[@]}" apt-get -qq update || ! DEBIAN_FRONTEND=noninteractive timeout 900 "${as[@]}" \
        apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null </dev/null; then
        printf 'apt-get could not install: %s\n' "${missing[*]}" >&2
        exit 1
    fi
}

# need_cargo: a Rust toolchain new enough for this workspace (edition 2024).
need_cargo() {
    local version
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
    fi
    version=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9]*\)\.\([0-9]*\)\..*/\1 \2/p')
    if [ -z "$version" ] || [ "${version% *}" -lt 1 ] || { [ "${version% *}" -eq 1 ] && [ "${version#* }" -lt 87 ]; }; then
        cat >&2 <<EOF
Multiverse needs Rust 1.87 or newer; found: $(cargo --version 2>/dev/null || echo 'no cargo').
Debian 12's own packages (rustc, cargo: 1.63) are too old. The way out is rustup, which brings the current stable one:

    https://rustup.rs   (then open a new shell, so that cargo is on PATH)

EOF
        exit 1
    fi
}

# What the toolchain itself needs, and what its tests need on top.
BUILD_PACKAGES=(gcc libc6-dev binutils)
TEST_PACKAGES=(g++ make dpkg-dev clang lld mold musl-tools patchelf gdb shellcheck cmake libtool-bin)
export BUILD_PACKAGES TEST_PACKAGES
