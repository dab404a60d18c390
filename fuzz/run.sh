#!/usr/bin/env bash
# fuzz/run.sh replay NAME...: each corpus once through its harness.
# fuzz/run.sh fuzz NAME...: S seconds (or R runs) of libFuzzer each; new inputs stay in build/.
set -u
cd "$(dirname "$0")/.."
mode=$1
shift
build=${BUILD:-build}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
passed=0
failed=0

replay() {
    timeout 300 "$build/debug/fuzz/$1_replay" "fuzz/corpus/$1"
}

fuzz() {
    local found=$build/fuzz/corpus/$1 crashes=$build/fuzz/crashes
    mkdir -p "$found" "$crashes" "fuzz/corpus/$1"
    local options=(-rss_limit_mb=2048 -timeout=20 -print_final_stats=1 "-artifact_prefix=$crashes/$1-")
    [ ! -f "fuzz/dict/$1.dict" ] || options+=("-dict=fuzz/dict/$1.dict")
    if [ -n "${R:-}" ]; then
        options+=("-runs=$R")
    else
        options+=("-max_total_time=${S:-60}")
    fi
    "$build/fuzz/fuzz/$1_fuzz" "${options[@]}" "$found" "fuzz/corpus/$1" 2>&1 |
        grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|RELOAD|pulse)|NEW_FUNC|# Uses:|ecommended dictionary'
    return "${PIPESTATUS[0]}"
}

for name in "$@"; do
    if "$mode" "$name"; then
        passed=$((passed + 1))
    else
        echo "FAIL fuzz/${name}_fuzz.c"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
