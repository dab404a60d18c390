"""Requests kept whole are decided alike once more, and a changed configuration is told by what it changes."""
import json
import os
import random
import re

import pytest

from harness import Sallyport, chunked, command, eventually, merge, plain

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"},
         {"name": "no-body", "match": "wicked", "in": "body", "do": "block"}]
PASSWORD = "Correct-Horse-Battery-9"
COUNT = 1000
HASH = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"  # password


def keys(folder):
    """(public key, path of the private one)"""
    path = os.path.join(folder, "capture.key")
    done = command("capture", "key", "--to", path)
    assert done.returncode == 0, done.stderr
    assert os.stat(path).st_mode & 0o777 == 0o600
    return done.stdout.strip(), path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return keys(str(tmp_path_factory.mktemp("keys")))


def capturing(origin, public, capture=None, **site):
    config = plain(origin, {"trusted_proxies": ["127.0.0.2/32"]}, **merge({
        "waf": {"mode": "block", "ruleset": "none", "rules": RULES}, "deny": ["203.0.113.0/24"],
        "routes": [{"path": "/detect/**", "waf": {"mode": "detect"}},
                   {"path": "/here", "respond": {"status": 200, "body": "x"}},
                   {"path": "/moved", "redirect": {"to": "/here"}},
                   {"path": "/few/**", "limits": ["3/h burst 3"]},
                   {"path": "/private/**", "basic": {"users": {"alice": HASH}}},
                   {"path": "/get", "methods": ["GET"]}]}, site))
    config["server"]["trusted_proxies"] = ["127.0.0.0/8"]
    config["audit"]["capture"] = {"key": public, "of": "all", "rate": 100000, **(capture or {})}
    return config


def run(gateway, verb, *arguments, code=None):
    done = command(verb, *arguments, "-o", "json", cwd=gateway.folder, timeout=120)
    if code is not None:
        assert done.returncode == code, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def captures(gateway):
    return b"".join(open(os.path.join(gateway.folder, name), "rb").read() for name in sorted(os.listdir(gateway.folder))
                    if name.startswith("audit.jsonl.capture"))


def traffic(seed, count):
    """As (raw request, method): good, bad, malformed; bodies by length and in chunks; from near and far."""
    dice = random.Random(seed)
    paths = ["/", "/here", "/moved", "/detect/x", "/few/x", "/get", "/a/b/../c", "/%00", "/..%2f..%2fetc/passwd", "/private/x"]
    values = ["good", "evil", "wicked", "<script>alert(1)</script>", "1' or 1=1--", "a" * 300, "%zz", PASSWORD]
    for number in range(count):
        method = dice.choice(["GET", "GET", "POST", "POST", "DELETE", "HEAD", "BREW"])
        value = dice.choice(values)
        quoted = "".join(f"%{ord(c):02x}" if not c.isalnum() and c != "%" else c for c in value)
        target = dice.choice(paths) + (f"?q={quoted}" if dice.random() < .5 else "")
        fields = ["Host: shop.test", f"User-Agent: t/{number}"]
        if dice.random() < .2:
            fields.append(f"X-Forwarded-For: {dice.choice(['203.0.113.9', '198.51.100.7', '2001:db8::1', 'nonsense'])}")
        if dice.random() < .1:
            fields.append("Authorization: Basic " + dice.choice(["YWxpY2U6cGFzc3dvcmQ=", "YWxpY2U6d3Jvbmc=", "x"]))
        if dice.random() < .03:
            fields.append(dice.choice(["Bad Field: x", "Host: other.test", "Content-Length: 3\r\nTransfer-Encoding: chunked"]))
        body = b""
        if method == "POST":
            body = b"a=" + quoted.encode() + b"&b=" + b"x" * dice.choice([0, 10, 20000])
            fields.append("Content-Type: application/x-www-form-urlencoded")
            if dice.random() < .3:
                fields.append("Transfer-Encoding: chunked")
                body = chunked(body)
            else:
                fields.append(f"Content-Length: {len(body)}")
        yield (f"{method} {target} HTTP/1.1\r\n" + "\r\n".join(fields) + "\r\n\r\n").encode() + body, method




def test_a_thousand_of_a_thousand(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public)) as gateway:
        for raw, method in traffic(7, COUNT):
            with gateway.client() as client:
                client.send(raw).answer(method)
        eventually(lambda: len(gateway.records()) >= COUNT, what="all records")
        assert all(record["sallyport"].get("captured") for record in gateway.records())
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private)
        assert told["groups"] == [] and told["unknown_why"] == []
        assert (told["same"], told["changed"], told["unreadable"], told["incomplete"]) == (COUNT, 0, 0, 0)
        # There was something to decide.
        kinds = {(r["event"]["action"], r["sallyport"].get("reason")) for r in gateway.records()}
        assert len(kinds) >= 8, kinds
        # Nothing of it stands there in the clear.
        sealed = captures(gateway)
        for secret in (PASSWORD.encode(), b"alice", b"shop.test", b"YWxpY2U6", b"evil"):
            assert secret not in sealed
        assert oct(os.stat(gateway.audit_path + ".capture").st_mode & 0o777) == "0o600"


def test_diff_groups_what_changes(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public)) as gateway:
        for number in range(12):
            gateway.ask(path=f"/?q=evil{number}")
            gateway.ask(path=f"/?q=good{number}")
        gateway.ask("POST", "/", fields=[("Content-Type", "text/plain")], body=b"wicked")
        eventually(lambda: len(gateway.records()) == 25)
        gateway.write("new.yaml", json.dumps(capturing(origin, public, waf={"rules": [RULES[1]]}, deny=["127.0.0.1/32"])))
        gateway.write("lax.yaml", json.dumps(capturing(origin, public, waf={"rules": [RULES[1]]})))
        old, lax = gateway.config_path, os.path.join(gateway.folder, "lax.yaml")
        told = run(gateway, "diff", old, old, "--key", private, code=0)
        assert (told["same"], told["changed"]) == (25, 0)
        for verb, arguments in (("diff", [old, lax]), ("replay", ["-c", lax])):
            told = run(gateway, verb, *arguments, "--key", private, code=3)
            assert [(group["from"], group["to"], group["count"]) for group in told["groups"]] == \
                [("block 403 rule [no-evil]", "forward", 12)]
            assert told["same"] == 13 and len(told["groups"][0]["examples"]) == 3
        told = run(gateway, "diff", old, os.path.join(gateway.folder, "new.yaml"), "--key", private, code=3)
        assert {group["to"] for group in told["groups"]} == {"block 403 address-denied"}
        assert told["changed"] == 25
        human = command("diff", old, lax, "--key", private, cwd=gateway.folder)
        assert "12  block 403 rule [no-evil]  ->  forward" in human.stdout and "Not replayed" in human.stdout


def test_what_was_not_kept_is_said(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public, capture={"body": "1KiB"})) as gateway:
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        gateway.ask("POST", "/", fields=form, body=b"a=" + b"x" * 4000)
        gateway.ask("POST", "/", fields=form, body=b"a=1")
        eventually(lambda: len(gateway.records()) == 2)
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private, code=0)
        assert told["same"] == 1 and told["unknown"] == 1
        assert told["unknown_why"] == [{"why": "its body was not kept whole", "count": 1}]


def test_large_bodies_come_in_parts(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public, capture={"body": "512KiB"})) as gateway:
        body = b"a=" + b"x" * 400_000 + b"&b=wicked"
        form = [("Content-Type", "application/octet-stream")]
        assert gateway.ask("POST", "/", fields=form, body=body).status in (200, 403)
        eventually(lambda: len(gateway.records()) == 1)
        assert gateway.records()[0]["sallyport"]["captured"]
        assert len(captures(gateway)) > 400_000
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private, code=0)
        assert (told["same"], told["incomplete"]) == (1, 0)
        with open(gateway.audit_path + ".capture", "r+b") as file:  # the last part is torn
            file.truncate(os.path.getsize(file.name) - 100)
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private, code=0)
        assert (told["same"], told["incomplete"]) == (0, 1)


def test_only_its_own_key_opens(origin, pair, tmp_path):
    public, private = pair
    _, other = keys(str(tmp_path))
    with Sallyport(capturing(origin, public)) as gateway:
        gateway.ask(path="/?q=evil")
        eventually(lambda: len(gateway.records()) == 1)
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", other, code=0)
        assert told["same"] == 0 and told["unreadable"] == 1
        os.chmod(other, 0o644)
        done = command("replay", "-c", gateway.config_path, "--key", other, cwd=gateway.folder)
        assert done.returncode == 2 and "others than its owner" in done.stderr
        done = command("capture", "key", "--to", private)
        assert done.returncode == 2 and "exists" in done.stderr


def test_selection_and_rate(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public, capture={"of": ["blocked"], "rate": 5})) as gateway:
        for _ in range(30):
            gateway.ask(path="/?q=evil")
            gateway.ask(path="/?q=good")
        records = eventually(lambda: gateway.records() if len(gateway.records()) == 60 else None)
        kept = [r for r in records if r["sallyport"].get("captured")]
        assert all(r["event"]["action"] == "block" for r in kept)
        seconds = {r["@timestamp"][:19] for r in records}
        assert 1 <= len(kept) <= 5 * len(seconds)
    with Sallyport(capturing(origin, public, capture={"of": [], "sample": 10})) as gateway:
        for _ in range(40):
            gateway.ask()
        records = eventually(lambda: gateway.records() if len(gateway.records()) == 40 else None)
        assert len([r for r in records if r["sallyport"].get("captured")]) == 4


def test_segments_are_bounded(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public, capture={"size": "8MiB", "body": "512KiB"})) as gateway:
        body = b"a=" + os.urandom(200_000).hex().encode()
        for number in range(40):  # 16 MiB; one at a time, for a full ring loses them
            gateway.ask("POST", "/", fields=[("Content-Type", "application/octet-stream")], body=body)
            eventually(lambda: len(gateway.records()) == number + 1)
        names = [name for name in os.listdir(gateway.folder) if re.fullmatch(r"audit\.jsonl\.capture(\.\d+)?", name)]
        assert len(names) > 3 and len(captures(gateway)) <= 8 << 20
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private, code=0)
        assert told["changed"] == 0 and told["same"] >= 10


def test_killed_recorder_leaves_whole_captures(origin, pair):
    public, private = pair
    with Sallyport(capturing(origin, public)) as gateway:
        for number in range(5):
            for _ in range(20):
                gateway.ask(path="/?q=evil")
            os.kill(gateway.one("recorder"), 9)
        eventually(lambda: len(gateway.records()) == 100, 60)
        told = run(gateway, "replay", "-c", gateway.config_path, "--key", private, code=0)
        assert (told["same"], told["unreadable"]) == (100, 0)


def test_needs_a_file_and_a_good_key(origin, pair, tmp_path):
    public, _ = pair
    config = capturing(origin, public)
    del config["audit"]["file"]
    path = tmp_path / "a.yaml"
    for change, word in (({}, "audit.file"), ({"file": "a.jsonl", "capture": {"key": "AAAA"}}, "no public key")):
        path.write_text(json.dumps({**config, "audit": {**config["audit"], **change}}))
        done = command("check", "-c", str(path))
        assert done.returncode == 2 and word in done.stdout + done.stderr


def test_one_is_explained_and_exported(origin, pair, tmp_path):
    with Sallyport(capturing(origin, pair[0])) as gateway:
        raw = b"POST /x HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n" \
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + chunked(b"a=ev", b"il")
        with gateway.client() as client:
            assert client.send(raw).answer("POST").status == 403
        live = gateway.new_records()[0]
        one = live["http"]["request"]["id"]
        eventually(lambda: captures(gateway), what="a capture")
        arguments = ["-c", gateway.config_path, "--key", pair[1]]
        told = run(gateway, "explain", one, *arguments, code=3)
        assert told["sallyport"]["matches"] == live["sallyport"]["matches"]
        assert told["client"]["ip"] == live["client"]["ip"] and told["@timestamp"] == live["@timestamp"]
        said = run(gateway, "capture", "export", "--to", str(tmp_path), *arguments, code=0)
        assert said == {"written": 1, "captured": 1}
        path = tmp_path / (one + ".http")
        assert path.read_bytes() == raw.replace(chunked(b"a=ev", b"il"), chunked(b"a=evil"))
        assert path.stat().st_mode & 0o777 == 0o600
        again = run(gateway, "explain", str(path), "-c", gateway.config_path, code=3)
        assert again["sallyport"]["matches"] == live["sallyport"]["matches"]
        assert command("capture", "export", "--to", str(tmp_path), *arguments, cwd=gateway.folder).returncode == 1


def test_each_kind_is_explained_by_its_id(origin, pair):
    """Forwarded (nobody is asked for that), refused with a NUL in it, refused for what came before."""
    wrong = ["Authorization: Basic " + "YWxpY2U6d3Jvbmc="]
    asked = [("/x", [], 200, 0), ("/de\0f", [], 400, 3), *[("/private/x", wrong, 401, 3)] * 8, ("/gone", [], 200, 0)]
    with Sallyport(capturing(origin, pair[0])) as gateway:
        for path, fields, status, _ in asked:
            with gateway.client() as client:
                lines = [f"GET {path} HTTP/1.1", "Host: test", *fields, "", ""]
                assert client.send("\r\n".join(lines)).answer("GET").status in (status, 429)
        live = gateway.new_records(len(asked))
        eventually(lambda: captures(gateway), what="captures")
        ids = [record["http"]["request"]["id"] for record in live]
        done = command("explain", "-c", gateway.config_path, "--key", pair[1], "-o", "json", *ids,
                       cwd=gateway.folder, timeout=120)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(told) == len(asked) and done.returncode == 3, done.stderr
        for then, now, (path, _, _, code) in zip(live, told, asked):
            assert now["event"]["action"] == then["event"]["action"], path
            for name in ("reason", "detail"):
                assert code == 0 or now["sallyport"].get(name) == then["sallyport"].get(name), path
        assert len({record["sallyport"].get("detail") for record in live}) >= 3  # a wrong password, and one too many
        said = command("explain", "-c", gateway.config_path, "--key", pair[1], ids[0], cwd=gateway.folder, timeout=60)
        assert said.returncode == 0 and "PASS" in said.stdout and "no-route" not in said.stdout, said.stdout
