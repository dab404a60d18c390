#!/usr/bin/python3
"""Search in a large audit log. Usage: search_big.py BUILD-FOLDER GIGABYTES [FOLDER]

Writes a log of so many gigabytes of lines as a recorder leaves it (sealed, compressed segments with their index), drops
it from the page cache where it may, and asks. FOLDER keeps the log for the next time; otherwise it is removed."""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

LINE_BYTES = 1180  # a sealed line of audit-bench, about
BAR_SECONDS = 5.0
# What is asked, and whether an index answers it. Clients and numbers are those of audit-bench.
QUESTIONS = [("one address", ["ip=198.18.0.0"], True),
             ("one address in an hour", ["ip=198.18.7.7", "since={hour}", "until={later}"], True),
             ("one request by its id", ["id={id}"], True), ("the first 100 of a rule", ["rule=942100", "limit=100"], True),
             ("what never was", ["user=nobody"], True),
             ("one path in an hour", ["path=/catalogue/7/", "since={hour}", "until={later}"], False),
             ("one path in all of it", ["path=/catalogue/976/", "status=403"], False)]


def forget(folder):
    """Out of the page cache, so that the disk is asked."""
    for path in glob.glob(os.path.join(folder, "*")):
        with open(path, "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ask(build, log, terms):
    began = time.monotonic()
    done = subprocess.run([os.path.join(build, "sallyport"), "audit", "search", *terms, "--file", log, "-o", "json"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began, done.stdout.splitlines()


def main():
    build, gigabytes = sys.argv[1], float(sys.argv[2])
    folder = sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="search-big-")
    os.makedirs(folder, exist_ok=True)
    log, count, bad = os.path.join(folder, "audit.jsonl"), int(gigabytes * 1e9 / LINE_BYTES), 0
    try:
        if not os.path.exists(log):
            began = time.monotonic()
            subprocess.run([os.path.join(build, "audit-bench"), "log", log, str(count)], check=True)
            print(f"{count} records written in {time.monotonic() - began:.0f} s")
        _, some = ask(build, log, ["ip=198.18.0.0", "limit=40"])
        first = json.loads(some[-1])
        facts = {"id": first["http"]["request"]["id"], "hour": first["@timestamp"][:14] + "00:00Z",
                 "later": first["@timestamp"][:14] + "59:59Z"}
        size = sum(os.path.getsize(path) for path in glob.glob(os.path.join(folder, "*")))
        print(f"{count * LINE_BYTES / 1e9:.1f} GB of lines, {size / 1e9:.2f} GB on the disk")
        for name, terms, indexed in QUESTIONS:
            terms = [term.format(**facts) for term in terms]
            forget(folder)
            cold, found = ask(build, log, terms)
            warm, again = ask(build, log, terms)
            assert found == again
            over = indexed and cold > BAR_SECONDS
            bad += over
            print(f"  {name:<26} {' '.join(terms)[:60]:<62} {len(found):>7} found  {cold:6.2f} s, again {warm:.2f} s"
                  f"{'  OVER THE BAR' if over else '' if indexed else '  (no index: all is read)'}", flush=True)
    finally:
        if len(sys.argv) <= 3:
            shutil.rmtree(folder)
    print(f"bar {BAR_SECONDS} s: " + ("held" if not bad else "not held"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
