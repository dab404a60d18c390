#!/usr/bin/env bash
# tests/cover.sh TEST...: runs the coverage build of unit tests and corpora, then lists the lines
# covered per file, least first.
set -u
cd "$(dirname "$0")/.."
folder=${BUILD:-build}/cover
find "$folder" -name '*.gcda' -delete
tests/unit.sh "$folder" "$@" || exit 1
for replay in "$folder"/fuzz/*_replay; do
    name=$(basename "$replay" _replay)
    "$replay" "fuzz/corpus/$name" >/dev/null || exit 1
done
find "$folder" -name '*.gcda' ! -path '*/tests/*' ! -path '*/fuzz/*' -print0 |
    xargs -0 -r -n 1 gcov -n 2>/dev/null |
    awk -F "['%: ]+" '
        /^File/ { file = $2 }
        /^Lines executed/ && file ~ /^[a-z].*\.c$/ {
            printf "%6.1f %% of %5d  %s\n", $3, $5, file
            lines += $5; covered += $3 * $5 / 100; file = ""
        }
        END { if (lines) printf "%6.1f %% of %5d  in all\n", 100 * covered / lines, lines }' |
    sort -n >"$folder/report.txt"
cat "$folder/report.txt"
