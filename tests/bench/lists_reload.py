#!/usr/bin/env python3
"""A watched list of a million IPv4 and 200,000 IPv6 prefixes is changed while requests go on.

    SALLYPORT=build/release/sallyport tests/bench/lists_reload.py [TIMES]

Told: what the steward spends on each change (CPU seconds: reading, checking, building, sealing), how long after the
file was there the change held, and how many requests failed meanwhile. Exit code 1 when a change takes more than a
second of CPU, or a request failed.
"""
import os
import random
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from bots import cpu_us  # noqa: E402
from harness import Load, Sallyport, eventually, plain  # noqa: E402

BAR_SECONDS = 1.0


def write(path, extra):
    """The same addresses each time, with a reason each; and one more."""
    chance = random.Random(1)
    with open(path + ".new", "w") as file:
        for i in range(1000000):
            file.write(f"{chance.randrange(11, 224)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)},reason {i % 1000}\n")
        for i in range(200000):
            file.write(f"{0x2400 + chance.randrange(0x600):x}:{chance.randrange(65536):x}:{chance.randrange(65536):x}::/48,reason {i % 1000}\n")
        file.write(f"{extra},extra\n")
    os.rename(path + ".new", path)


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    folder = tempfile.mkdtemp(prefix="sallyport-bench-")
    os.chmod(folder, 0o755)
    path = os.path.join(folder, "big.csv")
    write(path, "10.0.0.1")
    setup = plain("http://127.0.0.1:9", server={"trusted_proxies": ["127.0.0.0/8"], "workers": 1}, waf={"mode": "off"}, deny={"lists": ["big"]},
                  routes=[{"path": "/**", "respond": {"status": 200, "body": "ok"}}])
    setup["lists"] = {"big": {"file": path, "format": "csv", "watch": True, "without": ["127.0.0.0/8"]}}
    setup["audit"] = "off"
    worst, good = 0.0, True
    with Sallyport(setup) as gateway:
        steward = gateway.status()["processes"]["steward"]
        with Load(gateway, threads=2) as load:
            for i in range(times):
                address = f"10.0.1.{i + 1}"
                before = cpu_us(steward)
                write(path, address)
                there = time.monotonic()
                eventually(lambda: gateway.ask(fields=[("X-Forwarded-For", address)]).status == 403, seconds=60, what="the change")
                took, spent = time.monotonic() - there, (cpu_us(steward) - before) / 1e6
                worst = max(worst, spent)
                print(f"change {i + 1}: {spent:.2f} s of the steward's CPU, held {took:.2f} s after the file was there")
        failed = len(load.failures)
    os.remove(path)
    os.rmdir(folder)
    good = worst <= BAR_SECONDS and failed == 0
    print(f"worst {worst:.2f} s (bar {BAR_SECONDS}), {load.done} requests, {failed} failed: {'pass' if good else 'FAIL'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
