#!/usr/bin/env bash
# fetch.sh [NAME...]: downloads the Debian source packages of the runtimes (default: all) into the cache.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || read -ra all <<<"$RUNTIMES"
for name in "${@:-${all[@]}}"; do
    load_runtime "$name"
    fetch
    printf '%s: %s\n' "$name" "${RT_ORIG##*/}"
done
