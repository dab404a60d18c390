#!/usr/bin/env bash
# Every check of `make test`, each to its end, and one closing line: "N passed, N failed".
# A step that counts nothing itself counts as one.
set -u
cd "$(dirname "$0")/.."
make=${MAKE:-make}
logs=${BUILD:-build}/test
mkdir -p "$logs"
passed=0
failed=0
broken=

# Rules are compiled once for all steps.
CACHE_DIRECTORY=$(mktemp -d -t sallyport-cache.XXXXXX) && export CACHE_DIRECTORY
trap 'rm -rf "$CACHE_DIRECTORY"' EXIT

# The last "N passed" and "N failed" of a log; pytest's "N error" is a failure too.
count() { grep -E '(passed|failed|error)' "$1" | tail -n 1 | grep -oE "[0-9]+ $2" | head -n 1 | cut -d' ' -f1; }

step() {
    local name=$1 log=$logs/$1.log status=0 good bad
    echo "== $name"
    $make --no-print-directory "$name" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    good=$(count "$log" passed)
    bad=$(($(count "$log" failed || true) + $(count "$log" error || true) + 0))
    if [ "$status" -ne 0 ]; then
        broken="$broken $name"
        [ "$bad" -gt 0 ] || bad=1
    fi
    [ -n "$good" ] || good=$((status == 0 ? 1 : 0))
    passed=$((passed + good))
    failed=$((failed + bad))
}

for name in layers format-check words unit replay differ-check; do
    step "$name"
done
if [ -f gateway/main.c ] && ls tests/e2e/test_*.py >/dev/null 2>&1; then
    step e2e
fi
[ ! -x tests/docs.sh ] || step docs-check

[ -z "$broken" ] || echo "failed:$broken (logs in $logs)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
