#!/usr/bin/env bash
# tests/bench/limits.sh BINARY [local|exact|lease]: decisions of limits, with a redis-server of its own on a unix socket.
set -eu
folder=$(mktemp -d -t sallyport-bench.XXXXXX)
redis-server --port 0 --unixsocket "$folder/r.sock" --save '' --appendonly no --dir "$folder" >/dev/null 2>&1 &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 200); do
    [ ! -S "$folder/r.sock" ] || break
    sleep 0.02
done
"$1" "$folder/r.sock" "${2:-}"
