#!/usr/bin/env python3
"""Bad logins: what they cost everybody else, and what they tell.

    SALLYPORT=build/release/sallyport tests/bench/logins.py flood|time

flood: one client (wrk) asks an open path, with and without a thousand wrong passwords a second from many addresses
beside it, in turns. Printed are median and 99th percentile of both. Bar: 1 ms between the latter.

time: sign-ins with wrong passwords of names that exist and of names that nobody has, in turns, each from an address of
its own, so that no count of failures tells them apart. Printed are the medians, and how often a difference as large
comes up by chance (permutations). Bar: less than 5 % between the medians, or a difference that chance explains.

The gateway, with its hash threads, has the last CPU; attackers and client share the first, and the client goes before
them, so that what they need themselves is not taken for a delay of the gateway's. The bars are for a quiet machine.
Exit code 1 when one is not held.
"""
import asyncio
import base64
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from harness import Sallyport, plain  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU, GATEWAY_CPU = CPUS[0], CPUS[-1]
FLOOD_PER_S, TURNS, TURN_S, BAR_MS, ATTACKERS = 1000, 4, 2, 1.0, 100
PAIRS, BAR_PART, BAR_CHANCE = 150, 0.05, 0.001


def hashes(count):
    """Names with sha512-crypt hashes: several milliseconds each, and one cost for all."""
    made = {}
    for i in range(count):
        done = subprocess.run(["openssl", "passwd", "-6", "-salt", f"salt{i}", f"right{i}"], check=True,
                              capture_output=True, text=True)
        made[f"user{i}"] = done.stdout.strip()
    return made


def gateway_for(users):
    return Sallyport(plain(None, {"workers": 1}, routes=[
        {"path": "/gate/**", "respond": {"status": 200, "body": "inside"}, "basic": {"users": users}},
        {"path": "/free/**", "respond": {"status": 200, "body": "served"}}]))


def ahead(priority):
    """On the CPU of those who ask, before whatever else it does."""
    os.sched_setaffinity(0, {LOAD_CPU})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        pass


def settle(gateway):
    """All threads of all its processes to their CPU; the loops before whatever else the machine does, as where there is
    nothing else. The threads that hash stay what they have made of themselves."""
    below, todo = set(), [gateway.process.pid]
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                parents.setdefault(int(stat.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
        except OSError:
            pass
    while todo:
        one = todo.pop()
        below.add(one)
        todo += parents.get(one, [])
    for one in below:
        for task in os.listdir(f"/proc/{one}/task"):
            os.sched_setaffinity(int(task), {GATEWAY_CPU})
        try:
            os.sched_setscheduler(one, os.SCHED_FIFO, os.sched_param(2))
        except PermissionError:
            pass


def connect(gateway, source):
    sock = socket.create_connection(gateway.address("http"), 10, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def answer(sock, buffer):
    """The status of one answer with a Content-Length."""
    while b"\r\n\r\n" not in buffer:
        buffer += sock.recv(65536)
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(rest) < length:
        rest += sock.recv(65536)
    buffer[:] = rest[length:]
    return int(head[9:12])


def login(name, password):
    word = base64.b64encode(f"{name}:{password}".encode()).decode()
    return f"GET /gate/x HTTP/1.1\r\nHost: test\r\nAuthorization: Basic {word}\r\n\r\n".encode()


# ---- flood -----------------------------------------------------------------------------------


async def attacker(port, per_s, until, seen, turn):
    """One connection after the other, each for some attempts, from ever other addresses, as in an attack."""
    while time.monotonic() < until:
        source = f"127.{random.randrange(1, 90)}.{random.randrange(256)}.{random.randrange(1, 250)}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        for _ in range(20):
            turn["next"] = max(turn["next"] + 1 / per_s, time.monotonic() - 0.05)
            await asyncio.sleep(max(0, turn["next"] - time.monotonic()))
            if time.monotonic() >= until:
                break
            writer.write(login(f"user{random.randrange(200)}", "wrong"))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            status = int(head[9:12])
            seen[status] = seen.get(status, 0) + 1
        writer.close()


async def attack(port, seconds):
    seen, turn, until = {}, {"next": time.monotonic()}, time.monotonic() + seconds
    await asyncio.gather(*(attacker(port, FLOOD_PER_S, until, seen, turn) for _ in range(ATTACKERS)))
    print(json.dumps(seen))


def others(gateway, seconds):
    """Median and 99th percentile, in ms, of one connection of wrk."""
    done = subprocess.run(["wrk", "-t1", "-c1", f"-d{seconds}", "--latency", "-H", "Host: test",
                           f"http://127.0.0.1:{gateway.address('http')[1]}/free/x"], check=True, capture_output=True, text=True,
                          preexec_fn=lambda: ahead(3))
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    found = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+[um]?s)$", done.stdout, re.M))
    return tuple(float(re.match(r"[\d.]+", found[part])[0]) * scale[re.search(r"[a-z]+", found[part])[0]]
                 for part in ("50", "99"))


def flood():
    quiet, loud, seen = [], [], {}
    with gateway_for(hashes(20)) as gateway:
        settle(gateway)
        others(gateway, 1)
        for _ in range(TURNS):
            quiet.append(others(gateway, TURN_S))
            beside = subprocess.Popen([sys.executable, __file__, "attack", str(gateway.address("http")[1]), str(TURN_S + 2)],
                                      stdout=subprocess.PIPE, text=True, preexec_fn=lambda: ahead(1))
            time.sleep(1)  # it starts
            loud.append(others(gateway, TURN_S))
            for status, count in json.loads(beside.communicate(timeout=60)[0]).items():
                seen[int(status)] = seen.get(int(status), 0) + count
    rate = sum(seen.values()) / (TURNS * (TURN_S + 2))
    # Of turns beside each other: what the machine does besides changes from one to the next.
    more = statistics.median(b[1] - a[1] for a, b in zip(quiet, loud))
    print(f"bad logins {rate:.0f}/s, answers {dict(sorted(seen.items()))}")
    for name, rows in (("quiet", quiet), ("flood", loud)):
        print(f"{name}: median {statistics.median(r[0] for r in rows):.2f} ms, "
              f"p99 {statistics.median(r[1] for r in rows):.2f} ms")
    print(f"p99 {more:+.2f} ms, bar {BAR_MS} ms")
    return more <= BAR_MS


# ---- time ------------------------------------------------------------------------------------


def one_time(gateway, number, name):
    with connect(gateway, f"127.{100 + number // 250 // 250}.{number // 250 % 250}.{1 + number % 250}") as sock:
        buffer = bytearray()
        sock.sendall(b"GET /free/x HTTP/1.1\r\nHost: test\r\n\r\n")
        answer(sock, buffer)
        began = time.perf_counter()
        sock.sendall(login(name, f"wrong{number}"))
        status = answer(sock, buffer)
        took = time.perf_counter() - began
        assert status == 401, status
        return took * 1e3


def timing():
    known, unknown = [], []
    with gateway_for(hashes(PAIRS)) as gateway:
        for i in range(PAIRS):
            order = [(known, f"user{i}", 2 * i), (unknown, f"nobody{i}", 2 * i + 1)]
            if random.random() < 0.5:
                order.reverse()
            for times, name, number in order:
                times.append(one_time(gateway, number, name))
    here, there = statistics.median(known), statistics.median(unknown)
    apart, both, larger = abs(here - there), known + unknown, 0
    for _ in range(2000):
        random.shuffle(both)
        larger += abs(statistics.median(both[:PAIRS]) - statistics.median(both[PAIRS:])) >= apart
    chance = larger / 2000
    print(f"wrong password {here:.3f} ms, nobody's name {there:.3f} ms: {apart / here:.1%} apart, by chance in "
          f"{chance:.1%} of cases")
    return apart / here < BAR_PART or chance > BAR_CHANCE


if __name__ == "__main__":
    ways = {"flood": flood, "time": timing}
    if sys.argv[1:2] == ["attack"]:
        asyncio.run(attack(int(sys.argv[2]), float(sys.argv[3])))
        sys.exit(0)
    if len(sys.argv) != 2 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    sys.exit(0 if ways[sys.argv[1]]() else 1)
