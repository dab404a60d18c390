"""A reload that would open what the audit log shows as protected is refused, unless it is forced."""
import base64
import copy
import json

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says


def reload(gateway, config, *more):
    with open(gateway.config_path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return command("reload", "-c", gateway.config_path, "--wait", *more, cwd=gateway.folder)


HASH = "$2y$04$abcdefghijklmnopqrstuuEiz3V5U8OQcp7pBR3TDsv8X6oTi1Gqa"


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        made = plain(origin, routes=[{"path": "/private/**", "basic": {"users": {"ann": HASH}}},
                                     {"path": "/staff/**", "policy": [{"groups": ["staff"]}]},
                                     {"path": "/public/**"}])
        with Sallyport(made) as running:
            running.origin = origin
            yield running


def opened(gateway, index):
    made = copy.deepcopy(gateway.configured_as)
    del made["sites"][0]["routes"][index]
    return made


def test_what_was_protected_stays_so(gateway):
    with open(gateway.config_path, encoding="utf-8") as file:
        gateway.configured_as = json.load(file)
    for path in ("/private/a%20b", "/private/%C3%A9/..%2e/x;y", "/staff/report?x=/public", "/public/x"):
        gateway.ask("GET", path)
    eventually(lambda: {r["url"]["path"] for r in gateway.records()} >= {"/private/a b", "/public/x"}, what="the records")

    done = reload(gateway, opened(gateway, 0))
    assert done.returncode == 2 and "not reloaded" in done.stderr
    assert "/private/a%20b" in done.stderr and "/staff" not in done.stderr and "/public" not in done.stderr
    assert gateway.ask("GET", "/private/a%20b").status == 401
    done = reload(gateway, opened(gateway, 1))
    assert done.returncode == 2 and "/staff/report" in done.stderr and "/private" not in done.stderr

    # A gate that some condition lifts is none; and one in `detect` is none.
    for change in ({"unless": 'request.method == "GET"'}, {"mode": "detect"}):
        made = copy.deepcopy(gateway.configured_as)
        made["sites"][0]["routes"][0]["basic"].update(change)
        done = reload(gateway, made)
        assert done.returncode == 2, (change, done.stderr)

    # As it is, and with more closed than before.
    made = copy.deepcopy(gateway.configured_as)
    assert reload(gateway, made).returncode == 0
    made["sites"][0]["routes"][2]["policy"] = [{"groups": ["staff"]}]
    assert reload(gateway, made).returncode == 0


def test_by_force_and_then_no_more(gateway):
    done = reload(gateway, opened(gateway, 0), "--force")
    assert done.returncode == 0, done.stderr
    eventually(lambda: gateway.ask("GET", "/private/a%20b").status == 200, what="the new configuration")
    # Only what was seen open since then is asked about no more.
    assert gateway.ask("GET", "/private/").status == 200
    eventually(lambda: [r for r in gateway.records()
                        if r["url"]["path"] == "/private/a b" and r["event"]["action"] == "pass"], what="the record")
    done = reload(gateway, opened(gateway, 0))
    assert "/private/a%20b" not in done.stderr


def test_how_far_back(gateway):
    made = copy.deepcopy(gateway.configured_as)
    made["sites"][0]["routes"] = []
    assert reload(gateway, made, "--since", "0s").returncode in (0, 2)
    assert reload(gateway, made, "--since", "soon").returncode == 2
    assert reload(gateway, made, "--since", "1d").returncode == 2


def test_what_cannot_be_loaded_is_said_once(gateway):
    made = copy.deepcopy(gateway.configured_as)
    made["sites"][0]["nonsense"] = 1
    done = reload(gateway, made)
    assert done.returncode == 2 and done.stderr.count("nonsense") >= 1 and "protected" not in done.stderr


def test_what_was_refused_to_somebody_stays_so():
    """Nobody else has asked for it: a refusal of one who was signed in, or a wrong password, is all that the log has."""
    right = "$2b$04$l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"
    with Origin(says(response(200, b"inside"))) as origin:
        made = plain(origin, basic={"users": {"ann": right}}, policy=[{"paths": ["/ours/**"]}])
        with Sallyport(made) as gateway:
            for path, password, status in (("/theirs/x", "open sesame", 403), ("/wrong/x", "close sesame", 401)):
                word = base64.b64encode(f"ann:{password}".encode()).decode()
                assert gateway.ask("GET", path, fields=[("Authorization", "Basic " + word)]).status == status
            eventually(lambda: {r["url"]["path"] for r in gateway.records()} >= {"/theirs/x", "/wrong/x"}, what="the records")
            with open(gateway.config_path, encoding="utf-8") as file:
                open_now = json.load(file)
            for key in ("basic", "policy"):
                del open_now["sites"][0][key]
            done = reload(gateway, open_now)
            assert done.returncode == 2 and "/theirs/x" in done.stderr and "/wrong/x" in done.stderr, done.stderr
