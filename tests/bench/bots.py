#!/usr/bin/env python3
"""What `bots` costs: CPU time of the worker for a request that is answered here, without it, with scores, with challenges.

    SALLYPORT=build/release/sallyport tests/bench/bots.py [ROUNDS] [SECONDS]

The requests are those of a browser over plain HTTP, so that most signs are looked for and none is found; `challenge`
also has a clearance to check. Modes take turns; of each the best round counts. Exit code 1 over the bar.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from harness import Sallyport, plain, statistics  # noqa: E402
from test_91_bots import CHROME, cleared  # noqa: E402

BAR_US = 2.0
FIELDS = [("User-Agent", CHROME), ("Accept-Language", "de,en;q=0.8"), ("Accept-Encoding", "gzip, deflate"),
          ("Upgrade-Insecure-Requests", "1")]
ACCEPT = ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
MODES = ("off", "score", "challenge")


def cpu_us(pid):
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e3


def measure(gateway, pid, mode, seconds, cookie):
    fields = [ACCEPT, *FIELDS] + ([("Cookie", cookie)] if mode == "challenge" else [])
    headers = [word for name, value in fields for word in ("-H", f"{name}: {value}")]
    _, port = gateway.address()
    before = cpu_us(pid)
    done = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-H", "Host: test", *headers, f"http://127.0.0.1:{port}/{mode}"],
                          check=True, capture_output=True, text=True).stdout
    spent = cpu_us(pid) - before
    assert "Non-2xx" not in done, done
    count = next(int(line.split()[0]) for line in done.splitlines() if "requests in" in line)
    return spent / count


def main():
    rounds, seconds = (int(word) for word in (sys.argv[1:] + ["5", "2"][len(sys.argv) - 1:])[:2])
    setup = plain("http://127.0.0.1:9", server={"workers": 1}, waf={"mode": "off"},
                  routes=[{"path": f"/{mode}", "respond": {"status": 200, "body": "ok"},
                           "bots": {"mode": mode, "threshold": {"challenge": 0 if mode == "challenge" else 40}, "difficulty": 8}} for mode in MODES])
    setup["audit"] = "off"
    with Sallyport(setup) as gateway:
        pid = gateway.status()["workers"][0]["pid"]
        cookie = cleared(gateway, "/challenge", FIELDS)
        best = {mode: min(measure(gateway, pid, mode, seconds, cookie) for _ in range(1)) for mode in MODES}
        for _ in range(rounds - 1):
            for mode in MODES:
                best[mode] = min(best[mode], measure(gateway, pid, mode, seconds, cookie))
    for mode in MODES:
        print(f"bots {mode}: {best[mode]:.2f} us of CPU a request, {best[mode] - best['off']:+.2f}")
    over = best["score"] - best["off"]
    print(f"scores cost {over:.2f} us (bar {BAR_US}): {'pass' if over <= BAR_US else 'FAIL'}")
    return 0 if over <= BAR_US else 1


if __name__ == "__main__":
    sys.exit(main())
