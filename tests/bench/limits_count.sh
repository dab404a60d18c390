#!/usr/bin/env bash
# tests/bench/limits_count.sh BINARY: how many instructions of the gateway's own a decision of a limit takes, alone and through a
# redis-server. They are the same on a machine that is busy with other things.
set -eu
folder=$(mktemp -d -t sallyport-bench.XXXXXX)
redis-server --port 0 --unixsocket "$folder/r.sock" --save '' --appendonly no --dir "$folder" >/dev/null 2>&1 &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 500); do
    [ ! -S "$folder/r.sock" ] || break
    sleep 0.02
done
for part in counted_local counted_exact; do
    valgrind --tool=callgrind --callgrind-out-file="$folder/$part" --toggle-collect="$part" "$1" "$folder/r.sock" "$server" count \
        >"$folder/said" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
    sum=$(sed -n 's/^summary: //p; s/^totals: //p' "$folder/$part" | tail -1)
    echo "$part: $((sum / 100000)) instructions a decision$([ $part = counted_local ] || sed 's/^/, /' "$folder/said")"
    [ -z "${KEEP:-}" ] || cp "$folder/$part" "$KEEP.$part"
done
