"""HTTP/2 towards clients: the same requests, stages and records as over HTTP/1."""
import base64
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest

from harness import Origin, Sallyport, eventually, merge, plain, response, soon
from wire2 import (CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, PREFACE, PROTOCOL_ERROR, Client2, frame,
                   head, literal, reset, settings, window)


def context(*alpn):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(list(alpn) or ["h2"])
    return made


@pytest.fixture(scope="module")
def gateway(origin, authority):
    config = plain(origin, server={"listen": {"https": "127.0.0.1:0"},
                                   "limits": {"body": "1MiB", "response_buffer": "64KiB"}})
    site = config["sites"].pop()
    for name in ("a.test", "b.test"):
        pair = authority.issue("h2-" + name, name)
        config["sites"].append(merge(site, {"host": name, "tls": {"cert": pair.cert, "key": pair.key}}))
    both = authority.issue("h2-both", "c.test", "d.test")
    for name in ("c.test", "d.test"):
        config["sites"].append(merge(site, {"host": name, "tls": {"cert": both.cert, "key": both.key}}))
    config["sites"].append(merge(site, {"host": "test", "routes": [
        {"path": "/denied/**", "respond": {"status": 403, "body": "no\n"}}]}))
    config["server"]["unknown_host"] = "404"
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


@pytest.fixture
def client(gateway):
    with Client2(gateway.address()) as client:
        yield client


def test_request_and_record(gateway, origin, client):
    gateway.forget_records()
    answer = client.ask("GET", "/a%20b?x=1&y", fields=[("user-agent", "two"), ("x-one", "1")])
    assert answer.status == 200 and answer.body == b"origin" and answer.get("content-length") == "6"
    seen = origin.wait(1)[0].message
    assert seen.start == b"GET /a%20b?x=1&y HTTP/1.1" and seen.get("host") == "test"
    assert seen.get("x-one") == "1" and seen.get("user-agent") == "two"
    assert seen.get("x-forwarded-proto") == "http"
    record = gateway.new_records()[0]
    assert record["http"]["version"] == "2" and record["http"]["response"]["status_code"] == 200


def test_no_field_of_the_connection_is_answered(origin, client):
    origin.script(response(200, b"x", [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5"),
                                       ("X-Mixed-Case", "Yes")]))
    answer = client.ask()
    names = [n for n, _ in answer.fields]
    assert not {"connection", "keep-alive", "x-hop", "transfer-encoding"} & set(names)
    assert answer.get("x-mixed-case") == "Yes" and all(n == n.lower() for n in names)


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 65535, 65536, 300000])
def test_bodies_both_ways(origin, client, size):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    origin.script(lambda x: x.send(response(200, x.read_body())))
    answer = client.ask("POST", fields=[("content-length", str(size))], body=body)
    assert answer.body == body


def test_body_without_length_goes_on_in_chunks(origin, client):
    origin.script(lambda x: x.send(response(200, x.read_body())))
    answer = client.ask("POST", body=b"abc" * 1000)
    assert answer.body == b"abc" * 1000
    assert origin.wait(1)[0].message.get("transfer-encoding") == "chunked"


def test_chunked_answer_and_trailers(origin, client):
    origin.script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
    answer = client.ask()
    assert answer.body == b"abcde" and dict(answer.trailers) == {"x-sum": "5"}


def test_request_trailers(origin, client):
    stream = client.open(method="POST", end=False)
    client.send(frame(DATA, 0, stream, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, stream, literal("x-sum", "3")))
    origin.script(lambda x: x.send(response(200, x.read_body())))
    assert client.answer(stream).status == 200
    assert origin.wait(1)[0].message.trailers == [("x-sum", "3")]


def test_head_and_204_and_304(origin, client):
    origin.script(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n",
                  b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
    answer = client.ask("HEAD")
    assert answer.get("content-length") == "1000" and answer.body == b""
    assert client.ask().status == 204 and client.ask().status == 304


def test_expect_continue(origin, client):
    origin.script(lambda x: x.send(response(200, x.read_body())))
    stream = client.open(method="POST", end=False, fields=[("expect", "100-continue"), ("content-length", "3")])
    answer = client.answers[stream]
    assert client.until(lambda: answer.interim == [100])
    client.send(frame(DATA, END_STREAM, stream, b"abc"))
    assert client.answer(stream).body == b"abc"


def test_cookie_crumbs_are_joined(origin, client):
    client.ask(fields=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")])
    seen = origin.wait(1)[0].message
    assert seen.all("cookie") == ["a=1; b=2; c=3"]


def test_host_alone_and_beside_authority(origin, client):
    section = head(drop=[":authority"], fields=[("host", "test")])
    assert client.answer(client.open(section)).status == 200
    assert client.answer(client.open(head(fields=[("host", "TEST:80")]))).status == 200
    refused = client.open(head(fields=[("host", "other")]))
    assert client.answer(refused).status == 400
    client.stream_error(refused, PROTOCOL_ERROR)
    assert origin.count == 2 and all(h.get("host") == "test" for h in (x.message for x in origin.wait(2)))


def test_many_streams_at_once(origin, client):
    gate = threading.Event()

    def late(exchange):
        gate.wait(10)
        exchange.send(response(200, exchange.message.target.encode()))
    origin.script(*[late] * 50)
    streams = [client.open(path=f"/{i}") for i in range(50)]
    origin_saw = eventually(lambda: origin.count >= 50, what="all at the origin")
    gate.set()
    assert origin_saw and [client.answer(s).body for s in streams] == [b"/%d" % i for i in range(50)]


def test_answer_waits_for_windows_of_the_client(gateway, origin):
    """Nothing beyond the windows is sent, little is taken from upstream, and others are not held up."""
    sent = []

    def endless(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        exchange.sock.settimeout(3)
        try:
            while sum(sent) < 50000000:
                sent.append(exchange.sock.send(b"x" * 65536))
        except OSError:
            pass
    with Client2(gateway.address(), own=[(4, 1000)]) as client:
        client.answering = False
        origin.script(endless)
        stream = client.open()
        assert client.until(lambda: len(client.answers[stream].body) == 1000)
        assert client.ask(path="/other").status == 200
        assert not client.until(lambda: len(client.answers[stream].body) > 1000, 0.5)
        client.send(window(stream, 500))
        assert client.until(lambda: len(client.answers[stream].body) == 1500)
        client.send(reset(stream))
        assert client.ping()
    assert sum(sent) < 20 << 20


def test_upload_window_opens_as_upstream_takes(origin, client):
    gate = threading.Event()

    def slow(exchange):
        gate.wait(10)
        exchange.send(response(200, b"%d" % len(exchange.read_body())))
    origin.script(slow)
    stream = client.open(method="POST", end=False, fields=[("content-length", "1000000")])
    client.send_body(stream, b"x" * 65000, end=False)
    gate.set()
    client.send_body(stream, b"y" * (1000000 - 65000))
    assert client.answer(stream).body == b"1000000"


def test_body_limit(client):
    stream = client.open(method="POST", end=False, fields=[("content-length", str(2 << 20))])
    answer = client.answer(stream)
    assert answer.status == 413
    client.stream_error(stream, NO_ERROR)
    assert client.ping()


def test_early_answer_stops_the_upload(client):
    stream = client.open(method="POST", path="/denied/x", end=False)
    client.send(frame(DATA, 0, stream, b"x" * 1000))
    assert client.answer(stream).status == 403
    client.stream_error(stream, NO_ERROR)
    assert client.ping()


def test_cut_answer_is_seen(origin, client):
    def short(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        exchange.sock.close()
    origin.script(short)
    stream = client.open()
    answer = client.answer(stream)
    assert answer.reset not in (None, NO_ERROR) and not answer.ended
    assert client.ping()


def test_client_that_resets_frees_upstream(gateway, origin, client):
    gone = threading.Event()

    def waits(exchange):
        exchange.sock.settimeout(10)
        try:
            if not exchange.sock.recv(1):
                gone.set()
        except OSError:
            gone.set()
    origin.script(waits)
    gateway.forget_records()
    stream = client.open()
    eventually(lambda: origin.count == 1)
    client.send(reset(stream))
    assert gone.wait(10)
    assert gateway.new_records()[0]["sallyport"]["cut"] == "client-gone"


def test_request_taken_back_at_once_never_reaches_upstream(origin, client):
    batch = b""
    for i in range(50):
        batch += frame(HEADERS, END_HEADERS | END_STREAM, client.next + 2 * i, head()) + reset(client.next + 2 * i)
    client.next += 100
    client.send(batch)
    assert client.ping() and client.ask().status == 200 and origin.count == 1


# ---- what is refused, and cannot be smuggled -----------------------------------------------------

REFUSED = {
    "space in a name": [("a b", "1")],
    "colon in a name": [("a:b", "1")],
    "CR LF in a name": [("a\r\nx", "1")],
    "empty name": [("", "1")],
    "upper case": [("X-Up", "1")],
    "CR LF in a value": [("x", "1\r\ny: 2")],
    "LF in a value": [("x", "1\ny: 2")],
    "CR in a value": [("x", "1\ry")],
    "NUL in a value": [("x", "1\0")],
    "space before": [("x", " 1")],
    "space behind": [("x", "1 ")],
    "tab behind": [("x", "1\t")],
    "connection": [("connection", "close")],
    "keep-alive": [("keep-alive", "5")],
    "proxy-connection": [("proxy-connection", "close")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "upgrade": [("upgrade", "websocket")],
    "te": [("te", "gzip")],
    "te, trailers and more": [("te", "trailers, deflate")],
    "content-length that does not fit": [("content-length", "5")],
    "two content-lengths": [("content-length", "0"), ("content-length", "0")],
    "content-length of signs": [("content-length", "+0")],
    "two hosts": [("host", "test"), ("host", "test")],
    "pseudo-field behind": [("x", "1"), (":path", "/")],
    "unknown pseudo-field": [(":status", "200")],
    "pseudo-field of an extension": [(":protocol", "websocket")],
    "repeated pseudo-field": [(":method", "GET")],
}


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_fields(gateway, origin, client, name):
    gateway.forget_records()
    stream = client.open(head(fields=REFUSED[name]))
    client.stream_error(stream, PROTOCOL_ERROR)
    assert client.answers[stream].status == 400
    record = gateway.new_records()[0]
    assert record["sallyport"]["action"] == "refuse" and record["http"]["version"] == "2"
    assert origin.count == 0 and client.ping()


PSEUDO = {
    "CR LF in the path": dict(path="/ HTTP/1.1\r\nx: y"),
    "space in the path": dict(path="/a b"),
    "absolute path": dict(path="http://other/"),
    "path without a slash": dict(path="x"),
    "star for GET": dict(path="*"),
    "fragment": dict(path="/a#b"),
    "empty path": dict(path=""),
    "no path": dict(drop=[":path"]),
    "space in the method": dict(method="GET /x"),
    "CR LF in the method": dict(method="GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"),
    "empty method": dict(method=""),
    "no method": dict(drop=[":method"]),
    "no scheme": dict(drop=[":scheme"]),
    "another scheme": dict(scheme="ftp"),
    "user in the authority": dict(authority="u@test"),
    "CR LF in the authority": dict(authority="test\r\nx: y"),
    "no host at all": dict(drop=[":authority"]),
    "empty authority": dict(authority=""),
}


@pytest.mark.parametrize("name", PSEUDO)
def test_malformed_pseudo_fields(origin, client, name):
    stream = client.open(head(**PSEUDO[name]))
    client.stream_error(stream, PROTOCOL_ERROR)
    assert client.answers[stream].status == 400 and origin.count == 0 and client.ping()


def test_refused_as_over_http1(origin, client):
    assert client.answer(client.open(head("CONNECT", drop=[":path", ":scheme"], authority="x:1"))).status == 405
    assert client.ask("TRACE").status == 405
    assert client.ask(path="/" + "x" * 9000).status == 414
    assert client.ask(fields=[("x", "y" * 15500)]).status == 431
    assert client.ask(fields=[(f"x-{i}", "y") for i in range(100)]).status == 431  # Host counts
    assert client.ask(path="/%2e%2e/%2e%2e/x").status == 400
    assert client.ask(fields=[("expect", "200-ok")]).status == 417
    assert origin.count == 0 and client.ask(fields=[(f"x-{i}", "y") for i in range(99)]).status == 200


def test_te_trailers_is_fine(origin, client):
    assert client.ask(fields=[("te", "trailers")]).status == 200
    assert origin.wait(1)[0].message.get("te") is None


@pytest.mark.parametrize("said, sent", [(5, 4), (5, 6), (0, 1)])
def test_content_length_must_be_what_comes(gateway, origin, client, said, sent):
    stream = client.open(method="POST", end=False, fields=[("content-length", str(said))])
    client.send(frame(DATA, END_STREAM, stream, b"x" * sent))
    # To an empty request the answer may be there first.
    client.stream_error(stream, PROTOCOL_ERROR, *([] if said else [NO_ERROR]))
    assert client.ping()
    for exchange in origin.exchanges:  # it never saw a whole body
        assert said == 0 or exchange.body != b"x" * said


@pytest.mark.parametrize("trailer", [(":path", "/"), ("host", "x"), ("content-length", "3"), ("Upper", "1"),
                                     ("transfer-encoding", "chunked"), ("x", "a\r\nb")])
def test_malformed_trailers(origin, client, trailer):
    stream = client.open(method="POST", end=False)
    client.send(frame(DATA, 0, stream, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, stream, literal(*trailer)))
    client.stream_error(stream, PROTOCOL_ERROR, 2)
    assert client.ping()


def test_no_upgrade_to_h2c(gateway, origin):
    """RFC 9113 section 3.1: that way is gone, and the fields do not travel."""
    with gateway.client() as client:
        answer = client.ask(fields=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                                    ("HTTP2-Settings", "AAMAAABkAAQAAP__")])
        assert answer.status == 200
    seen = origin.wait(1)[0].message
    assert not {"upgrade", "http2-settings", "connection"} & set(seen.names())


# ---- how it is chosen ----------------------------------------------------------------------------

def test_alpn(gateway, origin):
    with Client2(gateway.address("https"), tls=context("h2", "http/1.1"), name="a.test") as client:
        assert client.sock.selected_alpn_protocol() == "h2"
        assert client.ask(authority="a.test").status == 200
        assert client.ask("POST", authority="a.test", body=b"x" * 200000).status == 200
    assert origin.wait(1)[0].message.get("x-forwarded-proto") == "https"
    with gateway.tls_client(context("http/1.1"), "a.test") as client:
        assert client.ask(host="a.test").status == 200


def test_scheme_of_tls(gateway):
    with Client2(gateway.address("https"), tls=context(), name="a.test") as client:
        stream = client.open(head(authority="a.test", scheme="http"))
        client.stream_error(stream, PROTOCOL_ERROR)


def test_connections_are_shared_only_by_one_certificate(gateway, origin):
    with Client2(gateway.address("https"), tls=context(), name="a.test") as client:
        assert client.ask(authority="a.test").status == 200
        assert client.ask(authority="b.test").status == 421
        assert client.ask(authority="test").status == 421
        assert client.ask(authority="a.test").status == 200
    with Client2(gateway.address("https"), tls=context(), name="c.test") as client:
        assert client.ask(authority="c.test").status == 200
        assert client.ask(authority="d.test").status == 200


@pytest.mark.parametrize("step", [1, 5, 23])
def test_preface_in_pieces(gateway, step):
    with Client2(gateway.address(), greet=False) as client:
        hello = PREFACE + settings()
        for at in range(0, len(hello), step):
            client.send(hello[at:at + step])
            time.sleep(0.002)
        assert client.until(lambda: client.acks) and client.ask().status == 200


def test_nearly_a_preface_is_http1(gateway):
    for start in (b"PRI * HTTP/1.1\r\nHost: test\r\n\r\n", b"PRI / HTTP/2.0\r\n\r\n", b"PR / HTTP/1.1\r\nHost: x\r\n\r\n"):
        with gateway.client() as client:
            client.send(start)
            assert client.head().start.startswith(b"HTTP/1.1 ")


def test_off(origin, authority):
    pair = authority.issue("h2-off", "test")
    config = plain(origin, server={"listen": {"https": "127.0.0.1:0"}, "http2": "off"},
                   tls={"cert": pair.cert, "key": pair.key})
    with Sallyport(config) as gateway:
        with gateway.client() as client:
            client.send(PREFACE)
            assert client.head().start.startswith(b"HTTP/1.1 505")
        with gateway.tls_client(context("h2", "http/1.1")) as client:
            assert client.sock.selected_alpn_protocol() == "http/1.1"


# ---- clients of others ---------------------------------------------------------------------------

def test_python_h2(gateway, origin):
    """A strict client: it raises at whatever we do wrong."""
    origin.script(lambda x: x.send(response(200, x.read_body(), [("X-A", "b"), ("Set-Cookie", "s=1; Path=/")])))
    sock = socket.create_connection(gateway.address())
    sock.settimeout(10)
    h = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    h.initiate_connection()
    h.send_headers(1, [(":method", "POST"), (":path", "/x"), (":scheme", "http"), (":authority", "test")])
    body, data, done, fields = b"0123456789" * 3000, b"", False, {}
    for at in range(0, len(body), 10000):
        h.send_data(1, body[at:at + 10000], end_stream=at + 10000 >= len(body))
    sock.sendall(h.data_to_send())
    while not done:
        for event in h.receive_data(sock.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
            if isinstance(event, h2.events.DataReceived):
                data += event.data
                h.acknowledge_received_data(event.flow_controlled_length, 1)
            done |= isinstance(event, h2.events.StreamEnded)
        sock.sendall(h.data_to_send())
    assert data == body and fields[":status"] == "200" and fields["set-cookie"] == "s=1; Path=/"
    sock.close()


@pytest.mark.skipif(b"HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True).stdout,
                    reason="curl without HTTP/2")
def test_curl(gateway, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"x" * 500000)
    for url, more in ((f"http://127.0.0.1:{gateway.ports['http'][0]}/", ["--http2-prior-knowledge", "-H", "Host: test"]),
                      (f"https://a.test:{gateway.ports['https'][0]}/",
                       ["--http2", "-k", "--connect-to", f"a.test::127.0.0.1:{gateway.ports['https'][0]}"])):
        for upload in ([], ["--data-binary", f"@{big}"]):
            got = subprocess.run(["curl", "-sS", *more, *upload, "--max-time", "20", "-w", "%{http_version} %{http_code}",
                                  url], capture_output=True, text=True)
            assert got.stdout == "origin2 200", got


@pytest.mark.skipif(not shutil.which("h2load"), reason="no h2load")
def test_h2load(gateway):
    got = subprocess.run(["h2load", "-n", "1000", "-c", "8", "-m", "16", "-H", ":authority: test",
                          f"http://127.0.0.1:{gateway.ports['http'][0]}/"], capture_output=True, text=True, timeout=60)
    assert "1000 succeeded, 0 failed, 0 errored" in got.stdout, got.stdout
    assert "status codes: 1000 2xx" in got.stdout


# ---- deadlines, reload, limits -------------------------------------------------------------------

@pytest.fixture(scope="module")
def hasty(origin):
    limits = {"header_timeout": "400ms", "body_timeout": "400ms", "send_timeout": "600ms", "idle": "500ms",
              "response_buffer": "64KiB", "h2_streams": 4}
    with Sallyport(plain(origin, server={"limits": limits, "drain_timeout": "10s"})) as gateway:
        yield gateway


def gone_within(client, seconds):
    began = time.monotonic()
    client.until(lambda: client.over, soon(seconds) + 5)
    assert client.over and time.monotonic() - began < soon(seconds), (client.over, time.monotonic() - began)


def test_idle(hasty):
    with Client2(hasty.address()) as client:
        assert client.ask().status == 200
        gone_within(client, 3)
        assert client.goaway == NO_ERROR


def test_pings_do_not_keep_it(hasty):
    with Client2(hasty.address()) as client:
        end = time.monotonic() + 5
        while not client.over and time.monotonic() < end:
            client.try_send(frame(6, 0, 0, b"stay....."[:8]))
            client.until(lambda: client.over, 0.1)
        assert client.over


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE, PREFACE + settings()[:5]])
def test_slow_start(hasty, said):
    with Client2(hasty.address(), greet=False) as client:
        client.send(said)
        gone_within(client, 3)


def test_slow_section(hasty):
    hasty.forget_records()
    with Client2(hasty.address()) as client:
        client.send(frame(HEADERS, END_STREAM, 1, head()))  # and no CONTINUATION
        gone_within(client, 3)
    assert hasty.new_records()[0]["sallyport"]["reason"] == "slow-head"


def test_slow_body(hasty, origin):
    with Client2(hasty.address()) as client:
        stream = client.open(method="POST", end=False, fields=[("content-length", "100000")])
        client.send(frame(DATA, 0, stream, b"x"))
        answer = client.answer(stream, 3)
        assert answer.status == 408
        assert client.ask().status == 200


def test_zero_window_is_not_waited_for(hasty, origin):
    hasty.forget_records()
    origin.script(response(200, b"x" * 300000))
    with Client2(hasty.address(), own=[(4, 0)]) as client:
        stream = client.open()
        client.stream_error(stream, CANCEL, seconds=5)
    assert hasty.new_records()[0]["sallyport"]["cut"] == "client-slow"


def test_streams_at_once(hasty, origin):
    gate = threading.Event()

    def late(exchange):
        gate.wait(10)
        exchange.send(response(200, b"x"))
    origin.script(*[late] * 4)
    with Client2(hasty.address()) as client:
        assert client.theirs[3] == 4
        for _ in range(4):
            client.open()
        eventually(lambda: origin.count == 4)
        extra = client.open()
        client.until(lambda: client.over or client.answers[extra].reset is not None, 5)
        assert client.over or client.answers[extra].reset == 7
        gate.set()


def test_reload_finishes_streams(origin):
    gate = threading.Event()

    def late(exchange):
        gate.wait(10)
        exchange.send(response(200, b"late"))
    config = plain(origin)
    with Sallyport(config) as gateway, Client2(gateway.address()) as client:
        origin.script(late)
        stream = client.open()
        eventually(lambda: origin.count == 1)
        assert gateway.reload(config).returncode == 0
        assert client.until(lambda: client.goaway is not None)
        assert client.goaway == NO_ERROR
        gate.set()
        assert client.answer(stream).body == b"late"
        gone_within(client, 5)
        with Client2(gateway.address()) as other:
            assert other.ask().status == 200


def test_counters(gateway, client):
    assert client.ask().status == 200
    status = json.loads(gateway_status(gateway))
    assert status["counters"]["h2_connections"] > 0 and status["counters"]["h2_floods"]["ping"] == 0


def gateway_status(gateway):
    from harness import command
    return command("status", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder).stdout


# ---- WebSocket (RFC 8441) ------------------------------------------------------------------------

def handshake(exchange, first=b""):
    key = exchange.message.get("sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    exchange.send(f"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n".encode() + first)


def open_websocket(client, **how):
    return client.open(head("CONNECT", before=[(":protocol", "websocket")], path="/chat",
                            fields=[("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")], **how), end=False)


def test_websocket(origin, client):
    heard, over = [], threading.Event()

    def talk(exchange):
        handshake(exchange, b"hello")
        heard.append(exchange.reader.exactly(100000))
        exchange.send(b"y" * 200000)
        try:
            exchange.reader.exactly(1)
        except Exception:  # noqa: BLE001 (the end of the stream)
            over.set()
        return False
    origin.script(talk)
    assert client.theirs[8] == 1
    stream = open_websocket(client)
    client.send_body(stream, b"early", end=False)
    answer = client.answers[stream]
    assert client.until(lambda: answer.body == b"hello")
    assert answer.status == 200 and answer.get("sec-websocket-protocol") == "chat"
    assert answer.get("sec-websocket-accept") is None
    client.send_body(stream, b"x" * 99995, end=False)
    assert client.until(lambda: len(answer.body) == 200005)
    assert heard == [b"early" + b"x" * 99995]
    assert client.ask(path="/beside").status == 200
    client.send(frame(DATA, END_STREAM, stream))
    assert over.wait(10)
    assert client.answer(stream).ended
    seen = origin.wait(1)[0].message
    assert seen.start == b"GET /chat HTTP/1.1" and seen.get("upgrade") == "websocket" and seen.get("host") == "test"


def test_websocket_that_is_refused(origin, client):
    origin.script(response(403, b"no"), response(200, b"what?"))
    refused = client.answer(open_websocket(client))
    assert refused.status == 403 and refused.body == b"no"
    taken = client.answer(open_websocket(client))  # 200 would look like a yes
    assert taken.status == 502
    assert client.ping()


def test_websocket_without_talk(origin, client):
    ended = client.open(head("CONNECT", before=[(":protocol", "websocket")], path="/chat"))
    assert client.answer(ended).status == 400
    other = client.open(head("CONNECT", before=[(":protocol", "connect-udp")], path="/chat"), end=False)
    assert client.answer(other).status == 405 and origin.count == 0
