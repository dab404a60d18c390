#!/usr/bin/env python3
"""CPU of a request that the Core Rule Set inspects, as a multiple of plain nginx in the same run.

Both proxy to the same nginx, one worker each, in turns; no two requests of a round are the same.
Prints the figures against the bars and ends with 0 when all hold: medians, and the median of the
ratios of turns that stand beside each other, for a machine may be slower for a while. The rule set
is Debian's.
"""
import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

BARS = {"get": 2.0, "form": 3.5, "json": 12.0}
WORDS = """order table chair lamp window garden kitchen price delivery address profile writer reader
colour metal quick friendly answer select union update script alert where from drop it's don't
O'Neill rock'n'roll a/b x=y key:value (approx.) {draft} [note] "quoted" #7 & 50% e.g. 3:30pm
señor naïve Zürich привет 東京 https://example.org/path?q=1 user@example.com v2.0.1 1+1""".split()
BACKEND, PLAIN, OURS = 28481, 28482, 28483
NGINX = """daemon off; worker_processes 1; pid {dir}/{name}.pid; error_log {dir}/{name}.log;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 100000000; client_body_buffer_size 64k;
  client_body_temp_path {dir}/{name}.body; proxy_temp_path {dir}/{name}.proxy;
  fastcgi_temp_path {dir}/{name}.f; uwsgi_temp_path {dir}/{name}.u; scgi_temp_path {dir}/{name}.s;
  upstream b {{ server 127.0.0.1:%d; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; default_type text/plain; location / {{ {what} }} }} }}
""" % BACKEND
PROXY = 'proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "";'
GATEWAY = """version: 1
server: {listen: {http: "127.0.0.1:%d"}, workers: 1, control: "%s/control.sock"}
audit: {file: "%s/audit.jsonl", record: [blocked]}
sites:
  - host: "*"
    upstream: http://127.0.0.1:%d
    limits: []
    bans: off
    bots: {mode: off}
    waf: {ruleset: crs, mode: detect}
"""


def token(rand, length):
    return "".join(rand.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(length))


def prose(rand, count):
    return " ".join(rand.choice(WORDS) for _ in range(count))


def body_of(case, rand):
    if case == "form":
        fields = {token(rand, 8): prose(rand, 3) for _ in range(10)}
        return urllib.parse.urlencode({**fields, "comment": prose(rand, 75), "note": prose(rand, 60)})
    items = []
    while len(json.dumps(items)) < 8100:
        items.append({"id": rand.randrange(10**7), "name": prose(rand, 3), "colour": token(rand, 5),
                      "price": rand.random() * 100, "stock": rand.randrange(1000),
                      "description": prose(rand, 20), "tags": [token(rand, 5) for _ in range(3)]})
    return json.dumps({"order": rand.randrange(10**6), "items": items}, ensure_ascii=False)


def request(case, rand):
    path = f"/{token(rand, 8)}/{token(rand, 6)}"
    if case == "get":
        path += f"?category={token(rand, 7)}&q={urllib.parse.quote(prose(rand, 5))}&sort={token(rand, 8)}"
    head = [f"{'GET' if case == 'get' else 'POST'} {path} HTTP/1.1", "Host: shop.example.com",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/{rand.randrange(90, 140)}.0.{rand.randrange(9999)}.48 Safari/537.36",
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language: en-GB,en;q=0.7", "Accept-Encoding: gzip, deflate, br",
            f"Referer: https://shop.example.com/{token(rand, 9)}?page={rand.randrange(99)}",
            f"Cookie: sid={token(rand, 32)}; theme={token(rand, 4)}", "Upgrade-Insecure-Requests: 1"]
    body = b"" if case == "get" else body_of(case, rand).encode()
    if body:
        kind = "application/json" if case == "json" else "application/x-www-form-urlencoded"
        head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def lua(folder, case, count):
    """A script for wrk that sends requests of its own, one after the other."""
    rand = random.Random(case)
    path = os.path.join(folder, case)
    with open(path + ".dat", "wb") as out:
        for _ in range(count):
            text = request(case, rand)
            out.write(b"%d\n" % len(text) + text)
    with open(path + ".lua", "w", encoding="ascii") as out:
        out.write(f"""local all, at = {{}}, 0
function init() local f = io.open("{path}.dat", "rb")
  while true do local n = f:read("*n"); if not n then break end; f:read(1); all[#all + 1] = f:read(n) end end
function request() at = at % #all + 1; return all[at] end
""")
    return path + ".lua"


def cpu_of(pid):
    """Microseconds of a process and all below it."""
    ticks = 0
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        ticks += sum(int(n) for n in stat.read().rsplit(")", 1)[1].split()[11:13])
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
            ticks += sum(cpu_of(child) for child in children.read().split()) * os.sysconf("SC_CLK_TCK") / 1e6
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")


def wait(port):
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"port {port} does not answer")


def measure(port, pid, script, seconds):
    before = cpu_of(pid)
    said = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/"],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise SystemExit("not every request was answered:\n" + said)
    return (cpu_of(pid) - before) / int(re.search(r"(\d+) requests in", said).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)

        def start(command, port):
            servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait(port)
            return servers[-1].pid

        def nginx(name, port, what):
            path = os.path.join(folder, name + ".conf")
            with open(path, "w", encoding="ascii") as out:
                out.write(NGINX.format(dir=folder, name=name, port=port, what=what))
            return start(["nginx", "-c", path], port)

        path = os.path.join(folder, "sallyport.yaml")
        with open(path, "w", encoding="ascii") as out:
            out.write(GATEWAY % (OURS, folder, folder, BACKEND))
        try:
            nginx("backend", BACKEND, f'return 200 "{"hello " * 20}";')
            peers = [("nginx", PLAIN, nginx("plain", PLAIN, PROXY)),
                     ("sallyport", OURS, start([options.binary, "run", "-c", path], OURS))]
            held = True
            for case, bar in BARS.items():
                script, took = lua(folder, case, 4000 if case == "get" else 1500), {}
                for number in range(options.rounds):
                    for name, port, pid in peers[::1 if number % 2 else -1]:
                        took.setdefault(name, []).append(measure(port, pid, script, options.seconds))
                plain, ours = (statistics.median(took[name]) for name, _, _ in peers)
                ratio = statistics.median(b / a for a, b in zip(took["nginx"], took["sallyport"]))
                held = held and ratio <= bar
                print(f"{case}: nginx {plain:.1f} us, sallyport {ours:.1f} us: {ratio:.2f} x, bar {bar} x: "
                      f"{'holds' if ratio <= bar else 'falls short'} "
                      f"(least: {', '.join(f'{min(took[name]):.1f}' for name, _, _ in peers)})", flush=True)
        finally:
            for server in reversed(servers):
                server.terminate()
                server.wait()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
