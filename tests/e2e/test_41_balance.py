"""Balancing: hashes, sticky cookies, backups, two choices; a server that goes is not missed."""
import collections

import pytest

from harness import Load, Origin, Sallyport, plain


@pytest.fixture
def origins():
    made = [Origin(name=name) for name in "abc"]
    yield made
    for one in made:
        one.stop()


def config(origins, **upstream):
    servers = upstream.pop("servers", None) or [o.url for o in origins]
    return plain({"servers": servers, **upstream})


def test_hash_by_header(origins):
    with Sallyport(config(origins, balance="hash", hash="header:X-Tenant")) as gateway, gateway.client() as client:
        seen = collections.defaultdict(set)
        for i in range(120):
            seen[i % 40].add(client.ask(fields=[f"X-Tenant: t{i % 40}"]).body)
        assert all(len(who) == 1 for who in seen.values())
        assert len({next(iter(who)) for who in seen.values()}) == 3


def test_sticky_cookie(origins):
    with Sallyport(config(origins, sticky={"cookie": "route", "secret": "s"}, passive={"fails": 1})) as gateway:
        first = gateway.ask()
        cookie = first.get("set-cookie").split(";")[0]
        assert cookie.startswith("route=") and "HttpOnly" in first.get("set-cookie")
        for _ in range(9):
            again = gateway.ask(fields=[f"Cookie: x=y; {cookie}"])
            assert again.body == first.body and again.get("set-cookie") is None
        assert gateway.ask(fields=[f"Cookie: {cookie[:-1]}0"]).get("set-cookie") is not None or cookie[-1] == "0"
        next(o for o in origins if o.name.encode() == first.body).stop()
        moved = gateway.ask(fields=[f"Cookie: {cookie}"])
        assert moved.status == 200 and moved.body != first.body
        assert moved.get("set-cookie").split(";")[0] != cookie


def test_backup(origins):
    servers = [{"url": origins[0].url}, {"url": origins[1].url}, {"url": origins[2].url, "backup": True}]
    with Sallyport(config(origins, servers=servers, passive={"fails": 1})) as gateway:
        assert {gateway.ask().body for _ in range(10)} == {b"a", b"b"}
        origins[0].stop()
        origins[1].stop()
        assert {gateway.ask().body for _ in range(10)} == {b"c"}


@pytest.mark.parametrize("balance", ["round-robin", "least-conn", "two-choices", "hash"])
def test_a_server_that_goes_is_not_missed(origins, balance):
    with Sallyport(config(origins, balance=balance, hash="path")) as gateway:
        with Load(gateway, threads=4) as load:
            while load.done < 200:
                pass
            origins[1].stop()
            done = load.done
            while load.done < done + 300:
                pass
        assert not load.failures, load.failures[:5]


def test_all_backups_is_an_error(origins):
    from harness import command
    import json
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(config(origins, servers=[{"url": origins[0].url, "backup": True}]), file)
        file.flush()
        said = command("check", "-c", file.name)
    assert said.returncode == 2 and "backups" in said.stdout + said.stderr
