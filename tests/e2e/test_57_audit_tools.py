"""Searching, proving and checking the audit log: while it grows, over its segments, and away from it."""
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from harness import BINARY, ROOT, Sallyport, command, eventually, plain

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"}]


def audit(gateway, *arguments, code=0):
    done = command("audit", *arguments, "-c", gateway.config_path, cwd=gateway.folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def listed(gateway, *terms):
    return [json.loads(line) for line in audit(gateway, "search", *terms, "-o", "json").stdout.splitlines()]


def verified(gateway, code=0):
    return json.loads(audit(gateway, "verify", "-o", "json", code=code).stdout)


def config(origin, **audit):
    made = plain(origin, waf={"mode": "block", "ruleset": "none", "rules": RULES},
                 server={"trusted_proxies": ["127.0.0.0/8"]})
    made["audit"] = {"file": "audit.jsonl", "record": ["all"], **audit}
    return made


def traffic(gateway, count=60):
    """Mixed requests of three clients; the ids of those that the first one was refused."""
    refused = []
    with gateway.client() as client:
        for i in range(count):
            fields = [("X-Forwarded-For", f"198.51.100.{1 + i % 3}")]
            path = f"/shop/{i}?q=evil" if i % 5 == 0 else f"/page/{i}"
            answer = client.ask(path=path, fields=fields, host="Shop.test")
            assert answer.status == (403 if i % 5 == 0 else 200)
            if i % 15 == 0:
                refused.append(answer.body)
    return refused


@pytest.fixture(scope="module")
def rotated(origin):
    """A log of many segments, all but the last compressed."""
    with Sallyport(config(origin, rotate={"size": "30KiB"})) as gateway:
        for _ in range(5):
            traffic(gateway)
            time.sleep(0.05)
        names = lambda: os.listdir(gateway.folder)  # noqa: E731
        eventually(lambda: any(n.endswith(".zst") for n in names()) and
                   not any(n[-6:].isdigit() or n.endswith(".part") for n in names()), what="compressed segments")
        yield gateway


def test_search_by_every_term(rotated):
    everything = listed(rotated)
    assert len(everything) == 300
    assert [r["sallyport"]["seq"] for r in everything] == list(range(1, 301))
    for terms, test in [
            (["ip=198.51.100.2"], lambda r: r["client"]["ip"] == "198.51.100.2"),
            (["ip=198.51.100.0/31"], lambda r: r["client"]["ip"] == "198.51.100.1"),
            (["status=403"], lambda r: r["http"]["response"]["status_code"] == 403),
            (["status=2xx", "ip=198.51.100.3"], lambda r: r["http"]["response"]["status_code"] == 200 and
             r["client"]["ip"] == "198.51.100.3"),
            (["action=block"], lambda r: r["event"]["action"] == "block"),
            (["reason=rule"], lambda r: r["event"].get("reason") == "rule"),
            (["rule=no-evil", "path=/shop/3"], lambda r: r["event"]["action"] == "block" and
             r["url"]["path"].startswith("/shop/3")),
            (["host=shop.test", "path=/page/1"], lambda r: r["url"]["path"].startswith("/page/1")),
            (["since=1h"], lambda r: True), (["until=1h"], lambda r: False), (["user=nobody"], lambda r: False)]:
        assert listed(rotated, *terms) == [r for r in everything if test(r)], terms
    assert len(listed(rotated, "limit=7")) == 7
    times = sorted(r["@timestamp"] for r in everything)
    assert {r["@timestamp"] for r in listed(rotated, f"since={times[100]}", f"until={times[200]}")} == set(times[100:201])


def test_search_says_what_is_wrong(rotated):
    for term in ("ip=1.2.3", "status=999", "since=yesterday", "color=red", "path", "limit=x"):
        done = command("audit", "search", term, "-c", rotated.config_path, cwd=rotated.folder)
        assert done.returncode == 2 and term in done.stderr
    assert command("audit", "look").returncode == 2
    assert command("audit", "search").returncode == 2


def test_show_and_timeline(rotated):
    some = listed(rotated, "action=block")[4]
    shown = audit(rotated, "show", some["http"]["request"]["id"]).stdout
    assert json.loads(shown) == some
    audit(rotated, "show", "00000000-0000-7000-8000-000000000000", code=1)
    text = audit(rotated, "timeline", "ip=198.51.100.1").stdout
    assert text.count("\n") == 101 and "100 records" in text and "block 20" in text and "pass 80" in text


def test_verify_and_search_while_it_is_rotated(origin):
    """Renamed, compressed and sealed under the reader's hands, a log is whole all the same."""
    with Sallyport(config(origin, rotate={"size": "30KiB"})) as gateway:
        traffic(gateway, 15)
        eventually(lambda: os.path.exists(gateway.audit_path + ".seal"), what="the first seal")
        ended, looks = threading.Event(), 0

        def go():
            try:
                for _ in range(8):
                    traffic(gateway)
            finally:
                ended.set()
        thread = threading.Thread(target=go)
        thread.start()
        while not ended.is_set():
            found = verified(gateway)
            assert found["good"], found
            numbers = [r["sallyport"]["seq"] for r in listed(gateway)]
            assert numbers == list(range(1, len(numbers) + 1))
            looks += 1
        thread.join()
        assert looks > 0
        assert eventually(lambda: verified(gateway)["records"] == 15 + 8 * 60, what="all records")


def test_verify_tells_a_chain_of_another_key(rotated):
    found = verified(rotated)
    assert found["good"] and found["records"] == 300 and found["segments"] >= 5
    pinned = audit(rotated, "verify", "--key", found["key"])
    assert "whole: 300 records" in pinned.stdout
    assert "NOT whole" in audit(rotated, "verify", "--key", "A" * 43, code=1).stdout


def blake(data, key=b""):
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def test_evidence_verifies_elsewhere(rotated, tmp_path):
    """By the program, and by a few lines of another language that know docs/audit.md only."""
    os.kill(rotated.one("recorder"), signal.SIGTERM)  # which it does not heed
    eventually(lambda: verified(rotated)["unsealed"] == 0, 15, "a checkpoint")
    path = tmp_path / "evidence.jsonl"
    audit(rotated, "export", "ip=198.51.100.2", "action=block", "--to", str(path))
    done = command("audit", "verify", str(path), "-o", "json", cwd=str(tmp_path))
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["good"] and found["records"] == 20

    seals, head, number, shown = {}, None, 0, 0
    for line in path.read_bytes().splitlines():
        value = json.loads(line)
        if "seal" in value:
            seals[value["seq"]] = value["head"]
        elif "interval" in value:
            head, number = base64.b64decode(value["head"] + "="), value["after"]
            assert seals[number] == value["head"]
        elif "end" in value:
            assert value["records"] == 20 and value["hidden"] == found["hidden"] > 0
        elif "evidence" not in value:
            if "leaf" in value:
                leaf = base64.b64decode(value["leaf"] + "=")
            else:
                leaf = blake(line[:line.rindex(b',"seq":')] + b"}}")
                assert value["client"]["ip"] == "198.51.100.2"
                shown += 1
            number += 1
            head = blake(head + number.to_bytes(8, "little") + leaf)
            if number in seals:
                assert base64.b64encode(head).decode().rstrip("=") == seals[number]
    assert shown == 20

    whole = path.read_text().splitlines()
    first = next(i for i, line in enumerate(whole) if line.startswith('{"interval"'))
    for kind, lines in [("edit", [line.replace('"outcome":"failure"', '"outcome":"success"') for line in whole]),
                        ("truncate", whole[:-3]), ("truncate", whole[:-1]), ("insert", whole + whole[-2:-1]),
                        ("duplicate", whole[:-1] + whole[first:])]:
        path.write_text("\n".join(lines) + "\n")
        done = command("audit", "verify", str(path), "-o", "json")
        assert done.returncode == 1 and kind in [p["kind"] for p in json.loads(done.stdout)["problems"]], done.stdout


def test_tampering_is_found_by_the_command(origin):
    with Sallyport(config(origin)) as gateway:
        traffic(gateway)
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(10)
        assert verified(gateway)["good"]
        with open(gateway.audit_path) as file:
            lines = file.read().splitlines()
        for kind, made in [("insert", [lines[0][:lines[0].rindex(',"seq":')] + "}}"] + lines), ("edit", [line.replace("198.51.100.2", "198.51.100.9") for line in lines]),
                           ("delete", lines[:10] + lines[11:]), ("duplicate", lines[:10] + lines[9:]),
                           ("truncate", lines[:40]), ("reorder", lines[:10] + [lines[11], lines[10]] + lines[12:]),
                           ("insert", lines[:10] + ['{"sallyport":{}}'] + lines[10:])]:
            with open(gateway.audit_path, "w") as file:
                file.write("\n".join(made) + "\n")
            found = verified(gateway, code=1)
            assert kind in {p["kind"] for p in found["problems"]}, (kind, found)


def test_retention_is_told_by_the_seals(origin):
    with Sallyport(config(origin, rotate={"size": "30KiB", "compress": False}, keep={"size": "100KiB"})) as gateway:
        for _ in range(6):
            traffic(gateway)
            time.sleep(0.05)
        eventually(lambda: not os.path.exists(gateway.audit_path + ".000001"), 20, "the oldest segment to go")
        found = verified(gateway)
        assert found["good"] and found["pruned_segments"] >= 1 and 0 < found["records"] < 360
        last = max(n for n in os.listdir(gateway.folder) if n[-6:].isdigit())
        os.unlink(os.path.join(gateway.folder, last))
        assert {"delete", "truncate"} & {p["kind"] for p in verified(gateway, code=1)["problems"]}


def test_the_incident_exercise():
    """The exercise of `make incident`, small: 20,000 records."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
    import incident
    import tempfile
    build = os.path.dirname(BINARY)
    if not os.path.exists(os.path.join(build, "audit-bench")):
        pytest.skip("audit-bench is not built")
    with tempfile.TemporaryDirectory() as folder:
        assert incident.exercise(build, 20000, folder)["timeline"] < 10
