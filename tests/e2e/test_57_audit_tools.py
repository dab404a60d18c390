"""Searching, proving and checking the audit log: while it grows, over its segments, and away from it."""
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import rosters
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
    assert found["good"] and found["records"] == 300 and found["segments"] > 2
    pinned = audit(rotated, "verify", "--key", found["key"])
    assert "whole: 300 records" in pinned.stdout
    assert "NOT whole" in audit(rotated, "verify", "--key", "A" * 43, code=1).stdout


def evidence(gateway, path, *terms):
    """The lines of an export that the program finds whole."""
    audit(gateway, "export", *terms, "--to", str(path))
    found = followed(path)
    assert found["good"], found
    return path.read_text().splitlines(), found


def followed(path, lines=None, code=0):
    if lines is not None:
        path.write_text("\n".join(lines) + "\n")
    done = command("audit", "verify", str(path), "-o", "json", cwd=str(path.parent))
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sealed(rotated):
    """The same, up to its end."""
    os.kill(rotated.one("recorder"), signal.SIGTERM)  # which it does not heed
    eventually(lambda: verified(rotated)["unsealed"] == 0, 20, "a checkpoint")
    return rotated


def test_evidence_verifies_elsewhere(sealed, tmp_path):
    """By the program, and by a few lines of another language that know docs/audit.md only."""
    terms = ["ip=198.51.100.2", "action=block"]
    whole, found = evidence(sealed, tmp_path / "evidence.jsonl", *terms)
    assert found["records"] == 20 and found["evidence"]["complete"] and found["evidence"]["query"] == " ".join(terms)

    seals, asked, head, number, shown, begin = [], [], None, 0, set(), 0
    for line in whole:
        value = json.loads(line)
        if "seal" in value:
            seals.append(value)
        elif "interval" in value:
            head, number = rosters.decoded(value["head"]), value["after"]
            assert value["head"] in [seal["head"] for seal in seals if seal["seq"] == number]
        elif "end" in value:
            assert value["records"] == 20 and value["hidden"] == found["hidden"] > 0
        elif "roster" in value:
            asked.append(value)
        elif "evidence" not in value:
            if "leaf" in value:
                leaf = rosters.decoded(value["leaf"])
            else:
                leaf = rosters.blake(line[:line.rindex(',"seq":')].encode() + b"}}")
                assert value["client"]["ip"] == "198.51.100.2"
                shown.add(number + 1)
            number += 1
            head = rosters.blake(head + number.to_bytes(8, "little") + leaf)
            for seal in seals:
                assert seal["seq"] != number or rosters.decoded(seal["head"]) == head
    answer = set()
    for seal in seals:
        if seal["seq"] > begin:
            one, other = [rosters.answers(asked.pop(0), term, seal["roster"]) for term in terms]
            answer |= {begin + 1 + at for at in one & other}
        begin = seal["seq"]
    assert not asked and answer == shown and len(shown) == 20


def at_of(lines, start):
    return next(i for i, line in enumerate(lines) if line.startswith(start))


def test_evidence_that_was_tampered_with(sealed, tmp_path):
    path = tmp_path / "evidence.jsonl"
    whole, _ = evidence(sealed, path, "ip=198.51.100.2", "action=block")
    first, roster = at_of(whole, '{"interval"'), at_of(whole, '{"roster"')
    record, leaf = at_of(whole, '{"@timestamp"'), at_of(whole, '{"leaf"')
    number = json.loads(whole[record])["sallyport"]["seq"]
    other = next(line for line in audit(sealed, "search", "-o", "json").stdout.splitlines()
                 if json.loads(line)["sallyport"]["seq"] == number + 1)
    hidden = base64.b64encode(rosters.blake(whole[record][:whole[record].rindex(',"seq":')].encode() + b"}}"))
    left_out = list(whole)
    left_out[record] = '{"leaf":"' + hidden.decode().rstrip("=") + '"}'
    records, leaves = len([1 for line in whole if '"@timestamp"' in line]), len([1 for line in whole if "leaf" in line])
    left_out[-1] = json.dumps({"end": True, "records": records - 1, "hidden": leaves + 1}, separators=(",", ":"))
    added = list(whole)
    added[record + 1] = other
    added[-1] = json.dumps({"end": True, "records": records + 1, "hidden": leaves - 1}, separators=(",", ":"))
    swapped = list(whole)
    swapped[record], swapped[record + 1] = swapped[record + 1], swapped[record]
    end = next(i for i in range(first, len(whole)) if whole[i].startswith('{"roster"'))
    until = '{"evidence":2,"query":["ip=198.51.100.2","action=block","until=2001-01-01T00:00:00.000Z"]}'
    assert leaf and end == roster
    for kind, lines in [
            ("edit", [line.replace('"outcome":"failure"', '"outcome":"success"') for line in whole]),
            ("truncate", [whole[0], '{"end":true,"records":0,"hidden":0}']), ("truncate", whole[:-3]), ("truncate", whole[:-1]), ("insert", whole + whole[-2:-1]),
            ("duplicate", whole[:-1] + whole[first:]), ("insert", swapped),
            ("delete", left_out), ("insert", added),
            ("delete", whole[:first] + whole[end:]),  # an interval without its records
            ("delete", whole[:first] + whole[end + 2:]),  # and without its rosters
            ("delete", whole[:roster + 1] + whole[roster + 2:]),  # the roster of one term
            ("edit", [whole[0].replace("198.51.100.2", "198.51.100.3")] + whole[1:]),
            ("edit", [whole[0].replace("198.51.100.2", "198.51.100.200")] + whole[1:]),
            ("insert", [whole[0].replace(',"action=block"', "")] + whole[1:]),
            ("insert", [whole[0].replace("action=block", "action=pass")] + whole[1:]),
            ("insert", [until] + whole[1:])]:
        found = followed(path, lines, code=1)
        assert kind in [p["kind"] for p in found["problems"]] and not found["evidence"]["complete"], (kind, found)
    # A filter that no roster knows says of itself that it proves less.
    narrowed = [whole[0].replace('"]}', '","path=/nowhere"]}')] + [line for line in left_out[1:]]
    assert not followed(path, narrowed, code=1)["evidence"]["complete"]


def test_evidence_of_other_queries(sealed, tmp_path):
    for terms, complete in [
            (["ip=203.0.113.77"], True), (["status=403"], True), (["rule=no-evil", "host=shop.test"], True),
            (["since=1h", "ip=198.51.100.1"], True), (["since=1h"], True), ([], True), (["until=1h"], True),
            (["path=/shop/1"], False), (["ip=198.51.100.0/24"], False), (["ip=198.51.100.1", "path=/shop/"], False),
            (["ip=198.51.100.1", "path=/"], True)]:
        records = len(listed(sealed, *terms))
        assert (records == 0) == (terms[:1] in (["ip=203.0.113.77"], ["until=1h"])), terms
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        _, found = evidence(sealed, path, *terms)
        told = found["evidence"]
        assert (found["records"], told["complete"]) == (records, complete), (terms, found)
        assert told["without_roster"] == told["pruned_records"] == told["beside"] == 0, (terms, found)
        said = command("audit", "verify", str(path)).stdout
        assert ("complete: of the records sealed up to 20" in said) == complete, said
    assert "takes no limit" in audit(sealed, "export", "limit=3", code=2).stderr


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
