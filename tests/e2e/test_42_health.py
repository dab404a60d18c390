"""Active health checks from the steward, and servers that an operator takes out and back."""
import json
import os
import ssl
import threading

import pytest

from harness import Load, Origin, Sallyport, command, eventually, plain, response

FAST = {"path": "/health", "interval": "100ms", "timeout": "80ms", "rise": 2, "fall": 2}


class Checked(Origin):
    """Answers checks apart from requests."""

    def __init__(self, name, tls=None):
        super().__init__(default=self.behave, name=name, tls=tls)
        self.health, self.checks, self.seen = response(200, b"all fine"), 0, []

    def behave(self, exchange):
        if exchange.message.target == "/health":
            self.checks += 1
            self.seen.append(exchange.message)
            if self.health is None:
                threading.Event().wait(1)
                return False
            exchange.send(self.health)
            return False
        exchange.read_body()
        exchange.send(response(200, self.name.encode()))
        return True


@pytest.fixture
def pair():
    made = Checked("a"), Checked("b")
    yield made
    for one in made:
        one.stop()


def upstream(gateway, *what):
    return command("upstream", *what, "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)


def states(gateway):
    return {row["server"]: row["state"] for row in json.loads(upstream(gateway, "list").stdout)["servers"]}


def who(gateway, count=12):
    return {gateway.ask().body for _ in range(count)}


def config(pair, **health):
    return plain({"servers": [o.url for o in pair], "passive": "off", "health": {**FAST, **health}})


@pytest.mark.parametrize("bad", [response(500, b"all fine"), response(200, b"on fire"), b"SSH-2.0-x\r\n", None])
def test_down_and_up(pair, bad):
    with Sallyport(config(pair, body="fine")) as gateway:
        eventually(lambda: pair[0].checks > 2 and pair[1].checks > 2, what="checks")
        assert pair[0].seen[0].get("host") == "127.0.0.1"
        eventually(lambda: who(gateway) == {b"a", b"b"}, what="both")  # a check may be late on a busy machine
        pair[0].health = bad
        eventually(lambda: states(gateway)[pair[0].url] == "down", what="down")
        eventually(lambda: who(gateway) == {b"b"} and states(gateway)[pair[1].url] == "up", what="the other alone")
        pair[0].health = response(204)
        pair[0].health = response(200, b"fine again")
        eventually(lambda: states(gateway)[pair[0].url] == "up", what="up")
        eventually(lambda: who(gateway) == {b"a", b"b"}, what="both again")


def test_a_server_that_is_gone(pair):
    with Sallyport(config(pair)) as gateway:
        with Load(gateway, threads=3, pause=0.002) as load:
            eventually(lambda: load.done > 100)
            pair[1].stop()
            eventually(lambda: states(gateway)[pair[1].url] == "down", what="down")
            done = load.done
            eventually(lambda: load.done > done + 100)
        assert not load.failures, load.failures[:5]


def test_drain_and_ready_also_over_reloads(pair):
    made = plain({"servers": [o.url for o in pair]})
    with Sallyport(made) as gateway:
        assert who(gateway) == {b"a", b"b"}
        assert upstream(gateway, "drain", pair[0].url).returncode == 0
        assert who(gateway) == {b"b"} and states(gateway)[pair[0].url] == "drained"
        assert gateway.reload(made).returncode == 0
        assert who(gateway) == {b"b"} and states(gateway)[pair[0].url] == "drained"
        assert upstream(gateway, "drain", pair[1].url).returncode == 0
        assert gateway.ask().status == 503
        assert upstream(gateway, "ready", pair[0].url).returncode == 0
        assert who(gateway) == {b"a"}
        assert upstream(gateway, "ready", pair[1].url).returncode == 0
        assert who(gateway) == {b"a", b"b"}


def test_usage(pair):
    with Sallyport(plain({"servers": [o.url for o in pair]})) as gateway:
        assert upstream(gateway, "drain", "http://nobody:1").returncode == 1
        assert upstream(gateway, "drain").returncode == 2
        assert upstream(gateway, "perhaps", "x").returncode == 2
        said = command("upstream", "list", "-c", gateway.config_path, cwd=gateway.folder)
        assert said.returncode == 0 and pair[0].url in said.stdout


@pytest.mark.parametrize("health, word", [({"path": "x"}, "path"), ({"path": "/x", "status": "9"}, "status"),
                                          ({"path": "/x y"}, "path"), ({"path": "/x", "status": "500-200"}, "range")])
def test_bad_checks(tmp_path, health, word):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(plain({"servers": ["http://127.0.0.1:9"], "health": health})))
    said = command("check", "-c", path)
    assert said.returncode == 2 and word in said.stdout + said.stderr, said


# ---- over TLS -----------------------------------------------------------------------------------------


def strict_context(pair, ca):
    """A server that wants our certificate, and remembers the names that it is asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    context.names = []
    context.sni_callback = lambda sock, name, context: context.names.append(name)
    return context


@pytest.fixture
def secure(authority):
    made = [Checked(name, strict_context(authority.issue("check-" + name, "127.0.0.1", "backend.test"),
                                         authority.ca.cert)) for name in "ab"]
    yield made
    for one in made:
        one.stop()


def secured(pair, authority, health=None, **tls):
    own = authority.issue("checker", client=True)
    ways = {"ca": authority.ca.cert, "cert": own.cert, "key": own.key, "name": "backend.test", **tls}
    return plain({"servers": [o.url for o in pair], "passive": "off", "tls": ways,
                  "health": {**FAST, "timeout": "2s", "body": "fine", **(health or {})}})


def rows(gateway):
    return {row["server"]: row for row in json.loads(upstream(gateway, "list").stdout)["servers"]}


@pytest.mark.parametrize("bad", [response(500, b"all fine"), response(200, b"on fire"), b"SSH-2.0-x\r\n"])
def test_https_servers_are_asked_as_requests_are(secure, authority, bad):
    with Sallyport(secured(secure, authority)) as gateway:
        eventually(lambda: secure[0].checks > 2 and secure[1].checks > 2, what="checks")
        assert secure[0].tls.names[0] == "backend.test" and secure[0].seen[0].target == "/health"
        secure[0].health = bad
        eventually(lambda: states(gateway)[secure[0].url] == "down", what="down")
        assert rows(gateway)[secure[0].url]["why"] and who(gateway) == {b"b"}
        secure[0].health = response(200, b"fine again")
        eventually(lambda: states(gateway)[secure[0].url] == "up", what="up")
        assert "why" not in rows(gateway)[secure[0].url]


@pytest.mark.parametrize("tls", [{"name": "other.test"}, {"cert": None, "key": None}, {"ca": None}])
def test_https_checks_trust_nobody_more_than_requests_do(secure, authority, other_authority, tls):
    if "ca" in tls:
        tls = {"ca": other_authority.ca.cert}
    config = secured(secure, authority, **tls)
    config["sites"][0]["upstream"]["tls"] = {k: v for k, v in config["sites"][0]["upstream"]["tls"].items() if v}
    with Sallyport(config) as gateway:
        eventually(lambda: set(states(gateway).values()) == {"down"}, what="down")
        assert all(row["why"] for row in rows(gateway).values())
        assert secure[0].checks == secure[1].checks == 0


def test_https_checks_without_verification(secure, authority):
    with Sallyport(secured(secure, authority, name="other.test", verify=False)) as gateway:
        eventually(lambda: secure[0].checks > 2, what="checks")
        assert states(gateway)[secure[0].url] == "up"


def test_a_key_that_only_root_may_read(secure, authority):
    """It is read before the steward becomes somebody else."""
    config = secured(secure, authority)
    os.chmod(config["sites"][0]["upstream"]["tls"]["key"], 0o600)
    with Sallyport(config) as gateway:
        eventually(lambda: secure[0].checks > 2, what="checks")
        assert states(gateway)[secure[0].url] == "up"
