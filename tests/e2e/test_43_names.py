"""Servers found by name: addresses and services, again when their records run out, over hostile answers and reloads."""
import json
import os
import signal
import struct
import time

import pytest

from harness import Load, Origin, Sallyport, command, eventually, plain
from nameserver import A, AAAA, CNAME, SRV, NameServer, address, service, wire_name

NAME = "app.test"


@pytest.fixture
def names():
    with NameServer() as names:
        yield names


def config(names, url, server=None, **upstream):
    item = {"url": url, "ttl_min": "100ms", "ttl_max": "300ms", **upstream.pop("item", {})}
    return plain({"servers": [item], **upstream}, server={"resolver": names.address, **(server or {})})




def where(gateway):
    return gateway.ask().body.decode()


def listed(gateway):
    done = command("upstream", "list", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
    rows = json.loads(done.stdout)["servers"]
    return {row["address"]: row["state"] for row in rows if row.get("address")}


@pytest.fixture
def pair():
    """Two servers, which the same port cannot tell apart: SRV records name them by theirs."""
    with Origin(name="one") as one, Origin(name="two") as two:
        yield one, two


def services(*rows, ttl=0):
    return (ttl, [service(*row) for row in rows])


def test_an_address_is_a_server_and_another_one_follows(names):
    with Origin(name="old") as origin:
        names.point(NAME, "127.0.0.1")
        with Sallyport(config(names, f"dns://{NAME}:{origin.port}")) as gateway:
            assert where(gateway) == "old"
            record = gateway.new_records(1)[0]
            assert f"127.0.0.1:{origin.port}" in json.dumps(record)
            assert listed(gateway) == {f"127.0.0.1:{origin.port}": "up"}
            names.point(NAME, "127.0.0.2")
            eventually(lambda: f"127.0.0.2:{origin.port}" in listed(gateway), what="the new address")
            assert len(listed(gateway)) == 1
            eventually(lambda: gateway.ask().status == 502, what="nobody listens at 127.0.0.2")


def test_times_are_kept_within_their_bounds(names):
    names.point(NAME, "127.0.0.1", ttl=3600)
    names.point("slow.test", "127.0.0.1", ttl=0)
    servers = [{"url": f"dns://{NAME}:9", "ttl_max": "200ms"}, {"url": "dns://slow.test:9", "ttl_min": "1h", "ttl_max": "1h"}]
    with Sallyport(plain({"servers": servers}, server={"resolver": names.address})):
        eventually(lambda: names.count(NAME) >= 10, what="the cap of an hour's record")
        assert names.count("slow.test") <= 4  # at load, and once by the steward; two types each


def test_services_have_ports_weights_and_backups(names, pair):
    one, two = pair
    key = ("_http._tcp.test", SRV)
    names.point("a.test", "127.0.0.1")
    names.zone[key] = services((1, 10, one.port, "a.test"), (2, 10, two.port, "a.test"))
    with Sallyport(config(names, "srv://_http._tcp.test")) as gateway:
        assert {where(gateway) for _ in range(8)} == {"one"}  # the other one is of lower priority
        one.stop()
        eventually(lambda: where(gateway) == "two", what="the backup")
    names.zone[key] = services((1, 30, two.port, "a.test"), (1, 0, two.port, "."), (1, 5, 0, "a.test"))
    with Sallyport(config(names, "srv://_http._tcp.test")) as gateway:
        assert {where(gateway) for _ in range(4)} == {"two"}
        assert len(listed(gateway)) == 1


def test_aliases_and_tcp(names):
    def through_alias(query, kind):
        if kind == "udp":
            return query.answer(flags=0x8380)  # cut: ask again over TCP
        if query.type == AAAA:
            return query.answer()
        return query.answer([(None, CNAME, 1, wire_name("real.test")), ("real.test", A, 1, address("127.0.0.1"))])

    names.how = through_alias
    with Origin(name="real") as origin, Sallyport(config(names, f"dns://{NAME}:{origin.port}")) as gateway:
        assert where(gateway) == "real"


def test_what_was_found_last_stays(names):
    with Origin(name="kept") as origin:
        names.point(NAME, "127.0.0.1")
        with Sallyport(config(names, f"dns://{NAME}:{origin.port}")) as gateway:
            for how in (lambda q, k: None, lambda q, k: q.answer(code=2), lambda q, k: q.answer(code=3),
                        lambda q, k: q.answer(), lambda q, k: q.answer([(None, A, 1, b"\x7f\0\0")]),
                        lambda q, k: q.answer([("other.test", A, 1, address("127.0.0.9"))]),
                        lambda q, k: q.answer([(None, q.type, 1, address("0.0.0.0")), (None, A, 1, address("224.0.0.1"))]),
                        lambda q, k: q.data[:20], lambda q, k: b"\0\0" + q.answer()[2:]):
                before = names.count(NAME)
                names.how = how
                eventually(lambda: names.count(NAME) >= before + 2, 60, "it goes on asking")
                assert where(gateway) == "kept"
            assert any("name has no new answer" in line for line in gateway.stderr)
            # Over a reload and a dead steward, too, with no name server at all.
            names.how = lambda q, k: None
            assert gateway.reload().returncode == 0
            assert where(gateway) == "kept"
            pid = gateway.one("steward")
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: gateway.role("steward") not in ([], [pid]), what="another steward")
            assert where(gateway) == "kept"


def test_many_answers_are_bounded(names):
    many = [(None, A, 1, struct.pack(">BBH", 127, 0, i + 1)) for i in range(300)]
    names.how = lambda q, k: q.answer(many if q.type == A else [], flags=0x8180)
    with Sallyport(config(names, f"dns://{NAME}:9", item={"slots": 3})) as gateway:
        assert len(listed(gateway)) == 3
        assert gateway.ask().status == 502


def test_a_name_without_servers_is_no_reason_not_to_start(names):
    with Origin(name="late") as origin:
        with Sallyport(config(names, f"dns://{NAME}:{origin.port}")) as gateway:
            assert gateway.ask().status == 503
            names.point(NAME, "127.0.0.1")
            eventually(lambda: gateway.ask().status == 200, what="the first answer")


@pytest.mark.parametrize("url, upstream, why", [
    ("dns://127.0.0.1:80", {}, "an address needs no finding"),
    ("srv://_http._tcp.test:80", {}, "the port is the record's to say"),
    ("srv+https://_http._tcp.test", {}, "tls.name"),
    ("dns://app.test/path", {}, "ends with its port")])
def test_mistakes_have_their_place(names, url, upstream, why):
    with Sallyport(config(names, url, **upstream), start=False) as gateway:
        done = command("check", "-c", gateway.config_path, cwd=gateway.folder)
        assert done.returncode == 2 and why in done.stderr + done.stdout


def test_health_checks_and_operators_follow_the_address(names, pair):
    one, two = pair
    names.point("a.test", "127.0.0.1")
    names.zone["_http._tcp.test", SRV] = services((1, 1, one.port, "a.test"), (1, 1, two.port, "a.test"))
    health = {"path": "/healthz", "interval": "100ms", "rise": 1, "fall": 1}
    with Sallyport(config(names, "srv://_http._tcp.test", health=health, passive="off")) as gateway:
        first, second = f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"
        eventually(lambda: listed(gateway) == {first: "up", second: "up"}, what="both")
        one.stop()
        eventually(lambda: listed(gateway)[first] == "down", what="the check of a server that was found")
        assert {where(gateway) for _ in range(6)} == {"two"}
        done = command("upstream", "drain", second, "-c", gateway.config_path, cwd=gateway.folder)
        assert done.returncode == 0 and listed(gateway)[second] == "drained"
        # Somebody else in that slot begins anew.
        with Origin(name="three") as three:
            names.zone["_http._tcp.test", SRV] = services((1, 1, three.port, "a.test"))
            eventually(lambda: listed(gateway) == {f"127.0.0.1:{three.port}": "up"}, what="the new one")
            eventually(lambda: gateway.ask().status == 200, what="service")
            assert where(gateway) == "three"


def test_servers_come_and_go_and_no_request_fails(names):
    names.point("a.test", "127.0.0.1")
    key = ("_http._tcp.test", SRV)
    origins = [Origin(name=str(i)) for i in range(6)]
    names.zone[key] = services((1, 1, origins[0].port, "a.test"), (1, 1, origins[1].port, "a.test"))
    with Sallyport(config(names, "srv://_http._tcp.test", server={"workers": 2})) as gateway:
        with Load(gateway, threads=4) as load:
            for i in range(2, 6):
                names.zone[key] = services((1, 1, origins[i - 1].port, "a.test"), (1, 1, origins[i].port, "a.test"))
                eventually(lambda: f"127.0.0.1:{origins[i].port}" in listed(gateway), what="the new server")
                eventually(lambda: origins[i].count > 0, what="requests there")
                origins[i - 2].stop()  # gone from the records: nobody asks it any more, or asks elsewhere
                done = load.done
                eventually(lambda: load.done > done + 50, what="load")
            assert gateway.reload().returncode == 0
            done = load.done
            eventually(lambda: load.done > done + 50, what="load after the reload")
        assert load.failures == []
    for origin in origins:
        origin.stop()


def test_sticky_clients_and_hashes_follow_the_address(names, pair):
    one, two = pair
    names.point("a.test", "127.0.0.1")
    names.zone["_http._tcp.test", SRV] = services((1, 1, one.port, "a.test"), (1, 1, two.port, "a.test"))
    with Sallyport(config(names, "srv://_http._tcp.test", sticky="route")) as gateway:
        answer = gateway.ask()
        cookie = answer.get("set-cookie").split(";")[0]
        for _ in range(6):
            assert gateway.ask(fields=[f"Cookie: {cookie}"]).body == answer.body
        # Its server goes: the client is sent elsewhere, and the cookie is of no use any more.
        left = two if answer.body == b"one" else one
        names.zone["_http._tcp.test", SRV] = services((1, 1, left.port, "a.test"))
        eventually(lambda: list(listed(gateway)) == [f"127.0.0.1:{left.port}"], what="one server")
        eventually(lambda: gateway.ask(fields=[f"Cookie: {cookie}"]).body == left.name.encode(), what="the other server")
    with Sallyport(config(names, "srv://_http._tcp.test", balance="hash", hash="path")) as gateway:
        assert len({where(gateway) for _ in range(6)}) == 1


def test_the_sandbox_lets_only_the_steward_ask(names):
    names.point(NAME, "127.0.0.1")
    with Origin() as origin, Sallyport(config(names, f"dns://{NAME}:{origin.port}", server={"sandbox": "auto"})) as gateway:
        before = names.count(NAME)
        eventually(lambda: names.count(NAME) > before + 6, what="the steward asks in its sandbox")
        time.sleep(0.1)
        assert where(gateway) == "origin" and len(gateway.role("steward")) == 1
