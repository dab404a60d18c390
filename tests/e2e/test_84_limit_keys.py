"""Everything that a limit may count by, through a running gateway; what is missing; and what happens over a limit."""
import socket
import ssl

import pytest

from harness import Origin, Sallyport, echo, merge, plain
from test_87_geoip import DE, FILES, GB, US
from wire import Cut

FORM = ("Content-Type", "application/x-www-form-urlencoded")
FROM = "X-Forwarded-For"

# What it counts by, a request that is counted, and one that is another one.
KEYS = [
    ("client.ip", {"fields": [(FROM, "192.0.2.1")]}, {"fields": [(FROM, "192.0.2.2")]}),
    ("client.country", {"fields": [(FROM, GB)]}, {"fields": [(FROM, DE)]}),
    ("client.asn", {"fields": [(FROM, GB)]}, {"fields": [(FROM, US)]}),
    ("method", {}, {"method": "PUT"}),
    ("host", {"host": "a.test"}, {"host": "b.test"}),
    ("path", {"path": "/x;p=1"}, {"path": "/y"}),
    ("header:X-Tenant", {"fields": [("x-tenant", "a")]}, {"fields": [("X-Tenant", "b")]}),
    ("cookie:sid", {"fields": [("Cookie", "q=1; sid=a")]}, {"fields": [("Cookie", "sid=b; q=1")]}),
    ("query:key", {"path": "?key=a&x=1"}, {"path": "?key=b&x=1"}),
    ("field:user", {"method": "POST", "body": b"user=ann&p=1", "fields": [FORM]},
     {"method": "POST", "body": b"p=1&user=bob", "fields": [FORM]}),
    ("client.ip+header:X-Tenant", {"fields": [(FROM, "192.0.2.1"), ("X-Tenant", "a")]},
     {"fields": [(FROM, "192.0.2.1"), ("X-Tenant", "b")]}),
]


@pytest.fixture(scope="module")
def gateway(authority):
    pair = authority.issue("limits", "b.test")
    routes = [{"path": f"/{i}/**", "limits": [{"rate": "2/hour", "per": per}]} for i, (per, _, _) in enumerate(KEYS)]
    routes += [{"path": f"/{name}", "limits": [{"rate": "1/hour", "per": "header:K", **more}]} for name, more in (
        ("address", {}), ("bucket", {"on_missing": "bucket"}), ("skip", {"on_missing": "skip"}),
        ("reject", {"on_missing": "reject"}))]
    routes += [{"path": f"/{action}", "limits": [{"rate": "1/hour", "action": action, "name": action}]} for action in (
        "close", "log")]
    routes += [{"path": "/ja4", "limits": [{"rate": "1/hour", "per": "client.ja4"}]},
               {"path": "/penalty", "limits": [{"rate": "100/s", "burst": 1, "penalty": 100, "name": "penalty"}]}]
    with Origin(echo) as origin:
        config = plain(origin, {"listen": {"https": "127.0.0.1:0"}, "workers": 2, "trusted_proxies": ["127.0.0.1"]},
                       tls={"cert": pair.cert, "key": pair.key}, routes=routes)
        config = merge(config, {"geoip": {"country": "country.mmdb", "asn": "asn.mmdb"}})
        with Sallyport(config, files=FILES) as gateway:
            yield gateway


@pytest.mark.parametrize("number", range(len(KEYS)), ids=[row[0] for row in KEYS])
def test_each_is_counted(gateway, number):
    _, counted, other = KEYS[number]

    def ask(request):
        return gateway.ask(**{**request, "path": f"/{number}/{request.get('path', '').lstrip('/')}"}).status

    assert [ask(counted) for _ in range(3)] == [200, 200, 429]
    assert ask(other) == 200


def test_what_is_missing(gateway):
    def asked(name, count, address="192.0.2.1", **more):
        return [gateway.ask(path=f"/{name}", fields=[(FROM, address)], **more).status for _ in range(count)]

    assert asked("address", 2) == [200, 429] and asked("address", 1, "192.0.2.2") == [200]
    assert asked("bucket", 1) == [200] and asked("bucket", 1, "192.0.2.2") == [429]
    assert asked("skip", 3) == [200] * 3
    assert asked("reject", 1) == [400]
    assert gateway.ask(path="/reject", fields=[("K", "k")]).status == 200
    assert gateway.ask(path="/reject", fields=[("K", "k"), ("K", "l")]).status == 400  # which of the two?


def test_over_the_limit(gateway):
    assert gateway.ask(path="/close").status == 200
    with pytest.raises((Cut, OSError)):
        gateway.ask(path="/close")
    gateway.forget_records()
    assert [gateway.ask(path="/log").status for _ in range(2)] == [200, 200]
    records = gateway.new_records(2)
    assert sorted(str(r["sallyport"].get("limit", "")) for r in records) == ["", "{'shadow': 'log'}"]
    with gateway.client() as client:  # faster than one in 10 ms, and each refusal costs a second
        statuses = [client.ask(path="/penalty").status for _ in range(20)]
    assert statuses[0] == 200 and statuses[-1] == 429


def test_ja4(gateway):
    def ask(version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = version
        # A proxy's handshake is nobody's; so not from the address of one.
        with socket.create_connection(gateway.address("https"), source_address=("127.0.0.5", 0)) as bare, \
                context.wrap_socket(bare) as wire:
            wire.sendall(b"GET /ja4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return wire.recv(100).split()[1]

    versions = [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2]
    assert [ask(version) for version in versions] == [b"200", b"429", b"200"]
