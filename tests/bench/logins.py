#!/usr/bin/env python3
"""Bad logins: what they cost everybody else, and what they tell.

    SALLYPORT=build/release/sallyport tests/bench/logins.py flood|time

flood: good requests of an open path, due at a fixed rate, with and without a thousand wrong passwords a second from ever
other addresses beside them, in turns; once with SHA-512-crypt and once with argon2id, as `sallyport users` makes it.
Printed are medians over the turns of their median and 99th percentile, and what a bad login takes of the worker. Bar: 1 ms
between the percentiles. A turn in which the hypervisor took CPUs away, or a quiet one that was slow by itself, is disturbed
and counts for nothing; with too few others nothing is said to hold. A minute and a half at most.

time: sign-ins with wrong passwords of names that exist and of names that nobody has, in turns, each from an address of
its own, so that no count of failures tells them apart. Printed are the medians, and how often a difference as large
comes up by chance (permutations). Bar: less than 5 % between the medians, or a difference that chance explains.

The gateway, with its hash threads, has the last CPU, its worker before its other processes; attackers and client share
the first, and the client goes before them, so that what they need themselves is not taken for a delay of the gateway's.
The bars are for a quiet machine. Exit code 0: held; 1: over a bar; 2: the machine was too disturbed to tell.
"""
import base64
import ctypes
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from harness import BINARY, Sallyport, plain  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
LOAD_CPU, GATEWAY_CPU = CPUS[0], CPUS[-1]
FLOOD_PER_S, ATTACKERS, ATTEMPTS, NAMES = 1000, 100, 20, 1000
GOOD_PER_S, TURN_S, TURNS, TURNS_MAX, BAR_MS = 2000, 1.5, 5, 12, 1.0
STOLEN_PART, SLOW_MS = 0.02, 1.0  # of the CPUs' time; the 99th percentile of a quiet turn
PAIRS, BAR_PART, BAR_CHANCE = 150, 0.05, 0.001


def hashes(count):
    """Names with sha512-crypt hashes: several milliseconds each, and one cost for all."""
    made = {}
    for i in range(count):
        done = subprocess.run(["openssl", "passwd", "-6", "-salt", f"salt{i}", f"right{i}"], check=True,
                              capture_output=True, text=True)
        made[f"user{i}"] = done.stdout.strip()
    return made


def argon2id(count):
    """By the library that the gateway has: 19 MiB, two passes."""
    sodium = ctypes.CDLL("libsodium.so.23")
    assert sodium.sodium_init() >= 0
    made = {}
    for i in range(count):
        text, word = ctypes.create_string_buffer(128), f"right{i}".encode()
        assert sodium.crypto_pwhash_argon2id_str(text, word, ctypes.c_ulonglong(len(word)), ctypes.c_ulonglong(2),
                                                 ctypes.c_size_t(19 << 20)) == 0
        made[f"user{i}"] = text.value.decode()
    return made


def gateway_for(users):
    return Sallyport(plain(None, {"workers": 1}, routes=[
        {"path": "/gate/**", "respond": {"status": 200, "body": "inside"}, "basic": {"users": users}},
        {"path": "/free/**", "respond": {"status": 200, "body": "served"}}]))


def ahead(pid, cpu, priority):
    """On this CPU, before whatever else it does, as where there is nothing else."""
    os.sched_setaffinity(pid, {cpu})
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        pass


def settle(gateway):
    """All threads of all its processes to their CPU. The threads that hash stay what they have made of themselves."""
    for row in gateway.tree():
        for task in os.listdir(f"/proc/{row.pid}/task"):
            os.sched_setaffinity(int(task), {GATEWAY_CPU})
        ahead(row.pid, GATEWAY_CPU, 2 if row.name == "worker" else 1)


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


def ask(gateway, priority, *arguments):
    return subprocess.Popen([os.path.join(os.path.dirname(BINARY), "asker"), str(gateway.address("http")[1]),
                             *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: ahead(0, LOAD_CPU, priority))


def attack(gateway, number):
    """Each turn from addresses of its own, for names of its own but the few that exist: so that the pool of hashes is
    what refuses them, and not what is remembered of those before."""
    names = [*(f"user{i}" for i in range(20)), *(f"guess{number}-{i}" for i in range(NAMES - 20))]
    words = [base64.b64encode(f"{name}:wrong".encode()).decode() for name in names]
    return ask(gateway, 1, "--rate", FLOOD_PER_S, "--connections", ATTACKERS, "--each", ATTEMPTS, "--spread", 60000,
               "--source", f"127.{10 + number}.0.1", *(f"/gate/x Authorization: Basic {word}" for word in words))


def end(process):
    process.terminate()
    return json.loads(process.communicate(timeout=20)[0])


def stolen():
    """Seconds that a hypervisor took."""
    with open("/proc/stat", encoding="ascii") as stat:
        return int(stat.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def worker_s(gateway):
    """Seconds of CPU of the loop, without the threads beside it."""
    pid = next(row.pid for row in gateway.tree() if row.name == "worker")
    with open(f"/proc/{pid}/task/{pid}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0]) / 1e9


def turn(gateway):
    """(told of good requests, part of the CPUs that was stolen, CPU of the worker)"""
    took, used, began = stolen(), worker_s(gateway), time.monotonic()
    good = ask(gateway, 3, "--rate", GOOD_PER_S, "--connections", 8, "/free/x")
    time.sleep(TURN_S)
    told = end(good)
    return told, (stolen() - took) / (time.monotonic() - began) / len(CPUS), worker_s(gateway) - used


def both_turns(gateway, number, seen):
    """(quiet p50 and p99, loud p50 and p99 in ms; us of the worker for a bad login; why it counts for nothing)"""
    quiet, took_quiet, used_quiet = turn(gateway)
    beside = attack(gateway, number)
    time.sleep(0.3)
    loud, took_loud, used_loud = turn(gateway)
    bad = end(beside)
    for status, count in bad["status"].items():
        seen[int(status)] = seen.get(int(status), 0) + count
    for what in ("seconds", "sent"):
        seen[what] = seen.get(what, 0) + bad[what]
    times = [told[part] / 1000 for told in (quiet, loud) for part in ("p50_us", "p99_us")]
    why = [f"{100 * took:.0f} % stolen" for took in (took_quiet, took_loud) if took > STOLEN_PART]
    why += [f"p99 {times[1]:.2f} ms without a flood"] if times[1] > SLOW_MS else []
    each = (used_loud - used_quiet) / TURN_S / FLOOD_PER_S * 1e6
    print(f"    p99 {times[1]:6.2f} ms, with the flood {times[3]:6.2f} ms"
          f"{'   disturbed: ' + ', '.join(why) if why else ''}", flush=True)
    return (*times, each, why)


def flood_of(kind, users):
    """True: held; False: over the bar; None: nobody can tell."""
    rows, seen = [], {}
    with gateway_for(users) as gateway:
        settle(gateway)
        turn(gateway)
        print(f"{kind}:", flush=True)
        while len(rows) < TURNS_MAX and sum(not row[5] for row in rows) < TURNS:
            settle(gateway)  # who was started meanwhile, too
            rows.append(both_turns(gateway, len(rows), seen))
    rate = seen.pop("sent") / seen.pop("seconds")
    peaceful = [row for row in rows if not row[5]]
    counted = peaceful if len(peaceful) >= TURNS else rows
    middle = [statistics.median(row[i] for row in counted) for i in range(5)]
    more = statistics.median(row[3] - row[1] for row in counted)  # of turns beside each other
    print(f"  bad logins {rate:.0f}/s, answers {dict(sorted(seen.items()))}, {middle[4]:.0f} us of the "
          f"worker each\n  quiet p50 {middle[0]:.2f} ms, p99 {middle[1]:.2f} ms; flood p50 {middle[2]:.2f} ms, p99 "
          f"{middle[3]:.2f} ms")
    held = more <= BAR_MS if len(peaceful) >= TURNS else None
    word = {True: "held", False: "OVER", None: f"not judged, only {len(peaceful)} of {len(rows)} turns were left in peace"}
    print(f"  p99 {more:+.2f} ms, bar {BAR_MS} ms: {word[held]}", flush=True)
    return held


def flood():
    verdicts = [flood_of("SHA-512-crypt", hashes(20)), flood_of("argon2id", argon2id(20))]
    return 1 if False in verdicts else 2 if None in verdicts else 0


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
    return 0 if apart / here < BAR_PART or chance > BAR_CHANCE else 1


if __name__ == "__main__":
    ways = {"flood": flood, "time": timing}
    if len(sys.argv) != 2 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    sys.exit(ways[sys.argv[1]]())
