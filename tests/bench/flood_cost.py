#!/usr/bin/python3
"""What a flood of 100,000 blocked requests costs the good ones.

    tests/bench/flood_cost.py
    tests/bench/flood_cost.py --rate 3000 --count 100000 --rounds 3

The whole gateway, its recorder included, has one CPU for itself; clients and backend have the other. Good requests are
due at a fixed rate on connections of one address, whether those before are answered or not. The flood comes from another
address (or from many) on 64 connections that ask as fast as they are refused, until 100,000 are. Limits and bans, which
would end it, are off: this is the worst case. In turns, with the flood and without:

    served = good requests answered / good requests due in the same time
    cost   = 1 - served with the flood / served without

The bar is 5 %. Beside it stand the times of good answers, the rate of the flood, and what it left in the log: the first
of each kind one by one, the rest in sums."""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
BUILD = os.environ.setdefault("SALLYPORT", "build/release/sallyport")
import harness  # noqa: E402
from kills import NGINX, free_port  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU, PROXY_CPU = CPUS[0], CPUS[-1]
BAR = 0.05
KINDS = {"one address": ["--source", "127.0.0.3"], "64 addresses": ["--source", "127.0.1.1", "--spread", "64"]}


def settle(pid, cpu, priority):
    """On a CPU of its own kind, and before whatever else the machine does, where we may."""
    os.sched_setaffinity(pid, {cpu})
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        pass


def ask(port, priority, *arguments):
    return subprocess.Popen([os.path.join(os.path.dirname(harness.BINARY), "asker"), str(port), *map(str, arguments)],
                            stdout=subprocess.PIPE, text=True, preexec_fn=lambda: settle(0, LOAD_CPU, priority))


def good(port, args, *more):
    return ask(port, 3, "--rate", args.rate, "--connections", 32, "--source", "127.0.0.2", *more, "/", "/shop?item=1")


def end(process):
    process.send_signal(signal.SIGTERM)
    return json.loads(process.communicate(timeout=20)[0])


def served(told):
    return told["answered"] / (told["sent"] + told["late"])


def cpu(gateway):
    """Seconds of the gateway's processes, by name."""
    sums = {}
    for row in gateway.tree():
        found = harness.statistics(row.pid)
        if found:
            sums[row.name] = sums.get(row.name, 0) + found[2]
    return sums


def one_round(gateway, port, kind, args):
    """(told of good ones alone, with the flood, told of the flood, CPU of the flood)."""
    alone = json.loads(good(port, args, "--seconds", args.seconds).communicate(timeout=60)[0])
    before, size = cpu(gateway), os.path.getsize(gateway.audit_path)
    beside = good(port, args)
    flood = json.loads(ask(port, 1, "--connections", 64, "--count", args.count, *KINDS[kind], "/?q=evil")
                       .communicate(timeout=300)[0])
    beside = end(beside)
    time.sleep(1.5)  # the last sums
    after = cpu(gateway)
    used = {name: after[name] - before.get(name, 0) for name in after}
    return alone, beside, flood, used, os.path.getsize(gateway.audit_path) - size


def told_in_log(gateway):
    singles = sums = 0
    with open(gateway.audit_path) as file:
        for line in file:
            record = json.loads(line)
            if record["event"].get("reason") != "rule":
                continue
            repeat = record["sallyport"].get("repeat")
            sums += repeat["count"] if repeat else 0
            singles += repeat is None
    return singles, sums


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=3000, help="good requests a second")
    parser.add_argument("--count", type=int, default=100000, help="requests of the flood")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--durability", default="write")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sallyport-flood-")
    os.chmod(folder, 0o755)
    port, backend = free_port(), free_port()
    with open(os.path.join(folder, "nginx.conf"), "w") as file:
        file.write(NGINX.format(folder=folder, port=backend))
    os.sched_setaffinity(0, {LOAD_CPU})
    nginx = subprocess.Popen(["nginx", "-c", os.path.join(folder, "nginx.conf")], stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: settle(0, LOAD_CPU, 2))
    config = harness.plain(f"http://127.0.0.1:{backend}", server={
        "listen": {"http": f"127.0.0.1:{port}"}, "limits": {"conns_per_ip": 1000}},
        waf={"mode": "block", "ruleset": "none", "rules": [{"name": "no-evil", "match": "evil", "in": "args",
                                                            "do": "block"}]})
    config["audit"] = {"file": "audit.jsonl", "durability": args.durability}
    bad = 0
    gateway = harness.Sallyport(config)
    try:
        for row in gateway.tree():
            settle(row.pid, PROXY_CPU, 2 if row.name == "worker" else 1)
        for kind in KINDS:
            rounds = [one_round(gateway, port, kind, args) for _ in range(args.rounds)]
            cost = statistics.median(1 - served(beside) / served(alone) for alone, beside, *_ in rounds)
            alone, beside, flood, used, grown = rounds[-1]
            bad += cost > BAR
            print(f"flood of {args.count} from {kind}, {flood['answered'] / flood['seconds']:.0f}/s beside "
                  f"{args.rate}/s good ones: cost {100 * cost:.1f} % (bar 5)"
                  f"{'' if cost <= BAR else '  OVER THE BAR'}\n"
                  f"    good answers p50 {alone['p50_us']} -> {beside['p50_us']} us, p99 {alone['p99_us']} -> "
                  f"{beside['p99_us']} us, longest {alone['max_us']} -> {beside['max_us']} us; {beside['broken']} broken\n"
                  f"    CPU {', '.join(f'{n} {s:.2f} s' for n, s in used.items() if s >= 0.01)}; "
                  f"log grew by {grown / 1024:.0f} KiB", flush=True)
        singles, sums = told_in_log(gateway)
        total = 2 * args.rounds * args.count
        bad += singles + sums != total
        print(f"{singles} refusals one by one and {sums} in sums: {singles + sums} of {total}")
    finally:
        gateway.stop()
        nginx.terminate()
        nginx.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
    print("held" if not bad else "not held")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
