#!/usr/bin/env python3
"""Milliseconds from the start of the gateway to its first answer, with the Core Rule Set.

Warm: compiled rules are in the cache. Several programs can be given; they take turns, each with
a cache of its own. Prints least and median, and ends with 0 when the first one's median holds
the bar. --cold adds one start without a cache; --reload changes rules under load, without
compiled ones, and prints the slowest answer meanwhile. The rule set is Debian's.
"""
import argparse
import http.server
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BAR_MS = 300
WAIT_S = 300
GATEWAY = """version: 1
server: {listen: {http: "127.0.0.1:%d"}, workers: 1, control: "control.sock", cache: {folder: "cache"}}
audit: {file: "audit.jsonl", record: [blocked]}
sites:
  - host: "*"
    upstream: http://127.0.0.1:%d
    waf: {ruleset: crs, seclang: {after: ["after.conf"]}}
"""
AFTER = 'SecRule ARGS "@rx %s[a-f]+" "id:4711,phase:2,deny,status:403"\n'
ASKED = b"GET /shop?q=chair HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def ask(port):
    """True when the origin has answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
            client.sendall(ASKED)
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Gateway:
    """A program with its folder."""

    def __init__(self, program, folder, origin):
        self.program, self.folder, self.port = program, folder, free_port()
        os.makedirs(folder, exist_ok=True)
        self.write("after.conf", AFTER % "a")
        self.write("s.yaml", GATEWAY % (self.port, origin))

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as out:
            out.write(text)

    def start(self):
        """Milliseconds to the first answer."""
        with open(os.path.join(self.folder, "log"), "ab") as log:
            began = time.monotonic()
            self.running = subprocess.Popen([self.program, "run", "-c", os.path.join(self.folder, "s.yaml")],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not ask(self.port):
            if self.running.poll() is not None or time.monotonic() - began > WAIT_S:
                sys.exit(f"{self.program} does not serve; see {self.folder}/log")
            time.sleep(0.001)
        return (time.monotonic() - began) * 1000

    def stop(self):
        self.running.send_signal(signal.SIGTERM)
        self.running.wait(WAIT_S)

    def once(self):
        took = self.start()
        self.stop()
        return took


def reload_cold(gateway):
    """Compiles all rules anew while a client asks on: seconds, answers, failures, the slowest."""
    gateway.start()
    shutil.rmtree(os.path.join(gateway.folder, "cache"))
    gateway.write("after.conf", AFTER % "b")
    began = time.monotonic()
    reload = subprocess.Popen([gateway.program, "reload", "-c", os.path.join(gateway.folder, "s.yaml"), "--wait"],
                              stdout=subprocess.DEVNULL)
    times, failed = [], 0
    while reload.poll() is None:
        asked = time.monotonic()
        failed += not ask(gateway.port)
        times.append((time.monotonic() - asked) * 1000)
        time.sleep(0.002)
    took = time.monotonic() - began
    gateway.stop()
    times.sort()
    print(f"cold reload, serving: {took:.1f} s, {len(times)} asked, {failed} failed; answers after "
          f"{statistics.median(times):.1f} ms (median), {times[int(len(times) * 0.99)]:.1f} ms (99 %), "
          f"{times[-1]:.0f} ms (slowest)")
    return reload.returncode == 0 and failed == 0


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("programs", nargs="+")
    options.add_argument("--starts", type=int, default=15)
    options.add_argument("--folder", help="where caches are, and stay for the next run")
    options.add_argument("--cold", action="store_true")
    options.add_argument("--reload", action="store_true")
    options = options.parse_args()
    folder = options.folder or tempfile.mkdtemp(prefix="start-")
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    gateways = [Gateway(os.path.abspath(program), os.path.join(folder, str(i)), origin.server_port)
                for i, program in enumerate(options.programs)]
    good = True
    for gateway in gateways:
        if options.cold:
            shutil.rmtree(os.path.join(gateway.folder, "cache"), ignore_errors=True)
        cold = gateway.once()
        if options.cold:
            print(f"{gateway.program}: cold {cold / 1000:.1f} s", flush=True)
        gateway.once()
    times = [[] for _ in gateways]
    for _ in range(options.starts):
        for gateway, taken in zip(gateways, times):
            taken.append(gateway.once())
    for gateway, taken in zip(gateways, times):
        print(f"{gateway.program}: warm {min(taken):.0f} ms (least), {statistics.median(taken):.0f} ms (median) "
              f"of {len(taken)}", flush=True)
    if options.reload:
        good = reload_cold(gateways[0])
    held = statistics.median(times[0]) < BAR_MS
    print(f"bar: {BAR_MS} ms to the first answer of a warm start: {'holds' if held else 'FAILS'}")
    if not options.folder:
        shutil.rmtree(folder)
    return 0 if good and held else 1


if __name__ == "__main__":
    sys.exit(main())
