"""`run --watch`: a changed file of the configuration is taken up by itself."""
import json
import os

import pytest

from harness import Sallyport, command, eventually, plain


def site(host, body):
    return {"host": host, "waf": {"mode": "off"}, "limits": [], "bans": "off", "headers": "off", "bots": {"mode": "off"},
            "routes": [{"path": "/", "respond": {"status": 200, "body": body}}]}


def put(gateway, name, content):
    os.makedirs(os.path.join(gateway.folder, os.path.dirname(name)), exist_ok=True)
    gateway.write(name, json.dumps(content))


def says(gateway, host):
    try:
        return gateway.ask(host=host).body.decode()
    except Exception:  # noqa: BLE001 (an unknown host is closed)
        return None


@pytest.fixture
def gateway():
    made = Sallyport({**plain(None), "include": "conf.d/*.yaml", "sites": [site("a.test", "one")]}, start=False)
    os.chmod(made.folder, 0o755)
    os.mkdir(os.path.join(made.folder, "conf.d"))
    made.arguments = ["run", "-c", made.config_path, "--watch"]
    made.start()
    with made:
        yield made


def test_files_come_change_and_go(gateway):
    assert says(gateway, "a.test") == "one"
    put(gateway, "conf.d/b.yaml", {"sites": [site("b.test", "two")]})
    eventually(lambda: says(gateway, "b.test") == "two", 60, "a file that has come")
    put(gateway, "conf.d/b.yaml", {"sites": [site("b.test", "three")]})
    eventually(lambda: says(gateway, "b.test") == "three", 60, "a file that has changed")
    assert says(gateway, "a.test") == "one"
    os.unlink(os.path.join(gateway.folder, "conf.d/b.yaml"))
    eventually(lambda: "no-site" in (says(gateway, "b.test") or "no-site"), 60, "a file that is gone")
    gateway.configure({**plain(None), "include": "conf.d/*.yaml", "sites": [site("a.test", "four")]})
    eventually(lambda: says(gateway, "a.test") == "four", 60, "the main file")


def test_a_bad_state_is_tried_once_and_left_behind(gateway):
    put(gateway, "conf.d/b.yaml", {"sites": [{"nonsense": 1}]})

    def refused():
        return sum("configuration refused" in line for line in gateway.stderr)
    eventually(lambda: refused() == 1, 60, "the refusal")
    looks = len(gateway.stderr)
    put(gateway, "conf.d/c.yaml", {"sites": [site("c.test", "c")]})  # still bad, but another state
    eventually(lambda: refused() == 2, 60, "another refusal")
    assert looks and says(gateway, "a.test") == "one"
    put(gateway, "conf.d/b.yaml", {"sites": [site("b.test", "good")]})
    eventually(lambda: says(gateway, "b.test") == "good" and says(gateway, "c.test") == "c", 60, "the good one")
    assert refused() == 2


def test_there_must_be_a_file():
    said = command("run", "--protect", "http://127.0.0.1:9", "--watch")
    assert said.returncode == 2 and "--watch" in said.stderr
