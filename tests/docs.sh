#!/usr/bin/env bash
# tests/docs.sh [--write]: whether the pages say what the binary says; --write makes them do so.
set -eu
cd "$(dirname "$0")/.."
exec /usr/bin/python3 tests/docs.py "$@"
