#!/usr/bin/env bash
# tests/bench/limits.sh BINARY [local|exact|lease|count|cluster]: decisions of limits, with a redis-server of its own on a unix socket, or
# a Cluster. The worker has the first CPU and Redis the last one. Under a shield (shield.sh) Redis goes before all else: it rests between calls,
# and would have to wait for its turn after each.
set -eu

# How many instructions of the gateway's own a decision takes, alone and through Redis: the same on a machine that is busy with
# other things.
count() {
    for part in counted_local counted_exact; do
        valgrind --tool=callgrind --callgrind-out-file="$folder/$part" --toggle-collect="$part" "$1" "$folder/r.sock" "$server" count \
            >"$folder/said" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
        sum=$(sed -n 's/^summary: //p; s/^totals: //p' "$folder/$part" | tail -1)
        echo "$part: $((sum / 100000)) instructions a decision$([ $part = counted_local ] || sed 's/^/, /' "$folder/said")"
        [ -z "${KEEP:-}" ] || cp "$folder/$part" "$KEEP.$part"
    done
}

if [ "${2:-}" = cluster ]; then
    exec "${PYTHON:-/usr/bin/python3}" "$(dirname "$0")/limits_cluster.py" "$1"
fi
last=$(($(nproc) - 1))
folder=$(mktemp -d -t sallyport-bench.XXXXXX)
first=()
[ "${SHIELD:-}" != on ] || first=(chrt --fifo 1)
"${first[@]}" taskset -c "$last" redis-server --port 0 --unixsocket "$folder/r.sock" --save '' --appendonly no --dir "$folder" >/dev/null 2>&1 &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 500); do
    [ ! -S "$folder/r.sock" ] || break
    sleep 0.02
done
if [ "${2:-}" = count ]; then
    count "$1"
    exit
fi
taskset -c 0 "$1" "$folder/r.sock" "$server" "${2:-}"
