#!/usr/bin/env python3
"""An incident, as an exercise: among many mixed records, what did one address do, in order? The answer is exported as
evidence and verified away from the log. Usage: incident.py BUILD-FOLDER RECORDS"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

TARGET, EVERY, FIRST = "198.18.0.0", 4999, 7
BAR_SECONDS = 2.0


def run(*command):
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    return done, time.monotonic() - began


def exercise(build, count, folder):
    """What was measured: seconds by step. Raises AssertionError where an answer is wrong."""
    sallyport, log = os.path.join(build, "sallyport"), os.path.join(folder, "audit.jsonl")
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    subprocess.run([os.path.join(build, "audit-bench"), "log", log, str(count)], check=True, env=environment)
    expected = len(range(FIRST, count, EVERY))

    done, timeline = run(sallyport, "audit", "timeline", f"ip={TARGET}", "--file", log, "-o", "json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == expected and all(r["client"]["ip"] == TARGET for r in records)
    assert [r["@timestamp"] for r in records] == sorted(r["@timestamp"] for r in records)

    some = records[expected // 2]["http"]["request"]["id"]
    done, show = run(sallyport, "audit", "show", some, "--file", log, "-o", "json")
    assert done.returncode == 0 and json.loads(done.stdout)["http"]["request"]["id"] == some

    evidence = os.path.join(folder, "elsewhere", "evidence.jsonl")
    os.mkdir(os.path.dirname(evidence))
    done, export = run(sallyport, "audit", "export", f"ip={TARGET}", "--file", log, "--to", evidence)
    assert done.returncode == 0, done.stderr
    done, verify = run(sallyport, "audit", "verify", evidence, "-o", "json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["good"] and found["records"] == expected, found

    with open(evidence) as file:
        lines = file.read().splitlines()
    place = next(i for i, line in enumerate(lines) if TARGET in line and line.startswith('{"@timestamp"'))
    lines[place] = lines[place].replace("GET", "PUT", 1)
    with open(evidence + ".forged", "w") as file:
        file.write("\n".join(lines) + "\n")
    done, _ = run(sallyport, "audit", "verify", evidence + ".forged")
    assert done.returncode == 1 and "edit" in done.stdout, done.stdout
    sizes = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)
                if os.path.isfile(os.path.join(folder, name)))
    return {"timeline": timeline, "show": show, "export": export, "verify": verify, "found": expected, "bytes": sizes}


def main():
    build, count = sys.argv[1], int(sys.argv[2])
    folder = tempfile.mkdtemp(prefix="incident-")
    try:
        result = exercise(build, count, folder)
    finally:
        shutil.rmtree(folder)
    print(f"{count} records ({result['bytes'] >> 20} MiB on disk): {result['found']} of {TARGET} in order in "
          f"{result['timeline']:.2f} s (bar {BAR_SECONDS}), one by id in {result['show']:.2f} s, exported in "
          f"{result['export']:.2f} s, verified elsewhere in {result['verify']:.2f} s")
    sys.exit(0 if result["timeline"] < BAR_SECONDS else 1)


if __name__ == "__main__":
    main()
