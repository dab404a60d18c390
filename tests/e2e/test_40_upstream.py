"""Upstreams: which server gets a request, what happens when it does not answer, and what the client is told."""
import collections
import json
import socket
import ssl
import threading
import time

import pytest

from harness import Origin, Sallyport, eventually, plain, request, response, says, silent, soon

HTML, JSON = ("Accept", "text/html,*/*;q=0.8"), ("Accept", "application/json")


@pytest.fixture
def origins():
    made = [Origin(name=name) for name in "abc"]
    yield made
    for origin in made:
        origin.stop()


def dead_url():
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def shares(gateway, count):
    return collections.Counter(gateway.ask("POST", body=b"x").body.decode() for _ in range(count))


# ---- balance ----------------------------------------------------------------------------------------


def test_round_robin(origins):
    with Sallyport(plain({"servers": [o.url for o in origins]})) as gateway:
        assert shares(gateway, 30) == {"a": 10, "b": 10, "c": 10}


def test_weights(origins):
    servers = [{"url": origins[0].url, "weight": 3}, {"url": origins[1].url, "weight": 1}]
    with Sallyport(plain({"servers": servers})) as gateway:
        assert shares(gateway, 40) == {"a": 30, "b": 10}


def test_least_connections(origins):
    go = threading.Event()
    for origin in origins[:2]:
        origin.script(*[lambda x: (go.wait(10), x.send(response(200, b"slow")))] * 2)
    with Sallyport(plain({"servers": [o.url for o in origins[:2]], "balance": "least-conn"})) as gateway:
        clients = [gateway.client() for _ in range(4)]
        for client in clients:
            client.send(request())
            time.sleep(0.05)
        assert (origins[0].count, origins[1].count) == (2, 2)
        go.set()
        assert all(client.answer().status == 200 for client in clients)
        for client in clients:
            client.close()


def test_kept_connections_are_reused_last_first(origins):
    origin = origins[0]
    with Sallyport(plain(origin)) as gateway:
        clients = [gateway.client() for _ in range(5)]
        gate = threading.Barrier(6)
        origin.script(*[lambda x: (gate.wait(5), x.send(response(200)))] * 5)
        for client in clients:
            client.send(request())
        gate.wait(5)
        for client in clients:
            assert client.answer().status == 200
        opened = origin.connections
        for _ in range(10):
            assert clients[0].ask().status == 200
        assert origin.connections == opened
        assert len({e.connection for e in origin.wait(15)[5:]}) == 1
        for client in clients:
            client.close()


# ---- failures ---------------------------------------------------------------------------------------


def test_ejection_and_return(origins):
    good, other = origins[:2]
    upstream = {"servers": [good.url, other.url], "passive": {"fails": 2, "window": "500ms"}}
    with Sallyport(plain(upstream)) as gateway:
        port = other.port
        other.stop()
        for _ in range(8):
            assert gateway.ask().status == 200  # tried elsewhere: nothing was sent
        with Origin(port=port, name="back"):
            eventually(lambda: gateway.ask().body == b"back" or time.sleep(0.02), 5, "the server is asked again")


def test_connect_refused_is_tried_elsewhere(origins):
    """Even a POST: it reached nobody."""
    with Sallyport(plain({"servers": [dead_url(), origins[0].url], "passive": "off"})) as gateway:
        for _ in range(4):
            assert gateway.ask("POST", body=b"once").body == b"a"
    assert [e.body for e in origins[0].exchanges] == [b"once"] * 4


def closes(exchange):
    exchange.read_body()
    return False


def test_post_is_never_sent_twice(origins):
    """A server that closes without an answer: 502, and nobody else is asked."""
    for origin in origins:
        origin.default = closes
    with Sallyport(plain({"servers": [o.url for o in origins], "passive": "off", "retries": 3})) as gateway:
        for method in ("POST", "PATCH", "PROPFIND"):
            for origin in origins:
                origin.forget()
            assert gateway.ask(method, body=b"x").status == 502
            assert sum(o.count for o in origins) == 1


def test_post_on_a_stale_connection(origins):
    """The kept connection was closed by upstream: whatever the answer, the request is seen at most once."""
    origin = origins[0]
    with Sallyport(plain({"servers": [origin.url], "passive": "off"})) as gateway:
        with gateway.client() as client:
            for number in range(10):
                origin.script(says(response(200, b"kept"), then_close=True))
                assert client.ask(path=f"/get{number}").status == 200
                status = client.ask("POST", f"/post{number}", body=b"x").status
                assert status in (200, 502)
                seen = [e for e in origin.exchanges if e.message.target == f"/post{number}"]
                assert len(seen) == (1 if status == 200 else 0)
                origin.forget()


def test_get_on_a_stale_connection_is_tried_again(origins):
    origin = origins[0]
    with Sallyport(plain({"servers": [origin.url], "passive": "off"})) as gateway:
        with gateway.client() as client:
            for _ in range(10):
                origin.script(says(response(200, b"kept"), then_close=True))
                assert client.ask().status == 200
                assert client.ask().body == b"a"


def test_get_on_a_connection_that_dies_unanswered(origins):
    origin = origins[0]
    with Sallyport(plain({"servers": [origin.url], "passive": "off"})) as gateway:
        with gateway.client() as client:
            assert client.ask().status == 200
            origin.script(closes)
            assert client.ask().status == 200
            origin.script(closes, closes, closes, closes, closes)
            assert client.ask().status == 502
            assert 2 <= 5 - len(origin.queue) <= 4


def pages(gateway, status, slug, method="GET"):
    """Both pages of a failure: for programs and for people."""
    for accept, kind in ((JSON, "application/problem+json"), (HTML, "text/html")):
        answer = gateway.ask(method, fields=[accept], body=b"x" if method == "POST" else None)
        assert answer.status == status
        assert answer.get("content-type").startswith(kind)
        assert answer.get("cache-control") == "no-store"
        record = gateway.new_records()[0]
        assert record["sallyport"]["reason"] == slug
        assert record["http"]["response"]["status_code"] == status
        request_id = record["http"]["request"]["id"]
        assert request_id.encode() in answer.body
        if kind.endswith("json"):
            page = json.loads(answer.body)
            assert page["status"] == status and page["title"]


def test_502_unreachable():
    with Sallyport(plain({"servers": [dead_url()], "passive": "off"})) as gateway:
        pages(gateway, 502, "upstream-unreachable", "POST")


def test_502_bad_answer(origins):
    origins[0].default = says(b"garbage\r\n\r\n", then_close=True)
    with Sallyport(plain({"servers": [origins[0].url], "passive": "off"})) as gateway:
        pages(gateway, 502, "upstream-bad", "POST")


def test_all_ejected_are_asked_all_the_same(origins):
    """Ejection never makes an outage: when no server is left, one of them is tried."""
    urls = [dead_url(), origins[0].url]
    port = origins[0].port
    origins[0].stop()
    with Sallyport(plain({"servers": urls, "passive": {"fails": 1, "window": "1h"}})) as gateway:
        for _ in range(4):
            assert gateway.ask().status == 502
        with Origin(port=port, name="back"):
            assert gateway.ask().body == b"back"


def test_504_no_answer(origins):
    origins[0].default = silent()
    with Sallyport(plain({"servers": [origins[0].url], "timeout": {"response": "150ms"}, "passive": "off"})) as gateway:
        began = time.monotonic()
        pages(gateway, 504, "upstream-timeout", "POST")
        assert 0.3 <= time.monotonic() - began < soon(3)


def test_a_server_back_from_the_dead(origins):
    origin = origins[0]
    with Sallyport(plain({"servers": [origin.url], "passive": "off"})) as gateway:
        port = origin.port
        assert gateway.ask().status == 200
        origin.stop()
        assert gateway.ask("POST", body=b"x").status == 502
        with Origin(port=port, name="back"):
            assert gateway.ask().body == b"back"


def test_unix_upstream():
    with Sallyport(None, start=False) as gateway:
        with Origin(path=gateway.folder + "/origin.sock") as origin:
            gateway.configure(plain(origin))
            gateway.start()
            with gateway.client() as client:
                for _ in range(3):
                    assert client.ask("POST", body=b"x" * 10000).body == b"origin"
            assert origin.connections == 1


def test_routes_have_upstreams_of_their_own(origins):
    routes = [{"path": "/b/**", "upstream": origins[1].url}]
    with Sallyport(plain(origins[0], routes=routes)) as gateway:
        assert gateway.ask(path="/a").body == b"a"
        assert gateway.ask(path="/b/x").body == b"b"


# ---- https ------------------------------------------------------------------------------------------


def server_context(pair, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    return context


@pytest.fixture(scope="module")
def secure(authority):
    pair = authority.issue("upstream", "127.0.0.1", "backend.test")
    with Origin(tls=server_context(pair), name="secure") as origin:
        yield origin


def secure_status(origin, authority, **tls):
    upstream = {"servers": [origin.url], "passive": "off", "tls": tls}
    with Sallyport(plain(upstream)) as gateway:
        return gateway.ask().status


def test_https_own_authority(secure, authority):
    assert secure_status(secure, authority, ca=authority.ca.cert) == 200
    assert secure.exchanges[-1].message.get("x-forwarded-proto") == "http"


def test_https_name(secure, authority):
    assert secure_status(secure, authority, ca=authority.ca.cert, name="backend.test") == 200


def test_https_wrong_name(secure, authority):
    assert secure_status(secure, authority, ca=authority.ca.cert, name="other.test") == 502


def test_https_unknown_authority(secure, authority, other_authority):
    assert secure_status(secure, authority) == 502
    assert secure_status(secure, authority, ca=other_authority.ca.cert) == 502


def test_https_without_verification(secure, authority):
    assert secure_status(secure, authority, verify=False) == 200


def test_https_nothing_is_sent_before_verification(secure, authority):
    secure.forget()
    assert secure_status(secure, authority) == 502
    assert secure.bytes_seen == 0


def test_https_client_certificate(authority):
    pair = authority.issue("strict-upstream", "127.0.0.1")
    own = authority.issue("gateway", client=True)
    with Origin(tls=server_context(pair, authority.ca.cert), name="strict") as origin:
        assert secure_status(origin, authority, ca=authority.ca.cert, cert=own.cert, key=own.key) == 200
        assert secure_status(origin, authority, ca=authority.ca.cert) == 502


def test_https_large_and_kept(secure, authority):
    body = bytes(range(256)) * 8192
    secure.script(says(response(200, body)))
    upstream = {"servers": [secure.url], "tls": {"ca": authority.ca.cert}}
    with Sallyport(plain(upstream)) as gateway, gateway.client() as client:
        before = secure.connections
        assert client.ask("POST", body=body).body == body
        assert client.ask().body == b"secure"
        assert secure.connections == before + 1


def test_plain_server_behind_https(origins, authority):
    url = origins[0].url.replace("http:", "https:")
    with Sallyport(plain({"servers": [url], "passive": "off", "timeout": {"connect": "300ms"}})) as gateway:
        assert gateway.ask().status in (502, 504)  # garbage, or a server that waits for more of the handshake
