#!/usr/bin/env bash
# Words that may not stand in the sources: functions that cannot be used safely, and signs of
# unfinished business. (The brackets keep this file from finding itself.)
set -u
cd "$(dirname "$0")/.."
folders=(gateway geoip ratelimit auth rules conf tests fuzz)
status=0

find_words() { # pattern, what it is, file patterns...
    local pattern=$1 what=$2 include=()
    shift 2
    for glob in "$@"; do
        include+=("--include=$glob")
    done
    if grep -rnE "${include[@]}" --exclude-dir=corpus "$pattern" "${folders[@]}"; then
        echo "^ $what"
        status=1
    fi
}

find_words '\<(strcpy|strncpy|strcat|strncat|v?sprintf|strtok|gets|alloca|ato[ilf])\(' \
    'a banned function' '*.c' '*.h' '*.def'
find_words '\<(TO[D]O|FIX[M]E|XX[X]|HAC[K])\>' 'unfinished business' '*.c' '*.h' '*.def' '*.py' '*.sh'
exit $status
