#!/usr/bin/python3
"""What the floods of HTTP/2 and TLS cost others: the p99 of a client that asks once a millisecond, while another address floods,
beside its p99 with nobody there, in turns; the growth of the worker; and how soon a flooding connection is gone.

    tests/bench/floods.py                      all floods
    tests/bench/floods.py rapid_reset tls_update --rounds 5 --seconds 2

The gateway has one worker on the last CPU; the client and its backend, and behind these the
flooders and theirs, share the first. Bars: p99 below
2 x idle, connection gone within 1 s."""
import argparse
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from wire2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE,  # noqa: E402
                   PRIORITY, SETTINGS, frame, head, literal, reset, settings, window)

CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU, PROXY_CPU = CPUS[0], CPUS[-1]
VICTIM = "127.0.0.2"
ASK = b"GET /victim HTTP/1.1\r\nHost: bench\r\n\r\n"

NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err crit;
events {{ worker_connections 16000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_temp_path {folder}/{name}.1;
  proxy_temp_path {folder}/{name}.2; fastcgi_temp_path {folder}/{name}.3; uwsgi_temp_path {folder}/{name}.4; scgi_temp_path {folder}/{name}.5;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }}
           location /big {{ root {folder}; }} }} }}
"""
SALLYPORT = """
version: 1
server:
  listen: {{http: "127.0.0.1:{http}", https: "127.0.0.1:{https}"}}
  workers: 1
  control: "{folder}/control.sock"
  limits: {{send_timeout: 1s}}
audit: {{file: "{folder}/audit.jsonl", record: [blocked]}}
sites:
  - host: "*"
    tls: {{cert: "{folder}/cert.pem", key: "{folder}/key.pem"}}
    upstream: {{servers: ["http://127.0.0.1:{other}"], keepalive: 256}}
    routes:
      - {{path: /victim, upstream: "http://127.0.0.1:{backend}"}}
    waf: {{mode: off}}
    limits: []
    bans: off
    bots: {{mode: off}}
    headers: off
"""


# ---- floods: what one connection sends --------------------------------------------------------------


def ask(i, end=True, **how):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), i, head(**how))


def streams(count, make):
    return b"".join(make(i) for i in range(1, 2 * count, 2))


def bomb():
    big = b"\x40" + literal("x-bomb", "y" * 3900)[1:]
    return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, head() + big + b"\xbe" * 12000) for i in (1, 3, 5))


def post(rest):
    return ask(1, end=False, method="POST") + rest


FLOODS = {
    "rapid_reset": lambda: streams(400, lambda i: ask(i) + reset(i)),
    "rapid_reset_below": lambda: streams(190, lambda i: ask(i) + reset(i)),  # and another connection
    "rapid_reset_late": lambda: streams(400, lambda i: ask(i) + (reset(i - 40) if i > 40 else b"")),
    "made_you_reset": lambda: streams(400, lambda i: ask(i) + frame(DATA, 0, i, b"x")),
    "malformed": lambda: streams(400, lambda i: ask(i, fields=[("X", "1")])),
    "continuation": lambda: frame(HEADERS, END_STREAM, 1, head()) + frame(CONTINUATION, 0, 1, b"") * 2000,
    "settings": lambda: settings((4, 70000)) * 2000,
    "ping": lambda: frame(PING, 0, 0, b"12345678") * 4000,
    "empty_data": lambda: post(frame(DATA, 0, 1) * 4000),
    "padding": lambda: post(frame(DATA, PADDED, 1, b"\xff" + b"x" + b"\0" * 255) * 400),
    "priority": lambda: frame(PRIORITY, 0, 1, b"\0\0\0\3\x10") * 4000,
    "window": lambda: window(0, 1) * 4000,
    "unknown": lambda: frame(0xbe) * 4000,
    "hpack_bomb": bomb,
    "requests": lambda: streams(99, ask),  # no flood: one connection after the other, all that it may
    "zero_window": lambda: settings((4, 0)) + streams(99, lambda i: ask(i, path="/big")),
    "settings_ack": lambda: frame(SETTINGS, ACK) * 2000,
}
# What tlsflood.c sends, and whether such a connection must be gone within a second.
TLS_FLOODS = {"tls_hello": False, "tls_handshake": False, "tls_renegotiate": True, "tls_update": True, "tls_tiny": False,
              "tls_half": False}
LASTING = {"zero_window": 3.0}  # these connections are kept so long, and no verdict is waited for
UNCUT = {"rapid_reset_below", "requests", "zero_window",  # these break no rule
         *(name for name, cut in TLS_FLOODS.items() if not cut)}


def ahead(priority):
    """Before whatever else the machine does, where we may: seconds of it, no more."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        pass


def tls_flooder(binary, port, source, name, stop, told):
    one = subprocess.Popen([binary, "127.0.0.1", str(port), source, name[4:]], stdout=subprocess.PIPE, text=True,
                           preexec_fn=lambda: (os.sched_setaffinity(0, {LOAD_CPU}), ahead(1)))
    stop.wait()
    one.terminate()
    count, longest = one.communicate(timeout=20)[0].split() or (0, 0)  # it had not even begun
    told.put((int(count), float(longest)))


def flooder(port, source, bytes_, keep, stop, told):
    os.sched_setaffinity(0, {LOAD_CPU})
    ahead(1)
    lasted, count = [], 0
    while not stop.is_set():
        with socket.socket() as s:
            s.bind((source, 0))
            s.settimeout(5)
            try:
                s.connect(("127.0.0.1", port))
                s.sendall(bytes_)
                began = time.monotonic()
                if keep:
                    stop.wait(keep)
                elif not keep:
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(65536):
                        pass
                lasted.append(time.monotonic() - began)
            except OSError:
                pass
        count += 1
    told.put((count, max(lasted, default=0.0)))


# ---- the victim -------------------------------------------------------------------------------------


def victim(port, seconds):
    """Times of its requests, in milliseconds."""
    times, end = [], time.monotonic() + seconds
    with socket.socket() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.bind((VICTIM, 0))
        s.settimeout(20)
        s.connect(("127.0.0.1", port))
        while time.monotonic() < end:
            began = time.perf_counter()
            s.sendall(ASK)
            got = s.recv(65536)
            times.append((time.perf_counter() - began) * 1e3)
            assert got.startswith(b"HTTP/1.1 200"), got
            time.sleep(0.001)
    return times


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def flooded(ports, name, args):
    """(times of the victim, connections a second, the longest that one of them lasted)."""
    stop, told = multiprocessing.Event(), multiprocessing.Queue()
    # Each kind from an address of its own: what one may no longer do is no matter of the next.
    source = f"127.0.3.{1 + [*FLOODS, *TLS_FLOODS].index(name)}"
    if name in TLS_FLOODS:
        target, rest = tls_flooder, (args.tlsflood, ports["https"], source, name)
    else:
        target, rest = flooder, (ports["http"], source, PREFACE + settings() + FLOODS[name](), LASTING.get(name, 0))
    crowd = [multiprocessing.Process(target=target, args=(*rest, stop, told)) for _ in range(args.flooders)]
    for one in crowd:
        one.start()
    time.sleep(0.3)
    times = victim(ports["http"], args.seconds)
    stop.set()
    said = [told.get(timeout=30) for _ in crowd]
    for one in crowd:
        one.join(10)
    return times, sum(s[0] for s in said) / (args.seconds + 0.3), max(s[1] for s in said)


# ---- the gateway ------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def spawn(argv, cpu, folder, name, priority):
    log = open(os.path.join(folder, name + ".log"), "wb")
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                            preexec_fn=lambda: (os.sched_setaffinity(0, {cpu}), ahead(priority)))


def rss_of_worker(root):
    found = subprocess.run(["ps", "-eo", "pid,ppid,rss,comm"], capture_output=True, text=True).stdout
    rows = [line.split(None, 3) for line in found.splitlines()[1:]]
    below, todo = set(), [root]
    while todo:
        one = todo.pop()
        below.add(one)
        todo += [int(r[0]) for r in rows if int(r[1]) == one]
    return max((int(r[2]) for r in rows if int(r[0]) in below and r[3] == "worker"), default=0) / 1024


def start(folder, binary):
    facts = {"folder": folder, "http": free_port(), "https": free_port(), "backend": free_port(), "other": free_port()}
    for name, text, more in (("a.conf", NGINX, {"name": "a", "port": facts["backend"]}),
                             ("b.conf", NGINX, {"name": "b", "port": facts["other"]}), ("s.yaml", SALLYPORT, {})):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text.format(**facts, **more))
    with open(os.path.join(folder, "big"), "wb") as file:
        file.write(os.urandom(1 << 20))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", os.path.join(folder, "key.pem"),
                    "-out", os.path.join(folder, "cert.pem")], check=True, capture_output=True)
    os.chmod(folder, 0o755)
    backends = [spawn(["nginx", "-c", os.path.join(folder, name + ".conf")], LOAD_CPU, folder, name, priority)
                for name, priority in (("a", 2), ("b", 1))]
    gateway = spawn([binary, "run", "-c", os.path.join(folder, "s.yaml")], PROXY_CPU, folder, "gateway", 2)
    for _ in range(200):
        try:
            if victim(facts["http"], 0.01):
                return backends, gateway, facts
        except (OSError, AssertionError):
            time.sleep(0.05)
    with open(os.path.join(folder, "gateway.log")) as log:
        sys.exit("the gateway did not start: " + log.read()[-2000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("floods", nargs="*", default=[*FLOODS, *TLS_FLOODS])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build/release/sallyport"))
    parser.add_argument("--tlsflood", default=os.path.join(ROOT, "build/release/tlsflood"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--flooders", type=int, default=8)
    args = parser.parse_args()
    bad = 0
    os.sched_setaffinity(0, {LOAD_CPU})
    ahead(3)
    with tempfile.TemporaryDirectory(prefix="sallyport-floods-") as folder:
        backends, gateway, ports = start(folder, args.binary)
        try:
            print(f"{'flood':<20}{'idle p99 ms':>12}{'flooded':>10}{'ratio':>8}{'conns/s':>10}{'gone in s':>11}"
                  f"{'MiB more':>10}")
            for name in args.floods:
                idle, under, rates, lasted = [], [], [], []
                before = rss_of_worker(gateway.pid)
                for _ in range(args.rounds):
                    idle.append(p99(victim(ports["http"], args.seconds)))
                    times, rate, longest = flooded(ports, name, args)
                    under.append(p99(times))
                    rates.append(rate)
                    lasted.append(longest)
                    time.sleep(0.3)
                ratio = statistics.median(u / i for u, i in zip(under, idle))
                gone = max(lasted) if name not in UNCUT else 0.0
                bad += ratio >= 2 or gone >= 1
                print(f"{name:<20}{statistics.median(idle):>12.2f}{statistics.median(under):>10.2f}{ratio:>8.2f}"
                      f"{statistics.median(rates):>10.0f}{gone:>11.2f}{rss_of_worker(gateway.pid) - before:>10.1f}",
                      flush=True)
        finally:
            for one in (gateway, *backends):
                one.terminate()
                one.wait(20)
    print(f"\n{bad} over the bar" if bad else "\nall within the bars")
    return 1 if bad else 0


if __name__ == "__main__":
    shutil.which("nginx") or sys.exit("nginx is missing: make deps LIST=bench")
    sys.exit(main())
