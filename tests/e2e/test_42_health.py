"""Active health checks from the steward, and servers that an operator takes out and back."""
import json
import threading

import pytest

from harness import Load, Origin, Sallyport, command, eventually, plain, response

FAST = {"path": "/health", "interval": "100ms", "timeout": "80ms", "rise": 2, "fall": 2}


class Checked(Origin):
    """Answers checks apart from requests."""

    def __init__(self, name):
        super().__init__(default=self.behave, name=name)
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
        assert pair[0].seen[0].get("host") == "127.0.0.1" and who(gateway) == {b"a", b"b"}
        pair[0].health = bad
        eventually(lambda: states(gateway)[pair[0].url] == "down", what="down")
        assert who(gateway) == {b"b"} and states(gateway)[pair[1].url] == "up"
        pair[0].health = response(204)
        pair[0].health = response(200, b"fine again")
        eventually(lambda: states(gateway)[pair[0].url] == "up", what="up")
        assert who(gateway) == {b"a", b"b"}


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
