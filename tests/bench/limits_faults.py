#!/usr/bin/python3
"""Limits of two gateways while their Redis is stopped, killed, slow, or fails over, against the bars.

    make bench-limits-faults            all of them, about a minute and a half
    tests/bench/limits_faults.py stopped cluster

Two gateways share the limits. One client asks each of them, one request after the other: about a key that nobody has seen,
so that every decision needs the store, and about one that all share and that is always over its limit. How long a decision
took is what the gateway's own record says of its stage. Judged are: requests that failed (none), the first three decisions
behind the fault (10 ms; three of each server), all later ones (p99 0.1 ms), the time until the store is used again (500 ms), and how many more
passed than the limit says while it was away (5 %).
"""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")
from harness import Sallyport, eventually, plain  # noqa: E402
from redis_server import Cluster, Redis, Sentinels, ask_at  # noqa: E402

SECRET = {"secret": "of the bench"}
RATE, BURST = 200, 100
OUTAGE = 3.0
PACE = 0.003
held = []


def bar(what, figure, most, unit):
    good = figure <= most
    held.append(good)
    print(f"    {'holds ' if good else 'MISSED'} {what}: {figure:.2f} {unit} (at most {most})", flush=True)


def shared(store):
    fresh = {"rate": "1/min", "burst": 1, "per": "header:K", "name": "fresh"}
    crowd = {"rate": f"{RATE}/s", "burst": BURST, "per": "site", "name": "crowd"}
    config = plain(None, {"workers": 1}, routes=[
        {"path": "/fresh", "respond": {"status": 200}, "limits": {"rules": [fresh], "always": True}},
        {"path": "/crowd", "respond": {"status": 200}, "limits": {"rules": [crowd]}}])
    config["store"] = {"timeout": "5ms", "nodes": 2, **SECRET, **store}
    return config


def fresh_records(gateway):
    return [r for r in gateway.records() if r["url"]["path"] == "/fresh"]


def in_use(gateway):
    """Whether a decision that is made now is the store's."""
    before = len(fresh_records(gateway))
    gateway.ask(path="/fresh", fields=[("K", f"w{time.time()}")])
    fresh = eventually(lambda: fresh_records(gateway)[before:], what="a record")
    return fresh[-1]["sallyport"]["limit"]["store"] == "exact"


class Driver:
    """Asks one gateway all the time."""

    def __init__(self, gateway, number):
        self.gateway, self.number = gateway, number
        self.asked, self.crowd, self.odd = [], [], []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        count = 0
        with self.gateway.client() as client:
            while not self.stopping.is_set():
                count += 1
                began = time.time()
                answer = client.ask(path="/fresh", fields=[("K", f"{self.number}-{count}")])
                self.asked.append(began)
                statuses = [answer.status, client.ask(path="/crowd").status]
                if statuses[1] == 200:
                    self.crowd.append(time.time())
                self.odd += [status for status in statuses if status not in (200, 429)]
                time.sleep(PACE)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def decisions(self):
        """(when it was asked, how long it took in us, who counted), in order; records are in order of completion, and one
        client waits for each."""
        records = eventually(lambda: (rows := fresh_records(self.gateway)) and len(rows) >= len(self.asked) and rows,
                             what="all records")
        return [(asked, next(s["us"] for s in r["sallyport"]["stages"] if s["stage"] == "limits"),
                 r["sallyport"]["limit"]["store"]) for asked, r in zip(self.asked, records)]


def p99(numbers):
    return sorted(numbers)[max(0, len(numbers) * 99 // 100 - (len(numbers) < 100))] if numbers else 0.0


def measure(name, store, fault, repair, servers=1):
    """`fault` answers when it struck, or None for now; `repair` when the store could be used again."""
    config = shared(store)
    with Sallyport(config) as a, Sallyport(config) as b:
        for gateway in (a, b):
            eventually(lambda: in_use(gateway), 60, "the store in use")
        skip = {id(g): len(fresh_records(g)) for g in (a, b)}
        with Driver(a, 1) as one, Driver(b, 2) as two:
            time.sleep(1.0)
            struck = time.time()
            fault()
            time.sleep(OUTAGE)
            back = repair() or time.time()
            time.sleep(1.5)
        print(f"{name}: {len(one.asked) + len(two.asked)} decisions", flush=True)
        bar("failed requests", len(one.odd) + len(two.odd), 0, "requests")
        first, later, recovery = [], [], 0.0
        for driver in (one, two):
            driver.asked = [0.0] * skip[id(driver.gateway)] + driver.asked
            decisions = driver.decisions()
            behind = [d for d in decisions if struck < d[0] < back]
            waited = [d for d in behind if d[1] > 1000 and d[2] == "fallback"][:3 * servers]
            first += [d[1] for d in waited]
            later += [d[1] for d in behind if d not in waited and d[2] == "fallback"]
            again = [d for d in decisions if d[0] >= back and d[2] == "exact"]
            recovery = max(recovery, (again[0][0] - back) * 1000 if again else 1e9)
        bar("the first three decisions, the longest", max(first, default=0) / 1000, 10, "ms")
        bar(f"all {len(later)} later ones, p99", p99(later) / 1000, 0.1, "ms")
        bar("the store is used again after", recovery, 500, "ms")
        passed = sum(struck < at < back for driver in (one, two) for at in driver.crowd)
        allowed = BURST + RATE * (back - struck)
        bar(f"passed {passed} of {allowed:.0f}: more than the limit by", 100 * (passed / allowed - 1), 5, "%")


def stopped():
    with Redis() as redis:
        measure("stopped", {"redis": f"unix:{redis.socket}"}, lambda: redis.signal(signal.SIGSTOP),
                lambda: redis.signal(signal.SIGCONT))


def killed():
    with Redis() as redis:
        measure("killed and started again", {"redis": f"redis://127.0.0.1:{redis.port}"}, redis.kill, redis.start)


def slow():
    with Redis("--enable-debug-command", "yes") as redis:
        sleeper = threading.Thread(target=lambda: redis.ask("DEBUG", "SLEEP", OUTAGE + 0.2))
        measure("slow", {"redis": f"unix:{redis.socket}"}, sleeper.start, sleeper.join)


def becomes_master(node):
    def holds():
        try:
            return "role:master" in node.ask("INFO", "replication")
        except (OSError, ValueError):
            return False
    eventually(holds, 30, "a failover")
    return time.time()


def is_named(fleet):
    """A Sentinel may find out a second later that the replica did as it was told: until then nobody can know."""
    def names(port):
        try:
            return ask_at(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", fleet.name)[1] == str(fleet.replica.port)
        except (OSError, ValueError):
            return False
    becomes_master(fleet.replica)
    eventually(lambda: any(names(port) for port in fleet.ports), 30, "a Sentinel that names the replica")
    return time.time()


def sentinel():
    with Sentinels() as fleet:
        measure("failed over by Sentinels", {"sentinel": {"servers": fleet.urls(), "master": fleet.name}},
                fleet.master.kill, lambda: is_named(fleet))


def cluster():
    """Each node is given up by itself: those that live write down what they vote for, and are late for it, too."""
    with Cluster() as nodes:
        first = nodes.nodes[0]

        def fault():
            first.kill()

        measure("failed over in a Cluster", {"cluster": nodes.urls()[1:]}, fault,
                lambda: becomes_master(nodes.nodes[3]), servers=3)


def accuracy():
    """Two gateways with two workers, all of them asking for one key, many times in one batch."""
    limits = [{"rate": "500/s", "burst": 200, "per": "site", "name": "x", "store": "exact"}]
    with Redis() as redis:
        config = plain(None, {"workers": 2}, routes=[{"path": "/**", "respond": {"status": 200}, "limits": limits}])
        config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "1s", **SECRET}
        with Sallyport(config) as a, Sallyport(config) as b:
            time.sleep(0.5)
            counts, stop = [], time.monotonic() + 6

            def run(gateway):
                passed = 0
                with gateway.client() as client:
                    while time.monotonic() < stop:
                        passed += client.ask().status == 200
                counts.append(passed)

            threads = [threading.Thread(target=run, args=(g,)) for g in (a, b) for _ in range(4)]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took = time.monotonic() - began
    ideal = 200 + 500 * took
    print(f"two gateways with two workers and one key: {sum(counts)} passed of {ideal:.0f}")
    bar("passed beyond burst + rate * T + 1", max(0, sum(counts) - ideal - 1), 0, "requests")
    bar("short of that", 100 * (1 - sum(counts) / ideal), 1, "%")


CASES = {f.__name__: f for f in (accuracy, stopped, killed, slow, sentinel, cluster)}

if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        CASES[case]()
    print(f"{sum(held)} of {len(held)} bars hold")
    sys.exit(not all(held))
