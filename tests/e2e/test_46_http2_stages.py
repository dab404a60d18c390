"""Every stage decides over HTTP/2 as over HTTP/1, and says so in the same record."""
import base64

import pytest

from harness import Sallyport, plain
from wire2 import Client2

HASH = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"  # password
CASES = {
    "plain": dict(path="/ok"),
    "rule in the query": dict(path="/x?id=1%27%20or%20%271%27=%271"),
    "rule in a body": dict(method="POST", path="/form", body=b"q=<script>alert(1)</script>",
                           fields=[("content-type", "application/x-www-form-urlencoded")]),
    "clean body": dict(method="POST", path="/form", body=b"q=hello",
                       fields=[("content-type", "application/x-www-form-urlencoded")]),
    "rule in a cookie": dict(path="/x", fields=[("cookie", "a=1"), ("cookie", "b=<script>alert(1)</script>")]),
    "path traversal": dict(path="/a/..%2f..%2fetc/passwd"),
    "no password": dict(path="/private/x"),
    "password": dict(path="/private/x", fields=[("authorization", "Basic " + base64.b64encode(b"ann:password").decode())]),
    "denied": dict(path="/denied"),
    "large body": dict(method="POST", path="/form", body=b"x" * 300000,
                       fields=[("content-type", "text/plain")]),
    "method": dict(method="DELETE", path="/get-only"),
}


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, waf={"mode": "block", "body_limit": "200KiB"}, headers="strict",
                   routes=[{"path": "/private/**", "basic": {"users": {"ann": HASH}}},
                           {"path": "/denied", "deny": {"ips": ["127.0.0.0/8"]}, "respond": 200},
                           {"path": "/get-only", "restrict": {"methods": ["GET"]}}])
    with Sallyport(config) as gateway:
        yield gateway


def over_http1(gateway, method="GET", path="/", fields=(), body=None):
    crumbs = "; ".join(v for n, v in fields if n == "cookie")
    lines = [f"{n}: {v}" for n, v in fields if n != "cookie"] + ([f"cookie: {crumbs}"] if crumbs else [])
    answer = gateway.ask(method, path, fields=lines, body=body)
    return answer.status, {n.lower() for n in answer.names()} - {"connection"}


def over_http2(gateway, **how):
    fields = list(how.get("fields", ()))
    if how.get("body") is not None:
        fields.append(("content-length", str(len(how["body"]))))
    with Client2(gateway.address()) as client:
        answer = client.ask(**{**how, "fields": fields})
    return answer.status, {n for n, _ in answer.fields if not n.startswith(":")}


@pytest.mark.parametrize("name", CASES)
def test_the_same_decision(gateway, name):
    gateway.forget_records()
    assert over_http2(gateway, **CASES[name]) == over_http1(gateway, **CASES[name])
    two, one = gateway.new_records(2)
    if two["http"]["version"] != "2":
        two, one = one, two
    assert (two["http"]["version"], one["http"]["version"]) == ("2", "1.1")
    for key in ("action", "reason", "matches", "score", "route"):
        assert two["sallyport"].get(key) == one["sallyport"].get(key), key


def test_limits_count_streams(origin):
    config = plain(origin, limits=["5/min burst 5"])
    with Sallyport(config) as gateway, Client2(gateway.address()) as client:
        said = [client.ask().status for _ in range(7)]
        assert said == [200] * 5 + [429] * 2
        assert client.ask().get("retry-after")
