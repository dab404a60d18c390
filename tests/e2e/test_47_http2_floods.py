"""Floods over HTTP/2: the connection is gone within a second, with the right code, a record and a counter; others
are served meanwhile, and memory stays where it was."""
import json
import threading
import time

import pytest

from harness import Origin, Sallyport, command, eventually, has_faults, plain, response, rss_bytes, silent, soon
from wire2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PADDED, PING,
                   PRIORITY, REFUSED_STREAM, SETTINGS, Client2, frame, head, literal, reset, settings, window)

RSS_GROWTH = (64 if has_faults() else 24) << 20  # a sanitizer keeps what was freed for a while


@pytest.fixture(scope="module")
def gateway(origin):
    with Sallyport(plain(origin, server={"limits": {"send_timeout": "1s"}})) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


class Victim:
    """Another client, that asks all the while."""

    def __init__(self, gateway):
        self.gateway, self.times, self.failed = gateway, [], []
        self.stopping, self.served = threading.Event(), threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.served.wait(20)  # a flood that is over before the first answer would prove nothing
        return self

    def _run(self):
        try:
            with Client2(self.gateway.address()) as client:
                while not self.stopping.is_set():
                    began = time.monotonic()
                    assert client.ask(path="/victim").status == 200
                    self.times.append(time.monotonic() - began)
                    self.served.set()
                    time.sleep(0.005)
        except Exception as error:  # noqa: BLE001 (told by the test)
            self.failed.append(repr(error))
            self.served.set()

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(20)
        assert not self.failed and self.times, self.failed
        assert max(self.times) < 1.0, max(self.times)


def flood(gateway, name, detail, pieces, codes=(ENHANCE_YOUR_CALM,), own=()):
    """Sends `pieces` until the gateway has had enough. It must say so within a second of having seen enough."""
    gateway.forget_records()
    worker = gateway.one("worker")
    before, counted = rss_bytes(worker), floods(gateway)[name]
    with Victim(gateway), Client2(gateway.address(), own=own) as client:
        client.answering = False
        sent, began = 0, time.monotonic()
        for piece in pieces(client):
            sent += 1
            if not client.try_send(piece):
                break
            client.sock.settimeout(0)
            try:
                while client.sock.recv(65536, 2):  # only a look
                    client.sock.settimeout(5)
                    client._fill()
                    client.sock.settimeout(0)
                    if client.over:
                        break
            except OSError:
                pass
            client.sock.settimeout(5)
            if client.over:
                break
            assert time.monotonic() - began < soon(20), f"{sent} pieces and no end"
        last = time.monotonic()
        client.until(lambda: client.over, soon(3))
        assert client.over and time.monotonic() - last < soon(1), f"not gone after {sent} pieces"
        # What was said may be lost with the connection when the flood went on; it is never another code.
        assert client.goaway is None or client.goaway in codes
        assert gateway.one("worker") == worker
    record = [r for r in eventually(lambda: [r for r in gateway.records()[gateway.seen:]
                                             if r["sallyport"].get("detail") == detail], what="the record")]
    assert len(record) == 1 and record[0]["sallyport"]["action"] == "refuse"
    assert eventually(lambda: floods(gateway)[name] == counted + 1, what="the counter")
    assert rss_bytes(worker) - before < RSS_GROWTH
    return sent


def floods(gateway):
    said = command("status", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
    return json.loads(said.stdout)["counters"]["h2_floods"]


def repeated(piece, times=40, batch=500):
    def pieces(_):
        for _ in range(times):
            yield piece * batch
    return pieces


def test_rapid_reset(gateway, origin):
    """CVE-2023-44487. None of what came and went in one go reaches upstream."""
    def pieces(client):
        for batch in range(200):
            yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, i, head()) + reset(i)
                           for i in range(1 + 200 * batch, 201 + 200 * batch, 2))
    flood(gateway, "rapid_reset", "h2-rapid-reset", pieces)
    assert sum(h.target != "/victim" for h in origin.heads) == 0


def test_rapid_reset_paced(gateway, origin):
    """Each request is on its way to upstream when it is taken back."""
    def pieces(client):
        for i in range(1, 4001, 2):
            yield frame(HEADERS, END_HEADERS | END_STREAM, i, head())
            if i > 20:
                yield reset(i - 20)
    flood(gateway, "rapid_reset", "h2-rapid-reset", pieces)
    assert sum(h.target != "/victim" for h in origin.heads) < 600


@pytest.mark.parametrize("provoke", ["zero", "overflow", "self", "after-end"])
def test_made_you_reset(gateway, origin, provoke):
    """CVE-2025-8671: the errors of the client make us reset, while upstream works."""
    how = {"zero": lambda i: window(i, 0),
           "overflow": lambda i: window(i, 0x7fffffff),
           "self": lambda i: b"",
           "after-end": lambda i: frame(DATA, 0, i, b"x")}[provoke]

    def pieces(client):
        for i in range(1, 4001, 2):
            yield frame(HEADERS, END_HEADERS | END_STREAM | (32 if provoke == "self" else 0), i,
                        (i.to_bytes(4, "big") + b"\x10" if provoke == "self" else b"") + head()) + how(i)
            client.until(lambda: client.answers[i].reset is not None, 2)
    if provoke != "overflow":  # connection errors for nghttp2: at once
        with Client2(gateway.address()) as client:
            client.send(next(iter(pieces(client))))
            client.connection_error(1, 5)
        return
    flood(gateway, "provoked_reset", "h2-provoked-reset", pieces)
    assert sum(h.target != "/victim" for h in origin.heads) < 600


def test_malformed_requests_count(gateway, origin):
    """Each is answered and reset: that has an end, too."""
    def pieces(client):
        for i in range(1, 4001, 2):
            yield frame(HEADERS, END_HEADERS | END_STREAM, i, head(fields=[("X", "1")]))
            client.until(lambda: client.answers[i].reset is not None, 2)
    flood(gateway, "provoked_reset", "h2-provoked-reset", pieces)


@pytest.mark.parametrize("size", [0, 1, 1000, 2000])
def test_continuation(gateway, size):
    """CVE-2024-27316."""
    def pieces(client):
        yield frame(HEADERS, END_STREAM, 1, head())
        for _ in range(200):
            yield frame(CONTINUATION, 0, 1, b"\0\x01x\x00" * (size // 4) if size > 1 else b"\0"[:size])
    flood(gateway, "continuation", "h2-continuation-flood", pieces)


def test_few_continuations_are_fine(gateway):
    with Client2(gateway.address()) as client:
        section = head(fields=[("x", "y" * 100)])
        cut = [section[at:at + 20] for at in range(0, len(section), 20)]
        cut = cut[:8] + [b"".join(cut[8:])]
        client.send(frame(HEADERS, END_STREAM, 1, cut[0]))
        for piece in cut[1:-1]:
            client.send(frame(CONTINUATION, 0, 1, piece))
        client.send(frame(CONTINUATION, END_HEADERS, 1, cut[-1]))
        assert client.answer(1).status == 200


def test_hpack_bomb(gateway):
    """4 KB once in the table, then one byte each."""
    def pieces(client):
        big = b"\x40" + literal("x-bomb", "y" * 3900)[1:]
        yield frame(HEADERS, END_HEADERS | END_STREAM, 1, head() + big + b"\xbe" * 12000)
    flood(gateway, "field_bomb", "h2-field-bomb", pieces)


def test_settings(gateway):
    flood(gateway, "settings", "h2-settings-flood", repeated(settings((4, 70000))))


def test_settings_acknowledged(gateway):
    flood(gateway, "settings", "h2-settings-flood", repeated(frame(SETTINGS, ACK)), (1, ENHANCE_YOUR_CALM))


def test_ping(gateway):
    flood(gateway, "ping", "h2-ping-flood", repeated(frame(PING, 0, 0, b"12345678")))


def test_empty_data(gateway, origin):
    def pieces(client):
        yield frame(HEADERS, END_HEADERS, 1, head("POST"))
        for _ in range(200):
            yield frame(DATA, 0, 1) * 50
    flood(gateway, "empty_data", "h2-data-flood", pieces)


def test_padding(gateway, origin):
    """One byte of data in 265."""
    def pieces(client):
        yield frame(HEADERS, END_HEADERS, 1, head("POST"))
        for _ in range(400):
            yield frame(DATA, PADDED, 1, b"\xff" + b"x" + b"\0" * 255)
    flood(gateway, "empty_data", "h2-data-flood", pieces, (3, ENHANCE_YOUR_CALM))


def test_priority(gateway):
    flood(gateway, "priority", "h2-priority-flood", repeated(frame(PRIORITY, 0, 1, b"\0\0\0\3\x10")))


def test_window_update(gateway):
    flood(gateway, "window_update", "h2-window-flood", repeated(window(0, 1)))


def test_unknown_frames(gateway):
    flood(gateway, "unknown_frame", "h2-unknown-flood", repeated(frame(0xbe, 0, 0, b"")))


def test_table_size_churn(gateway):
    """A field section of nothing but table size updates is no way to spend our time."""
    with Client2(gateway.address()) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, (b"\x3f\xe1\x1f" + b"\x20") * 4000 + head()))
        client.until(lambda: client.over or client.answers[1].fields or client.answers[1].reset, 3)


def test_zero_windows(gateway, origin):
    """Answers that nobody takes: bounded in memory, and cut when the time is up."""
    worker = gateway.one("worker")
    before = rss_bytes(worker)
    origin.default = response(200, b"x" * 256 * 1024)
    clients = [Client2(gateway.address(), own=[(4, 0)]) for _ in range(9)]
    try:
        for client in clients:
            client.send(*[frame(HEADERS, END_HEADERS | END_STREAM, i, head(path="/big")) for i in range(1, 201, 2)])
        eventually(lambda: origin.count >= 300, what="many at the origin")
        origin.default = response(200, b"origin")
        time.sleep(0.5)
        assert rss_bytes(worker) - before < (400 << 20 if has_faults() else 150 << 20)
        with Client2(gateway.address(), source="127.0.0.10") as other:
            assert other.ask().status == 200
        for client in clients:
            client.answering = False
            client.until(lambda: all(client.answers[i].reset is not None for i in range(1, 201, 2)), 10)
            assert all(client.answers[i].reset is not None for i in range(1, 201, 2))
    finally:
        origin.default = response(200, b"origin")
        for client in clients:
            client.sock.close()


def test_client_that_reads_nothing(gateway, origin):
    """Acknowledgements that nobody reads do not pile up."""
    worker = gateway.one("worker")
    before = rss_bytes(worker)
    with Victim(gateway), Client2(gateway.address(), rcvbuf=4096) as client:
        client.sock.settimeout(2)
        for _ in range(300):
            if not client.try_send(frame(PING, 0, 0, b"12345678") * 3):
                break
        time.sleep(0.2)
    assert rss_bytes(worker) - before < RSS_GROWTH


@pytest.mark.parametrize("count", [100])
def test_bodies_that_nobody_reads(gateway, origin, count):
    """Uploads to an upstream that does not take them: the windows hold."""
    origin.script(*[silent(5)] * 0)
    worker = gateway.one("worker")
    before = rss_bytes(worker)
    stop = threading.Event()

    def deaf(exchange):
        stop.wait(10)
        return False
    origin.default = deaf
    try:
        with Client2(gateway.address()) as client:
            for i in range(count):
                stream = client.open(method="POST", end=False)
                for _ in range(20):
                    if client.theirs.get(4, 65535) + client.windows[stream] - client.sent[stream] >= 16384 and \
                            65535 + client.windows[0] - client.sent[0] >= 16384:
                        client.send(frame(DATA, 0, stream, b"x" * 16384))
                        client.sent[0] += 16384
                        client.sent[stream] += 16384
                client.until(lambda: False, 0.01)
            assert client.sent[0] < 24 << 20
        assert rss_bytes(worker) - before < 2 * RSS_GROWTH
    finally:
        stop.set()
        origin.default = response(200, b"origin")


def test_who_floods_again_and_again_is_not_let_in(origin):
    """The 33rd time in a row; others are, and the record says why."""
    with Sallyport(plain(origin)) as gateway:
        begun = 0
        try:
            for begun in range(60):
                with Client2(gateway.address(), source="127.0.0.8") as client:
                    client.answering = False
                    client.try_send(frame(SETTINGS, ACK) * 200)
                    client.until(lambda: client.over, soon(20))
        except OSError:
            pass
        assert 32 <= begun < 60
        with Client2(gateway.address(), source="127.0.0.10") as other:
            assert other.ask().status == 200
        refused = eventually(lambda: [r for r in gateway.refusals() if r["event"]["reason"] == "floods"], what="records")
        assert refused[0]["source"]["ip"] == "127.0.0.8"


# ---- what one address may take of the whole ------------------------------------------------------


@pytest.fixture(scope="module")
def small(origin):
    """A worker of 120 streams and 64 KiB of held bodies, of which one client has a part."""
    limits = {"connections": 60, "conns_per_ip": 0, "h2_streams": 20, "held": "64KiB", "client_share": 25}
    with Sallyport(plain(origin, server={"limits": limits})) as gateway:
        yield gateway


def test_streams_that_wait_share_what_one_client_may_have(small, origin):
    """Many connections with streams that wait for upstream: who else comes is served."""
    origin.default = silent(30)
    clients = [Client2(small.address(), source="127.0.0.9") for _ in range(6)]
    try:
        for client in clients:
            client.send(*[frame(HEADERS, END_HEADERS | END_STREAM, i, head(path="/wait")) for i in range(1, 41, 2)])
            assert client.ping() and client.ping()  # what is answered first overtakes the rest
        refused = [a.reset for c in clients for a in c.answers.values() if a.reset is not None]
        assert set(refused) == {REFUSED_STREAM} and len(refused) == 90  # of 120; a quarter is 30
        origin.default = response(200, b"origin")
        with Client2(small.address(), source="127.0.0.10") as other:
            for _ in range(5):
                assert other.ask(path="/victim").status == 200
    finally:
        origin.default = response(200, b"origin")
        for client in clients:
            client.sock.close()
    with Client2(small.address(), source="127.0.0.9") as again:  # and what it gave back it has again
        eventually(lambda: again.answer(again.open()).status == 200, what="its own streams again")


def test_answers_that_wait_share_what_one_client_may_have(small, origin):
    """Answers that nobody takes, on many connections: the memory that they wait in is not all there is."""
    worker = small.one("worker")
    before = rss_bytes(worker)
    origin.default = response(200, b"x" * 1024 * 1024)
    clients = [Client2(small.address(), own=[(4, 0)], source="127.0.0.9") for _ in range(12)]
    try:
        for client in clients:
            client.answering = False
            client.send(*[frame(HEADERS, END_HEADERS | END_STREAM, i, head(path="/big")) for i in range(1, 41, 2)])
        for client in clients:
            assert client.ping(soon(5))
        origin.default = response(200, b"origin")
        with Client2(small.address(), source="127.0.0.10") as other:
            for _ in range(5):
                assert other.ask(path="/victim", fields=[("x-long", "y" * 12000)]).status == 200
        assert rss_bytes(worker) - before < (128 << 20 if has_faults() else 32 << 20)
    finally:
        origin.default = response(200, b"origin")
        for client in clients:
            client.sock.close()
