#!/usr/bin/env bash
# tests/bench/limits.sh BINARY [local|exact|lease|count]: decisions of limits, with a redis-server of its own on a unix socket. The
# worker has the first CPU and Redis the last one. Under a shield (shield.sh) Redis goes before all else: it rests between calls,
# and would have to wait for its turn after each.
set -eu
[ "${2:-}" != count ] || exec "$(dirname "$0")/limits_count.sh" "$1"
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
taskset -c 0 "$1" "$folder/r.sock" "$server" "${2:-}"
