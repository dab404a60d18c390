#!/usr/bin/env python3
"""What hostile requests cost everybody else, with the Core Rule Set in force.

    SALLYPORT=build/release/sallyport CRS=/usr/share/modsecurity-crs/rules tests/bench/adversarial.py [ROUNDS [SECONDS]]

One worker. A victim asks for a small page 200 times a second over one connection; in every second slice of time
attackers send 50 requests a second, each made to be as dear as it can: values of 128 KiB that regular expressions,
decoders, the SQL and the HTML reader like least, 100,000 arguments, deep JSON. Printed: the victim's 99th percentile
with and without them, and for each kind of request what was answered and the CPU time it took the worker.
"""
import base64
import json
import multiprocessing
import os
import random
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from harness import Origin, Sallyport, plain, response, says, statistics  # noqa: E402

CRS = os.environ.get("CRS", "/usr/share/modsecurity-crs/rules")
SIZE = 128 << 10
VICTIM_RATE, ATTACK_RATE = 200, 50
BAR_MS = 2.0


def form(text):
    return "application/x-www-form-urlencoded", b"q=" + text[:SIZE]


def repeated(text):
    return form(text * (SIZE // len(text) + 1))


def kinds():
    """(name, content type, body), each as costly as we know to make it."""
    dice = random.Random(7)
    words = b"select union from where table order update script it's O'Neill 50%25 a/b x=y e.g. (note) \"quoted\" ".split()
    prose = b"+".join(dice.choice(words) for _ in range(SIZE // 4))
    encoded = base64.b64encode(bytes(dice.randrange(256) for _ in range(SIZE)))
    deep = b'{"a":' * 64 + b"1" + b"}" * 64
    many = json.dumps({f"k{i}": f"v{i} it's" for i in range(6000)}).encode()[:-1] + b"}"
    rows = {
        "letters": repeated(b"a"), "spaces": repeated(b"%20"), "slashes": repeated(b"../"),
        "prose": form(prose), "base64": form(encoded.replace(b"+", b"%2B")), "percent": repeated(b"%25"),
        "quotes": repeated(b"'+or+"), "comments": repeated(b"/*!*/"), "dashes": repeated(b"--+-"),
        "tags": repeated(b"<a+b%3Dc+"), "script": repeated(b"<script"), "attributes": repeated(b"+on%3D"),
        "entities": repeated(b"%26%23x41"), "brackets": repeated(b"(("), "dollars": repeated(b"$(("),
        "carets": repeated(b"c^m\\d\""), "semicolons": repeated(b";%20ls"), "words": repeated(b"a1b2+"),
        "unions": repeated(b"union+all+"), "php": repeated(b"<?php+$a%3D"), "utf8": repeated(b"%C3%A9%E2%82%AC"),
        "newlines": repeated(b"%0D%0Aa:+"), "javascript": repeated(b"\\u0061\\x61"), "digits": repeated(b"1e1."),
        "backticks": repeated(b"`a`,"), "concat": repeated(b"concat(char("), "equals": repeated(b"a%3D"),
        "arguments": ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % i for i in range(100000))),
        "names": ("application/x-www-form-urlencoded", b"&".join(b"%dselect'=x" % i for i in range(9000))),
        "deep": ("application/json", deep), "members": ("application/json", many),
        "string": ("application/json", json.dumps({"q": prose.decode()[:SIZE]}).encode()),
    }
    return [(name, *row) for name, row in rows.items()]


def message(kind, content_type, body):
    return (b"POST /%s HTTP/1.1\r\nhost: bench.test\r\nuser-agent: Mozilla/5.0\r\naccept: */*\r\ncontent-type: %s\r\n"
            b"content-length: %d\r\n\r\n" % (kind.encode(), content_type.encode(), len(body))) + body


def answer(connection):
    """The status; reads one answer with a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if
                   line.startswith(b"content-length:")), 0)
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head[9:12])


def ask(address, text):
    with socket.create_connection(address) as connection:
        try:
            connection.sendall(text)
            return answer(connection)
        except OSError:
            return None


def attacker(address, first, seconds, texts):
    """Every 8th of the attacks, at its time: one that is late does not make the next one late."""
    began = time.monotonic()
    for i in range(first, int(seconds * ATTACK_RATE), 8):
        time.sleep(max(0.0, began + i / ATTACK_RATE - time.monotonic()))
        ask(address, texts[i % len(texts)])


def victim(address, seconds, pipe):
    """Latencies in ms, each from when the request was due."""
    text = b"GET /page?id=17&q=well-known HTTP/1.1\r\nhost: bench.test\r\nuser-agent: Mozilla/5.0\r\naccept: */*\r\n\r\n"
    took, began = [], time.monotonic()
    with socket.create_connection(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(int(seconds * VICTIM_RATE)):
            time.sleep(max(0.0, began + i / VICTIM_RATE - time.monotonic()))
            due = time.monotonic()
            connection.sendall(text)
            assert answer(connection) == 200
            took.append((time.monotonic() - due) * 1000)
    pipe.send(took)


def slice_of(address, seconds, texts):
    """The victim's latencies during one slice, with attackers where there are texts."""
    near, far = multiprocessing.Pipe()
    crowd = [multiprocessing.Process(target=victim, args=(address, seconds, far))]
    crowd += [multiprocessing.Process(target=attacker, args=(address, i, seconds, texts)) for i in range(8) if texts]
    for process in crowd:
        process.start()
    took = near.recv()
    for process in crowd:
        process.join()
    return took


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(gateway, rounds, seconds):
    worker, address, rows = gateway.one("worker"), gateway.address(), kinds()
    print(f"{'request':12s} {'status':>6s} {'worker ms':>9s}")
    for name, content_type, body in rows:
        before = statistics(worker)[2]
        statuses = {ask(address, message(name, content_type, body)) for _ in range(10)}
        cost = (statistics(worker)[2] - before) * 1000 / 10
        print(f"{name:12s} {'/'.join(map(str, statuses)):>6s} {cost:9.1f}", flush=True)
    texts = [message(*row) for row in rows]
    random.Random(5).shuffle(texts)
    idle, attacked = [], []
    for _ in range(rounds):
        idle += slice_of(address, seconds, [])
        attacked += slice_of(address, seconds, texts)
    for share in (0.5, 0.99, 0.999):
        print(f"p{share * 100:g}: {percentile(idle, share):.2f} ms alone, {percentile(attacked, share):.2f} ms "
              f"beside {ATTACK_RATE} attacks a second")
    added = percentile(attacked, 0.99) - percentile(idle, 0.99)
    print(f"added to the 99th percentile: {added:.2f} ms (bar {BAR_MS})")
    return 1 if added > BAR_MS else 0


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 4.0
    waf = {"mode": "detect", "ruleset": "crs", "crs": {"path": CRS}, "body_limit": "1MiB"}
    page = {"path": "/page", "respond": {"status": 200, "body": "here", "type": "text/plain"}}
    with Origin(says(response(200, b"there"))) as origin:
        config = plain(origin, server={"limits": {"body": "2MiB"}}, waf=waf, routes=[page])
        config["audit"]["record"] = ["blocked"]
        with Sallyport(config) as gateway:
            return measure(gateway, rounds, seconds)


if __name__ == "__main__":
    sys.exit(main())
