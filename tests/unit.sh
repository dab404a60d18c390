#!/usr/bin/env bash
# tests/unit.sh FOLDER TEST...: runs built unit tests and counts what cmocka says of them.
# Only failures are shown, with the file they are in.
set -u
folder=$1
shift
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0
failed=0

for test in "$@"; do
    status=0
    timeout 120 "$folder/$test" >"$output" 2>&1 || status=$?
    good=$(grep -c '^ok ' "$output")
    bad=$(grep -c '^not ok ' "$output")
    # A test that ends the process (a sanitizer, an invariant, a time-out) reports nothing itself.
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || bad=1
    if [ "$bad" -gt 0 ]; then
        echo "FAIL $test.c (exit $status)"
        grep -v '^ok ' "$output" | sed 's/^/    /'
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
