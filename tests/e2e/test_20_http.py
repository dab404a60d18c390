"""HTTP/1.1 that is right goes through, both ways, whatever the pieces it comes in."""
import contextlib
import hashlib
import json
import os
import socket
import threading
import time

import pytest

from harness import (Client, Sallyport, chunked, echo, eventually, plain, request, response, rss_bytes, says)

MIB = 1 << 20


def kernel_holds():
    """Bytes that the kernel may keep between two ends and a gateway that do not read."""
    most = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        with open("/proc/sys/net/ipv4/" + name) as file:
            most += int(file.read().split()[2])
    return 2 * most



@pytest.fixture(scope="module")
def gateway(origin):
    limits = {"body": "1GiB", "idle": "20s"}
    routes = [{"path": "/respond", "respond": {"status": 200, "body": "here", "type": "text/plain"}},
              {"path": "/empty", "respond": {"status": 204}},
              {"path": "/old", "redirect": {"to": "/new", "status": 301}}]
    with Sallyport(plain(origin, server={"limits": limits}, routes=routes)) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


# ---- requests ------------------------------------------------------------------------------------


def test_get_is_written_anew(gateway, origin):
    answer = gateway.ask(path="/a/b?x=1&y=%27", host="Shop.Example:8080", fields=["X-Own: 1", "accept: */*"])
    assert (answer.status, answer.body) == (200, b"origin")
    seen = origin.wait(1)[0].message
    assert seen.start == b"GET /a/b?x=1&y=%27 HTTP/1.1"
    assert seen.all("host") == ["shop.example:8080"]
    assert seen.get("x-own") == "1" and seen.get("accept") == "*/*"
    assert seen.get("x-forwarded-for") == "127.0.0.1" and seen.get("x-forwarded-proto") == "http"
    assert len(seen.get("x-request-id")) >= 16
    assert "connection" not in seen.names() or seen.get("connection") == "keep-alive"


def test_keep_alive_both_sides(gateway, origin):
    before = origin.connections
    with gateway.client() as client:
        for number in range(20):
            assert client.ask(path=f"/{number}").status == 200
    assert origin.count == 20
    assert origin.connections - before <= 1


def test_byte_by_byte(gateway, origin):
    body = b"name=value&more=1"
    with gateway.client() as client:
        client.trickle(request("POST", "/slow", fields=["X-A: b"], body=body))
        assert client.answer().status == 200
        coded = request("POST", "/slow2", fields=["Transfer-Encoding: chunked"]) + \
            chunked(b"name=", b"value", b"&more=1")
        client.trickle(coded)
        assert client.answer().status == 200
    first, second = origin.wait(2)
    assert first.body == second.body == body


def test_pipelining_keeps_order(gateway, origin):
    origin.default = echo
    try:
        bodies = [os.urandom(number * 37 % 3000) for number in range(30)]
        with gateway.client() as client:
            client.send(b"".join(request("POST", f"/p{i}", body=b) for i, b in enumerate(bodies)))
            for body in bodies:
                assert client.answer().body == body
    finally:
        origin.default = response(200, b"origin")


def test_pipelining_past_a_large_body(gateway, origin):
    origin.script(echo)
    body = os.urandom(3 * MIB)
    with gateway.client() as client:
        sender = threading.Thread(target=client.send, args=(request("PUT", "/big", body=body) + request(path="/next"),))
        sender.start()
        assert client.answer().body == body
        assert client.answer().body == b"origin"
        sender.join(5)
    assert [e.message.target for e in origin.wait(2)] == ["/big", "/next"]


def test_chunked_request_stays_whole(gateway, origin):
    pieces = [os.urandom(n) for n in (1, 70000, 2, 16384, 5)]
    data = request("POST", "/", fields=["Transfer-Encoding: chunked"]) + chunked(*pieces)
    with gateway.client() as client:
        assert client.send(data).answer().status == 200
    seen = origin.wait(1)[0]
    assert seen.body == b"".join(pieces)
    assert len(seen.message.all("content-length")) + len(seen.message.all("transfer-encoding")) == 1


def test_chunk_extensions_are_not_forwarded(gateway, origin):
    data = request("POST", "/", fields=["Transfer-Encoding: chunked"]) + b'3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n'
    with gateway.client() as client:
        assert client.send(data).answer().status == 200
    assert origin.wait(1)[0].body == b"abc"


def test_request_trailers(gateway, origin):
    data = request("POST", "/", fields=["Transfer-Encoding: chunked", "Trailer: X-Sum"]) + \
        chunked(b"abc", trailers=["X-Sum: 900150983cd24fb0"])
    with gateway.client() as client:
        assert client.send(data).answer().status == 200
        assert client.ask(path="/after").status == 200
    seen = origin.wait(2)[0]
    assert seen.body == b"abc"
    # Trailers may be dropped (RFC 9110 section 6.5.1); if they travel, then unchanged.
    assert seen.message.trailers in ([], [("X-Sum", "900150983cd24fb0")])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST", "PROPFIND"])
def test_methods(gateway, origin, method):
    assert gateway.ask(method, "/m", body=b"x=1").status == 200
    seen = origin.wait(1)[0]
    assert (seen.message.method, seen.body) == (method, b"x=1")


def test_options_of_the_server(gateway, origin):
    assert gateway.ask("OPTIONS", "*").status == 200
    assert origin.wait(1)[0].message.start == b"OPTIONS * HTTP/1.1"


def test_absolute_form(gateway, origin):
    assert gateway.ask(path="http://test/abs?q=1", host="test").status == 200
    seen = origin.wait(1)[0].message
    assert seen.start == b"GET /abs?q=1 HTTP/1.1" and seen.get("host") == "test"


# ---- Expect ---------------------------------------------------------------------------------------


def test_expect_continue(gateway, origin):
    interim = []
    with gateway.client() as client:
        client.send(b"POST /e HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"hello")
        assert client.answer(interim=interim).status == 200
        assert interim == []
    seen = origin.wait(1)[0]
    assert seen.body == b"hello" and "expect" not in seen.message.names()


def test_expect_without_waiting(gateway, origin):
    interim = []
    with gateway.client() as client:
        client.send(b"POST /e HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        assert client.answer(interim=interim).status == 200
        assert len(interim) <= 1
        assert client.ask().status == 200


def test_expect_and_refusal_without_body(gateway, origin):
    """The final answer comes without a 100, and the body that was not sent is not read as a request."""
    with gateway.client() as client:
        client.send(b"POST /respond HTTP/1.1\r\nHost: test\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"here")
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: x")
        client.reader.sock.settimeout(3)
        try:
            assert client.reader.sock.recv(1000) == b""
        except ConnectionError:
            pass
    assert origin.count == 0


# ---- answers --------------------------------------------------------------------------------------


def test_head_has_no_body(gateway, origin):
    origin.script(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"))
    with gateway.client() as client:
        answer = client.ask("HEAD", "/h")
        assert answer.status == 200 and answer.get("content-length") in ("1234", None)
        assert client.ask(path="/after").body == b"origin"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(gateway, origin, status):
    origin.script(says(b"HTTP/1.1 %d No\r\nETag: \"x\"\r\n\r\n" % status))
    with gateway.client() as client:
        answer = client.ask()
        assert answer.status == status and answer.get("etag") == '"x"'
        assert "transfer-encoding" not in answer.names()
        assert client.ask(path="/after").body == b"origin"


def test_not_modified_with_a_length(gateway, origin):
    origin.script(says(b"HTTP/1.1 304 No\r\nContent-Length: 500\r\n\r\n"))
    with gateway.client() as client:
        assert client.ask().status == 304
        assert client.ask(path="/after").body == b"origin"


def test_chunked_answer(gateway, origin):
    pieces = [os.urandom(n) for n in (1, 100000, 7)]
    origin.script(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces)))
    with gateway.client() as client:
        assert client.ask().body == b"".join(pieces)
        assert client.ask().body == b"origin"


def test_answer_trailers(gateway, origin):
    origin.script(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
                       chunked(b"abc", trailers=["X-Sum: 17"])))
    with gateway.client() as client:
        answer = client.ask()
        assert answer.body == b"abc" and answer.trailers in ([], [("X-Sum", "17")])


def test_answer_until_close(gateway, origin):
    body = os.urandom(200000)
    origin.script(says(b"HTTP/1.1 200 OK\r\n\r\n" + body, then_close=True))
    with gateway.client() as client:
        assert client.ask().body == body


def test_old_upstream(gateway, origin):
    origin.script(says(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", then_close=True))
    with gateway.client() as client:
        assert client.ask().body == b"old"
        assert client.ask().body == b"origin"


def test_old_client(gateway, origin):
    """A 1.0 client gets no chunks, and its end is the close."""
    origin.script(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"def")))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        answer = client.answer()
        assert answer.body == b"abcdef" and "transfer-encoding" not in answer.names()
        assert client.closed()


def test_old_client_that_keeps_alive(gateway, origin):
    with gateway.client() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n")
            answer = client.answer()
            assert answer.body == b"origin"
            if answer.get("connection", "close").lower() == "close":
                break


def test_close_is_kept(gateway):
    with gateway.client() as client:
        answer = client.ask(fields=["Connection: close"])
        assert answer.get("connection") == "close" and client.closed()


def test_hop_by_hop_of_the_answer(gateway, origin):
    origin.script(says(b"HTTP/1.1 200 OK\r\nConnection: X-Gone, keep-alive\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n"
                       b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n"))
    answer = gateway.ask()
    for name in ("x-gone", "keep-alive", "proxy-authenticate", "upgrade"):
        assert name not in answer.names()
    assert answer.get("x-kept") == "2"


def test_half_closed_client(gateway, origin):
    """A client that has ended its direction still gets its answer."""
    def slow(exchange):
        time.sleep(0.2)
        exchange.send(response(200, b"late"))
    origin.script(slow)
    with gateway.client() as client:
        client.send(request(path="/half"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"late"


# ---- local answers --------------------------------------------------------------------------------


def test_respond(gateway, origin):
    answer = gateway.ask(path="/respond")
    assert (answer.status, answer.body, answer.get("content-type")) == (200, b"here", "text/plain")
    assert origin.count == 0


def test_respond_without_content(gateway):
    with gateway.client() as client:
        assert client.ask(path="/empty").status == 204
        assert client.ask(path="/respond").body == b"here"


def test_respond_to_head(gateway):
    with gateway.client() as client:
        assert client.ask("HEAD", "/respond").status == 200
        assert client.ask(path="/respond").body == b"here"


def test_redirect(gateway):
    answer = gateway.ask(path="/old")
    assert answer.status == 301 and answer.get("location").endswith("/new")


def test_respond_drains_a_body(gateway):
    """An answer before the body has come: the rest is not read as a request."""
    with gateway.client() as client:
        client.send(request("POST", "/respond", body=b"x" * 100000))
        assert client.answer().body == b"here"


# ---- streams --------------------------------------------------------------------------------------


def test_large_download(gateway, origin):
    total, piece = 64 * MIB, os.urandom(MIB)
    want = hashlib.sha256(piece * (total // MIB)).hexdigest()

    def send(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // MIB):
            exchange.send(piece)
    origin.script(send)
    digest = hashlib.sha256()
    with gateway.client() as client:
        client.ask(sink=digest.update)
    assert digest.hexdigest() == want


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_large_upload(gateway, origin, coding):
    total, piece = 32 * MIB, os.urandom(MIB)
    want = hashlib.sha256(piece * (total // MIB)).hexdigest()

    def take(exchange):
        digest = hashlib.sha256()
        exchange.read_body(digest.update)
        exchange.send(response(200, digest.hexdigest().encode()))
    origin.script(take)
    with gateway.client(timeout=30) as client:
        if coding == "length":
            client.send(b"PUT /up HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % total)
            for _ in range(total // MIB):
                client.send(piece)
        else:
            client.send(request("PUT", "/up", fields=["Transfer-Encoding: chunked"]))
            for _ in range(total // MIB):
                client.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
            client.send(b"0\r\n\r\n")
        assert client.answer().body.decode() == want


def test_slow_reader_holds_no_memory(gateway, origin):
    """Back-pressure: what is for a client that reads nothing must stay at the origin."""
    total, piece, sent = kernel_holds() // MIB * MIB + 32 * MIB, bytes(256 * 1024), []

    def send(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // len(piece)):
            exchange.send(piece)
            sent.append(len(piece))
    origin.script(send)
    worker = gateway.one("worker")
    before = rss_bytes(worker)
    with gateway.client(rcvbuf=16384) as client:
        client.send(request(path="/slow"))
        eventually(lambda: sent, what="the origin began to send")
        count = -1
        while count != len(sent):
            count = len(sent)
            time.sleep(0.5)
        assert sum(sent) < total - 16 * MIB, "the gateway took all of it"
        assert rss_bytes(worker) - before < 4 * MIB
        assert len(client.answer().body) == total


def test_slow_origin_holds_no_memory(gateway, origin):
    """The same on the way up: an origin that does not read."""
    total, go = kernel_holds() + 32 * MIB, threading.Event()

    def take(exchange):
        go.wait(60)
        exchange.send(response(200, b"%d" % len(exchange.read_body())))
    origin.script(take)
    worker = gateway.one("worker")
    before, sent = rss_bytes(worker), 0
    with gateway.client(timeout=30) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % total)
        client.sock.settimeout(0.5)
        piece = bytes(64 * 1024)
        try:
            while sent < total:
                sent += client.sock.send(piece[:total - sent])
        except TimeoutError:
            pass
        assert sent < total - 16 * MIB
        assert rss_bytes(worker) - before < 4 * MIB
        go.set()
        client.sock.settimeout(30)
        while sent < total:
            sent += client.sock.send(piece[:total - sent])
        assert client.answer().body == b"%d" % total


def test_answer_streams(gateway, origin):
    """What upstream has sent is not held back until there is more."""
    go = threading.Event()

    def send(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"7\r\ndata: 1\r\n")
        go.wait(5)
        exchange.send(b"7\r\ndata: 2\r\n0\r\n\r\n")
    origin.script(send)
    with gateway.client() as client:
        client.send(request(path="/events"))
        client.head()
        assert client.reader.until(b"data: 1")
        go.set()
        assert client.reader.until(b"0\r\n\r\n")


def test_request_streams(gateway, origin):
    """A body of which nothing is inspected is not held back."""
    first = threading.Event()

    def take(exchange):
        exchange.reader.exactly(5)
        first.set()
        exchange.reader.exactly(5)
        exchange.send(response(200, b"both"))
    origin.script(take)
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nfirst")
        assert first.wait(5)
        assert client.send(b"other").answer().body == b"both"


def test_body_limit(origin):
    with Sallyport(plain(origin, server={"limits": {"body": "1KiB"}})) as gateway:
        assert gateway.ask("POST", body=b"x" * 1024).status == 200
        assert gateway.ask("POST", body=b"x" * 1025).status == 413
        with gateway.client() as client:
            client.send(request("POST", "/", fields=["Transfer-Encoding: chunked"]) + chunked(b"x" * 600, b"y" * 600))
            assert client.answer().status == 413
            assert client.closed()
    assert [e.body for e in origin.exchanges][:1] == [b"x" * 1024]


# ---- WebSocket ------------------------------------------------------------------------------------

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
SWITCH = (f"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n").encode()


def test_websocket_tunnel(gateway, origin):
    def tunnel(exchange):
        exchange.send(SWITCH)
        while data := exchange.reader.buffer or exchange.sock.recv(65536):
            exchange.reader.buffer = b""
            exchange.send(data[::-1])
        return False
    origin.script(tunnel)
    with gateway.client() as client:
        answer = client.ask(path="/ws", fields=UPGRADE)
        assert answer.status == 101 and answer.get("sec-websocket-accept") == ACCEPT
        assert client.send(b"\x81\x05hello").reader.exactly(7) == b"olleh\x05\x81"
        assert client.send(b"\x00\xff GET / HTTP/1.1\r\n\r\n").reader.exactly(21)[-2:] == b"\xff\x00"
    seen = origin.wait(1)[0].message
    assert seen.get("upgrade") == "websocket" and seen.get("connection").lower() == "upgrade"


def test_websocket_with_early_bytes(gateway, origin):
    """Bytes sent with the handshake reach upstream after its 101 only."""
    got = []

    def tunnel(exchange):
        exchange.sock.settimeout(0.3)
        try:
            got.append(exchange.reader.buffer or exchange.sock.recv(100))
        except TimeoutError:
            got.append(b"")
        exchange.sock.settimeout(5)
        exchange.reader.buffer = b""
        exchange.send(SWITCH)
        got.append(exchange.sock.recv(100))
        return False
    origin.script(tunnel)
    with gateway.client() as client:
        client.send(request(path="/ws", fields=UPGRADE) + b"early")
        assert client.answer().status == 101
        eventually(lambda: len(got) == 2)
    assert got == [b"", b"early"]


def test_websocket_refused_upstream(gateway, origin):
    """No tunnel without a 101: what follows is parsed as HTTP, or the connection is closed."""
    origin.script(says(response(426, b"no")))
    with gateway.client() as client:
        client.send(request(path="/ws", fields=UPGRADE) + b"GET /second HTTP/1.1\r\nHost: test\r\nX-Real-IP: 6\r\n\r\n")
        assert client.answer().status == 426
        try:
            assert client.answer().status == 200
            assert origin.wait(2)[1].message.all("x-real-ip") == ["127.0.0.1"]
        except Exception:
            assert origin.count == 1


@pytest.mark.parametrize("name,answer", [
    ("wrong accept", SWITCH.replace(ACCEPT.encode(), b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
    ("no accept", SWITCH.replace(b"Sec-WebSocket-Accept", b"X-Accept")),
    ("other protocol", SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c")),
])
def test_websocket_bad_switch(gateway, origin, name, answer):
    origin.script(says(answer + b"raw", then_close=True))
    with gateway.client() as client:
        assert client.ask(path="/ws", fields=UPGRADE).status == 502


# ---- addresses ------------------------------------------------------------------------------------


def test_trusted_proxies(origin):
    server = {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}
    with Sallyport(plain(origin, server=server)) as gateway:
        for field, value, client in [
            ("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
            ("X-Forwarded-For", "192.0.2.8", "192.0.2.8"),
            ("X-Forwarded-For", "192.0.2.9, garbage, 10.0.0.1", "10.0.0.1"),
            ("Forwarded", 'for=6.6.6.6, for="[2001:db8::9]:444";proto=https', "2001:db8::9"),
            ("X-Forwarded-For", '", 192.0.2.10', "192.0.2.10"),
        ]:
            origin.forget()
            assert gateway.ask(fields=[(field, value)]).status == 200
            seen = origin.wait(1)[0].message
            assert seen.get("x-real-ip") == client
            assert "6.6.6.6" not in seen.get("x-forwarded-for")
            assert seen.get("x-forwarded-proto") == ("https" if "proto=https" in value else "http")
            assert gateway.record_of(seen.get("x-request-id"))["client"]["ip"] == client
        # Who contradicts what the proxy wrote is not taken for the proxy.
        origin.forget()
        fields = [("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=10.1.1.1")]
        assert gateway.ask(fields=fields).status == 400
        assert not origin.exchanges


def test_proxy_protocol(origin):
    server = {"trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": True}
    with Sallyport(plain(origin, server=server)) as gateway:
        with gateway.client() as client:
            client.send(b"PROXY TCP4 192.0.2.77 127.0.0.1 4000 80\r\n" + request())
            assert client.answer().status == 200
        with gateway.client() as client:
            v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 78, 127, 0, 0, 1, 0, 9, 0, 80])
            client.trickle(v2 + request())
            assert client.answer().status == 200
        with gateway.client() as client:
            client.send(request())
            assert client.closed()
        told = eventually(gateway.refusals, what="a record of the connection without a PROXY head")
        assert [line["event"]["reason"] for line in told] == ["proxy-head"]
    assert [e.message.get("x-real-ip") for e in origin.wait(2)] == ["192.0.2.77", "192.0.2.78"]


def test_connect_is_asked_of_clients_beside_the_proxies(origin):
    """Who comes directly to a listener for PROXY heads is a client as any other."""
    config = plain(origin, server={"trusted_proxies": ["192.0.2.0/24"], "proxy_protocol": True})
    config["connect"] = {"deny": ["127.0.0.1"]}
    with Sallyport(config) as gateway:
        with contextlib.suppress(ConnectionError), gateway.client() as client:
            client.send(request())
            assert client.closed()
        told = eventually(gateway.refusals, what="a record of the refused connection")
        assert [line["event"]["reason"] for line in told] == ["address-denied"]
    assert not origin.exchanges
