"""API keys: made, replaced and taken back while the gateway runs, on all workers at once."""
import json
import os
import re

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"workers": 2}, api_keys={"file": "api.keys", "pass": "X-User"})
        config["lists"] = {"others": {"file": "others.txt", "watch": True}}
        others = "".join(f"192.0.2.{i}\n" for i in range(200))
        with Sallyport(config, files={"api.keys": "# of the test\n", "others.txt": others}) as running:
            running.origin = origin
            yield running


def keys(gateway, *words):
    return command("keys", *words, "-c", gateway.config_path, cwd=gateway.folder)


def add(gateway, *words):
    done = keys(gateway, "add", "--user", "ann", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert re.fullmatch(r"sp_[a-z2-7]{12}_[a-z2-7]{52}", said["key"]) and said["id"] == said["key"][3:15]
    return said["id"], said["key"]


def statuses(gateway, key, count=8):
    """Of connections that both workers take."""
    return {gateway.ask(fields=[("X-API-Key", key)]).status for _ in range(count)}


def settles(gateway, key, status):
    """The file is sent when the command returns; a worker takes it between two requests."""
    eventually(lambda: statuses(gateway, key) == {status}, 5, f"{status} on all workers")


def test_added_counts_at_once_and_is_hidden(gateway):
    key_id, key = add(gateway, "--plan", "gold", "--scopes", "read,write")
    settles(gateway, key, 200)
    seen = gateway.origin.heads[-1]
    assert seen.get("x-user") == "ann" and seen.get("x-api-key") is None
    with open(os.path.join(gateway.folder, "api.keys")) as file:
        text = file.read()
    assert text.startswith("# of the test\n") and key_id in text and key[16:] not in text
    assert gateway.ask(fields=[("Authorization", f"Bearer {key}")]).status == 200
    assert gateway.ask(path=f"/?api_key={key}").status == 401
    assert gateway.ask(fields=[("X-API-Key", key[:-1])]).status == 401


def test_the_secret_is_in_no_log(gateway):
    _, key = add(gateway)
    settles(gateway, key, 200)
    gateway.ask(path=f"/?api_key={key}", fields=[("X-API-Key", key)])
    eventually(lambda: any("api_key" in (r["url"].get("query") or "") for r in gateway.records()))
    with open(gateway.audit_path) as file:
        assert key[16:] not in file.read()
    assert key[16:] not in "".join(gateway.stderr)


def test_revoked_counts_at_once(gateway):
    key_id, key = add(gateway)
    settles(gateway, key, 200)
    assert keys(gateway, "revoke", key_id).returncode == 0
    settles(gateway, key, 401)
    assert keys(gateway, "revoke", key_id).returncode == 1


def test_two_live_while_one_replaces_the_other(gateway):
    key_id, key = add(gateway, "--plan", "gold")
    done = keys(gateway, "rotate", key_id, "--for", "2s", "-o", "json")
    assert done.returncode == 0, done.stderr
    new = json.loads(done.stdout)["key"]
    settles(gateway, new, 200)
    assert keys(gateway, "rotate", key_id).returncode == 2  # it is being replaced
    listed = {row["id"]: row for row in json.loads(keys(gateway, "list", "-o", "json").stdout)}
    assert listed[new[3:15]]["after"] == key_id and listed[new[3:15]]["plan"] == "gold"
    settles(gateway, key, 401)  # two seconds later
    assert statuses(gateway, new) == {200}


def test_a_lifetime_ends(gateway):
    _, key = add(gateway, "--for", "1s")
    settles(gateway, key, 401)


def test_trouble_with_another_file_is_not_the_keys(gateway):
    """What is made is shown: it holds, and nobody could ask for it again."""
    with open(os.path.join(gateway.folder, "others.txt"), "w") as file:
        file.write("192.0.2.1\n")  # it has lost too much
    eventually(lambda: any("others.txt" in line and "not taken" in line for line in gateway.stderr))
    made = keys(gateway, "add", "--user", "eve")
    assert made.returncode == 0 and made.stdout.startswith("sp_"), made.stderr


def test_a_broken_file_changes_nothing(gateway):
    _, key = add(gateway)
    settles(gateway, key, 200)
    path = os.path.join(gateway.folder, "api.keys")
    with open(path) as file:
        text = file.read()
    gateway.write("api.keys", text + "nonsense\n")
    eventually(lambda: "malformed" in "".join(gateway.stderr), 15)
    assert statuses(gateway, key) == {200}
    assert keys(gateway, "add", "--user", "bob").returncode == 2
    gateway.write("api.keys", text)
    assert statuses(gateway, key) == {200}


@pytest.mark.parametrize("words", [["add"], ["add", "--user", "a b"], ["add", "--user", "a", "--scopes", "a,,b"],
                                   ["add", "--user", "a", "--for", "0s"], ["rotate"], ["unknown"],
                                   ["add", "--user", "a" * 65]])
def test_misuse_is_said(gateway, words):
    done = keys(gateway, *words)
    assert done.returncode == 2 and done.stderr.startswith("error:")


def test_the_first_key_makes_the_file():
    """Without the file there is a warning, and nobody is let in; the gateway takes it when it comes."""
    with Origin(says(response(200, b"inside"))) as origin:
        with Sallyport(plain(origin, api_keys={"file": "later.keys"})) as gateway:
            assert gateway.ask().status == 401
            key = add(gateway)[1]
            settles(gateway, key, 200)
