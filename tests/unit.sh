#!/usr/bin/env bash
# tests/unit.sh FOLDER TEST...: runs built unit tests and counts what cmocka says of them.
# As many run at a time as there are processors. Only failures are shown, with the file they are in.
set -u
folder=$1
shift
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
passed=0
failed=0
skipped=0

# shellcheck disable=SC2016 # for the inner shell
printf '%s\0' "$@" | xargs -0 -r -n 1 -P "${JOBS:-$(nproc)}" bash -c '
    output=$0/${2//\//-}
    timeout 300 "$1/$2" >"$output" 2>&1 </dev/null
    echo $? >"$output.status"' "$outputs" "$folder"

for test in "$@"; do
    output=$outputs/${test//\//-}
    status=$(cat "$output.status")
    good=$(grep -c '^ok ' "$output")
    # What cannot be tested here (as root, or without some instruction) is "not ok", too, for cmocka.
    left=$(grep -c '^not ok [0-9]* # SKIP' "$output")
    bad=$(($(grep -c '^not ok ' "$output") - left))
    # A test that ends the process (a sanitizer, an invariant, a time-out) reports nothing itself.
    [ "$status" = 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || [ "$left" -gt 0 ] || bad=1
    if [ "$bad" -gt 0 ]; then
        echo "FAIL $test.c (exit $status)"
        grep -v '^ok ' "$output" | sed 's/^/    /'
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + left))
done
more=
[ "$skipped" -eq 0 ] || more=", $skipped skipped"
echo "$passed passed, $failed failed$more"
[ "$failed" -eq 0 ]
