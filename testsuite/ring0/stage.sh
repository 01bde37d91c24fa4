#!/usr/bin/env bash
# stage.sh TREE FILE...: copies programs into the folder TREE at their absolute paths, each with its interpreter (the dynamic
# linker, or that of a script) and its shared libraries; links on the way stay links. Libraries that a program opens
# by itself (dlopen) are to be named too. A folder is copied with all that it has.
# stage.sh --as PATH TREE FILE: the same, but FILE itself goes to PATH in the tree.
# stage.sh --needs TREE FILE...: only what they need.
. "$(dirname "$0")/../runtimes/lib.sh"

AS='' NEEDS=''
case ${1:-} in
--as)
    AS=${2:-}
    shift 2
    ;;
--needs)
    NEEDS=1
    shift
    ;;
esac
if [ $# -lt 2 ] || { [ -n "$AS" ] && [ $# -ne 2 ]; }; then
    die "usage: stage.sh [--as PATH | --needs] TREE FILE..."
fi
mkdir -p "$1"
TREE=$(cd "$1" && pwd)
shift

# copy PATH: an absolute path, as it is here: its folders, links and the file at its end. Links lead within the tree.
declare -A COPIED
copy() {
    local path=$1 done='' part target
    [ -z "${COPIED[$1]:-}" ] || return 0
    COPIED[$1]=1
    while [ -n "$path" ]; do
        path=${path#/}
        part=${path%%/*}
        case $path in */*) path=${path#*/} ;; *) path= ;; esac
        case $part in
        '' | .) continue ;;
        ..) done=${done%/*} && continue ;;
        esac
        if [ -L "$done/$part" ]; then
            target=$(readlink "$done/$part")
            ln -sfn "$target" "$TREE$done/$part"
            case $target in
            /*) copy "$target${path:+/$path}" ;;
            *) copy "$done/$target${path:+/$path}" ;;
            esac
            return
        elif [ -d "$done/$part" ] && [ -n "$path" ]; then
            mkdir -p "$TREE$done/$part"
        elif [ -e "$done/$part" ]; then
            cp -a --reflink=auto "$done/$part" "$TREE$done/"
        else
            die "no $1"
        fi
        done=$done/$part
    done
}

# needs FILE: copies what an executable or a shared library needs to run.
needs() {
    local file=$1 interpreter library list
    if [ "$(head -c 2 "$file" | tr -d '\0')" = '#!' ]; then
        read -r interpreter _ < <(sed -n '1s/^#! *//p;1q' "$file")
        program "$interpreter"
        return
    fi
    readelf -lW "$file" >/dev/null 2>&1 || return 0
    interpreter=$(readelf -lW "$file" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
    if [ -n "$interpreter" ]; then
        copy "$interpreter"
    fi
    if [[ $(readelf -dW "$file") = *'(NEEDED)'* ]]; then
        # The dynamic linker knows best, any C library's.
        list=$("${interpreter:-ldd}" ${interpreter:+--list} "$file")
        if [[ $list = *'not found'* ]]; then
            die "$file: $(grep 'not found' <<<"$list")"
        fi
        while read -r library; do
            copy "$library"
        done < <(sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' <<<"$list")
    fi
}

program() {
    copy "$1"
    needs "$1"
}

for file in "$@"; do
    file=$(cd "$(dirname "$file")" && pwd)/${file##*/}
    if [ -n "$NEEDS" ]; then
        needs "$file"
    elif [ -n "$AS" ]; then
        mkdir -p "$TREE/$(dirname "$AS")"
        cp -aL --reflink=auto "$file" "$TREE/$AS"
        [ -d "$file" ] || needs "$file"
    elif [ -d "$file" ]; then
        copy "$file"
    else
        program "$file"
    fi
done
