#!/usr/bin/python3
"""Nothing that was answered is missing from the record, whatever process is killed under load.

    tests/bench/kills.py                        20 kills, as much load as the machine gives
    tests/bench/kills.py --kills 5 --pause 1

A gateway with `audit.durability: write` and two workers is asked by three clients at once: for pages, for what a rule
blocks, and for what needs a password. Meanwhile its processes are killed by SIGKILL in turns, each kind alone, then
two at once; the master, too, and then the gateway is started anew, before the old processes have ended. Some kills hit
while the recorder stands still and the rings run over, so that there are gaps to tell.

Afterwards:
  - each 401 and 403 that a client has got has its record, once;
  - no record is there twice;
  - `sallyport audit verify` follows the chain from its first key to the end;
  - what gap records count as lost, and what is on record, is together no less than what was answered and no more than
    what was asked. A worker that is killed takes the pages with it that it was about to record: no more than there are
    connections.
"""
import argparse
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
BUILD = os.environ.setdefault("SALLYPORT", "build/release/sallyport")
import harness  # noqa: E402

# In turns; "stopped": the recorder stands still for a moment before.
VICTIMS = [("recorder",), ("worker",), ("steward",), ("generation",), ("worker", "recorder"), ("stopped", "worker"),
           ("master",), ("stopped", "recorder"), ("generation", "recorder"), ("worker", "worker", "recorder", "steward")]
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_temp_path {folder}/1;
  proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "$http_x_request_id"; }} }} }}
"""
CLIENTS = {"pages": (16, ["/", "/shop?item=1"]), "blocked": (32, ["/?q=evil", "/shop?item=evil"]),
           "unknown": (16, ["/private/"])}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configuration(port, backend):
    config = harness.plain(f"http://127.0.0.1:{backend}", server={
        "listen": {"http": f"127.0.0.1:{port}"}, "workers": 2, "limits": {"conns_per_ip": 1000}},
        waf={"mode": "block", "ruleset": "none", "rules": [{"name": "no-evil", "match": "evil", "in": "args",
                                                            "do": "block"}]},
        routes=[{"path": "/private/**", "basic": {"file": "users"}}, {"path": "/probe", "respond": {"status": 200}}])
    config["audit"] = {"file": "audit.jsonl", "record": ["all"], "durability": "write", "rotate": {"size": "64MiB"}}
    return config


class Crowd:
    """The clients. Each leaves what it has seen when it is told to stop."""

    def __init__(self, port, folder):
        self.folder, self.processes = folder, {}
        for name, (connections, requests) in CLIENTS.items():
            self.processes[name] = subprocess.Popen(
                [os.path.join(os.path.dirname(harness.BINARY), "asker"), str(port), "--connections", str(connections),
                 "--ids", os.path.join(folder, name), *requests], stdout=subprocess.PIPE, text=True)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: json.loads(process.communicate(timeout=20)[0]) for name, process in self.processes.items()}

    def ids(self, name, status):
        """[(id, when)] of the answers with this status."""
        with open(os.path.join(self.folder, name)) as file:
            rows = [line.split() for line in file]
        return [(row[1], int(row[2]) / 1000) for row in rows if row[0] == status]


def kill(gateway, victims, downs):
    """Kills one of each kind; seconds until all roles are there again."""
    stopped = None
    if victims[0] == "stopped":
        stopped = gateway.one("recorder")
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(0.7)
        victims = victims[1:]
    pids = []
    for name in victims:
        found = [pid for pid in gateway.role(name) if pid not in pids]
        pids += found[:1]
    began = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    if stopped is not None and stopped not in pids:
        time.sleep(0.3)
        os.kill(stopped, signal.SIGCONT)
    if "master" in victims:
        gateway.process.wait(10)
        gateway.start()
    harness.eventually(lambda: all(gateway.role(r) for r in ("worker", "recorder", "steward")) and
                       len(gateway.role("worker")) >= 2 and answers(gateway), 60, f"a whole gateway after {victims}")
    downs.append(time.monotonic() - began)
    return collections.Counter(victims)


def answers(gateway):
    gateway.probes = getattr(gateway, "probes", 0) + 1
    try:
        return gateway.ask(path="/probe").status == 200
    except (OSError, harness.Cut):
        return False


def read_log(path):
    """Every record of every segment: (ids by action, sums of gaps, number of gaps)."""
    ids, lost, gaps = collections.defaultdict(list), collections.Counter(), collections.Counter()
    done = subprocess.Popen([harness.BINARY, "audit", "search", "--file", path, "-o", "json"], stdout=subprocess.PIPE)
    action_of, id_of = re.compile(rb'"event":\{[^}]*"action":"([^"]*)"'), re.compile(rb'"request":\{"id":"([^"]*)"')
    for line in done.stdout:
        action, found = action_of.search(line)[1].decode(), id_of.search(line)
        if action == "gap":
            told = json.loads(line)["sallyport"]
            gaps[told["reason"]] += 1
            lost.update(told.get("lost", {}))
        elif found:
            ids[action].append(found[1].decode())
    assert done.wait() == 0
    return ids, lost, gaps


def judge(gateway, crowd, told, ends, began):
    """Prints what holds; the number of things that do not."""
    wrong = []

    def check(name, good, text):
        print(f"  {'ok  ' if good else 'FAIL'}  {name}: {text}")
        if not good:
            wrong.append(name)

    done = subprocess.run([harness.BINARY, "audit", "verify", "-o", "json", "--file", gateway.audit_path],
                          capture_output=True, text=True)
    check("chain", done.returncode == 0, done.stdout.strip()[:400] or done.stderr.strip()[:400])
    ids, lost, gaps = read_log(gateway.audit_path)
    count = collections.Counter(one for some in ids.values() for one in some)
    twice = [one for one, n in count.items() if n > 1]
    check("nothing twice", not twice, f"{len(count)} records, {len(twice)} ids more than once")
    for name, status in (("blocked", "403"), ("unknown", "401")):
        answered = crowd.ids(name, status)
        missing = [one for one, _ in answered if one not in count]
        check(f"{name}: each answer's record", len(answered) == told[name]["status"].get(status, 0) > 0 and not missing,
              f"{len(answered)} answered with {status}, {len(missing)} without a record {missing[:3]}")
    answered = crowd.ids("pages", "200")
    missing = sorted(when for one, when in answered if one not in count)
    room = ends * CLIENTS["pages"][0]
    pages = len(ids["pass"]) + len(ids["fail"]) + lost["forwarded"]  # the test's own asks are replies; a few may be lost
    check("gaps", len(missing) <= lost["forwarded"] + room and pages <= told["pages"]["sent"] + gateway.probes,
          f"{len(answered)} pages answered, {len(missing)} of them without a record: {lost['forwarded']} told as lost by "
          f"{sum(gaps.values())} gap records {dict(gaps)}, and {ends} times workers died with up to "
          f"{CLIENTS['pages'][0]} on their way; {pages} told of {told['pages']['sent']} asked")
    if wrong and missing:
        times = collections.Counter(round(when - began, 1) for when in missing)
        print("     without a record, by second:", dict(sorted(times.items())))
    check("decisions are never lost", lost["decided"] == 0 and lost["detected"] == 0, str(dict(lost)))
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", help="kill only these: worker, or stopped+worker")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of load between kills")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sallyport-kills-")
    os.chmod(folder, 0o755)
    port, backend = free_port(), free_port()
    with open(os.path.join(folder, "nginx.conf"), "w") as file:
        file.write(NGINX.format(folder=folder, port=backend))
    nginx = subprocess.Popen(["nginx", "-c", os.path.join(folder, "nginx.conf")], stderr=subprocess.DEVNULL)
    users = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout
    killed, downs, failed = collections.Counter(), [], 1
    gateway = harness.Sallyport(configuration(port, backend), files={"users": "anna:" + users})
    try:
        crowd, began = Crowd(port, folder), time.monotonic()
        for i in range(args.kills):
            time.sleep(args.pause)
            victims = tuple(args.only.split("+")) if args.only else VICTIMS[i % len(VICTIMS)]
            killed += kill(gateway, victims, downs)
            print(f"{i + 1:>3}. {time.monotonic() - began:5.1f} s  {', '.join(victims):<40} whole again after {downs[-1]:.2f} s", flush=True)
        time.sleep(args.pause)
        told, seconds = crowd.stop(), time.monotonic() - began
        answered = sum(one["answered"] for one in told.values())
        print(f"{answered} answers in {seconds:.0f} s: {answered / seconds:.0f} a second; "
              f"{sum(one['broken'] for one in told.values())} broken off")
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(30)
        failed = judge(gateway, crowd, told, killed["worker"] + killed["master"], began)
    finally:
        if failed:
            print("".join(gateway.stderr[-40:]))
        gateway.stop()
        nginx.terminate()
        nginx.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
    print("held" if not failed else f"{failed} not held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
