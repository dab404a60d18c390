"""No committed record is lost, whatever dies; a full disk is met as configured, and forgotten when there is room."""
import collections
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from harness import Cut, Sallyport, eventually, merge, plain, soon

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"}]
REQUEST_ID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def config(origin, record=("all",), workers=1, **audit):
    made = plain(origin, server={"workers": workers},
                 waf={"mode": "block", "ruleset": "none", "rules": RULES})
    made["audit"] = {"file": "audit.jsonl", "record": list(record), **audit}
    return made


def ids_of(gateway):
    return collections.Counter(r["http"]["request"]["id"] for r in gateway.records() if "http" in r)


def check_sequence(records):
    """Numbers begin at one and no one is missing."""
    numbers = [r["sallyport"]["seq"] for r in records]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("durability", ["write", "sync"])
def test_written_before_answered(origin, durability):
    with Sallyport(config(origin, durability=durability)) as gateway:
        with gateway.client() as client:
            for i in range(100):
                answer = client.ask(path=f"/{i}?q=evil")
                assert answer.status == 403
                with open(gateway.audit_path, "rb") as file:  # at once: no waiting
                    assert REQUEST_ID.search(answer.body)[0] in file.read()
                assert client.ask(path="/").status == 200
        check_sequence(gateway.lines())


def test_a_client_that_leaves_while_its_answer_waits(origin):
    with Sallyport(config(origin, durability="write")) as gateway:
        recorder = gateway.one("recorder")
        os.kill(recorder, signal.SIGSTOP)
        clients = [gateway.client().send("GET /?q=evil HTTP/1.1\r\nHost: t\r\n\r\n") for _ in range(20)]
        time.sleep(0.2)
        for client in clients:
            client.close()
        assert gateway.ask().status == 200  # the loop goes on
        os.kill(recorder, signal.SIGCONT)
        assert gateway.ask(path="/?q=evil").status == 403
        eventually(lambda: len(gateway.records()) == 22, what="a record of each")


def test_an_answer_does_not_wait_for_ever(origin):
    with Sallyport(config(origin, durability="write")) as gateway:
        recorder = gateway.one("recorder")
        os.kill(recorder, signal.SIGSTOP)
        began = time.monotonic()
        assert gateway.ask(path="/?q=evil").status == 403
        assert 1.5 < time.monotonic() - began < soon(10)
        os.kill(recorder, signal.SIGCONT)


class Attack(threading.Thread):
    """Blocked requests one after the other; keeps the ids of those that were answered."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.answered, self.stopping = gateway, [], threading.Event()

    def run(self):
        client = None
        while not self.stopping.is_set():
            try:
                client = client or self.gateway.client()
                answer = client.ask(path="/?q=evil")
                assert answer.status == 403
                self.answered.append(REQUEST_ID.search(answer.body)[0].decode())
            except (OSError, Cut):
                client = None
                time.sleep(0.005)


@pytest.mark.parametrize("victim", ["recorder", "worker", "generation"])
def test_killed_under_load(origin, victim):
    with Sallyport(config(origin, workers=2, durability="write")) as gateway:
        attacks = [Attack(gateway) for _ in range(6)]
        for attack in attacks:
            attack.start()
        for _ in range(4):
            time.sleep(0.4)
            pids = gateway.role(victim)
            if pids:
                os.kill(pids[0], signal.SIGKILL)
        time.sleep(0.5)
        for attack in attacks:
            attack.stopping.set()
        for attack in attacks:
            attack.join(20)
        answered = [one for attack in attacks for one in attack.answered]
        assert len(answered) > 50
        eventually(lambda: not set(answered) - set(ids_of(gateway)), what="every answer's record")
        seen = ids_of(gateway)
        assert max(seen.values()) == 1, "a record was written twice"
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(20)
        check_sequence(gateway.lines())


def test_a_stopped_recorder_costs_no_request(origin):
    """Its ring fills: forwarded requests are lost first, counted, and told; decisions have room to the end."""
    with Sallyport(config(origin)) as gateway:
        assert gateway.ask().status == 200
        recorder = gateway.one("recorder")
        os.kill(recorder, signal.SIGSTOP)
        agent = [("User-Agent", "x" * 1000), ("Referer", "http://r/" + "y" * 1900)]
        with gateway.client() as client:
            for i in range(500):
                assert client.ask(path="/" + "a" * 2000, fields=agent).status == 200
            for i in range(40):
                assert client.ask(path="/?q=evil").status == 403
        os.kill(recorder, signal.SIGCONT)
        gaps = eventually(lambda: [r for r in gateway.records() if r["sallyport"]["action"] == "gap"], what="a gap record")
        assert {r["sallyport"]["reason"] for r in gaps} == {"ring-full"}
        lost = [sum(r["sallyport"]["lost"][kind] for r in gaps) for kind in ("forwarded", "detected", "decided")]
        passed = sum(r["event"]["action"] == "pass" for r in gateway.records())
        blocked = sum(r["event"]["action"] == "block" for r in gateway.records())
        assert lost[0] > 0 and lost[1:] == [0, 0] and passed + lost[0] == 501 and blocked == 40
        check_sequence(gateway.lines())


def test_floods_are_told_in_sum(origin):
    with Sallyport(config(origin, record=["blocked", "auth"], flood=5, durability="write")) as gateway:
        with gateway.client() as client:
            for i in range(300):
                assert client.ask(path=f"/{i}?q=evil").status == 403
            assert client.ask(path="//x/../..\x01").status == 400
        def told():
            records = gateway.records()
            single = sum(r["event"]["reason"] == "rule" and "http" in r for r in records)
            return single + sum(r["sallyport"].get("repeat", {}).get("count", 0) for r in records) == 300 and records
        records = eventually(told, what="all of them, one by one or in sum")
        sums = [r for r in records if "repeat" in r["sallyport"]]
        assert len(records) < 150 and sums
        assert all(r["client"]["ip"] == "127.0.0.1" and r["rule"]["id"] == "no-evil" and
                   r["sallyport"]["site"] and r["sallyport"]["repeat"]["first"] <= r["sallyport"]["repeat"]["last"]
                   for r in sums)
        assert any(r["event"]["reason"] == "http" for r in records)  # another kind: seen at once
        worker = gateway.one("worker")
        with gateway.client() as client:
            for i in range(60):
                assert client.ask(path=f"/again{i}?q=evil").status == 403
        os.kill(worker, signal.SIGKILL)  # what it counted is in shared memory
        def all_told():
            records = gateway.records()
            return sum(r["event"]["reason"] == "rule" and "http" in r for r in records) + \
                sum(r["sallyport"].get("repeat", {}).get("count", 0) for r in records) == 360
        eventually(all_told, what="what the dead worker had counted")


# ---- a full disk ---------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk():
    """A folder on a file system of 6 MiB."""
    folder = tempfile.mkdtemp(prefix="sallyport-disk-")
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=777", "tmpfs", folder],
                                                   capture_output=True).returncode == 0
    if not mounted:
        os.rmdir(folder)
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)


def fill(folder):
    path = os.path.join(folder, "ballast")
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass
    return path


def on_small_disk(origin, folder, **audit):
    made = config(origin, **merge({"file": os.path.join(folder, "audit.jsonl"), "reserve": "1MiB"}, audit))
    gateway = Sallyport(made)
    gateway.audit_path = os.path.join(folder, "audit.jsonl")
    assert gateway.ask().status == 200
    eventually(lambda: len(gateway.records()) == 1)
    return gateway


LONG = [("User-Agent", "x" * 1000), ("Referer", "http://r/" + "y" * 1900)]


def until(client_of, path, status, seconds=20):
    """Asks until it is answered so; the number of requests that it took."""
    end, count = time.monotonic() + seconds, 0
    client = client_of()
    while time.monotonic() < end:
        count += 1
        try:
            answer = client.ask(path=path, fields=LONG)
        except (OSError, Cut):
            client = client_of()
            continue
        if answer.status == status:
            return count
        if answer.get("connection", "").lower() == "close":
            client = client_of()
    raise AssertionError(f"never {status}")


def test_full_disk_drops_what_matters_least(origin, small_disk):
    with on_small_disk(origin, small_disk, durability="write") as gateway:
        ballast = fill(small_disk)
        blocked = []
        with gateway.client() as client:
            for i in range(300):
                assert client.ask(path="/" + "b" * 500, fields=LONG).status == 200
                if i % 3 == 0:
                    answer = client.ask(path="/?q=evil")
                    assert answer.status == 403
                    blocked.append(REQUEST_ID.search(answer.body)[0].decode())
        assert set(blocked) - set(ids_of(gateway)), "the disk was not full"
        os.unlink(ballast)
        eventually(lambda: not set(blocked) - set(ids_of(gateway)), what="the reserved records")
        assert gateway.ask().status == 200

        def told():
            """How many requests passed, as far as they are on record, and how many records are lost."""
            records = gateway.records()
            gaps = [r for r in records if r["sallyport"]["action"] == "gap"]
            assert {r["sallyport"]["reason"] for r in gaps} <= {"disk-full", "ring-full"}
            lost = sum(r["sallyport"]["lost"]["forwarded"] for r in gaps)
            return lost, sum(r["event"]["action"] == "pass" for r in records)

        eventually(lambda: told()[0] > 0 and sum(told()) == 302, what="every request told or counted as lost")
        check_sequence(gateway.lines())


def test_full_disk_blocks(origin, small_disk):
    with on_small_disk(origin, small_disk, on_full="block") as gateway:
        ballast = fill(small_disk)
        done = []

        def ask():
            with gateway.client(timeout=60) as client:
                for _ in range(700):
                    done.append(client.ask(path="/" + "b" * 1000, fields=LONG).status)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        def stands_still():
            count = len(done)
            time.sleep(0.7)
            return count == len(done) and count
        count = eventually(stands_still, what="requests that wait")
        assert 100 < count < 700
        os.unlink(ballast)
        thread.join(60)
        assert done == [200] * 700
        eventually(lambda: len(gateway.records()) == 701, what="every record")
        assert not any(r["sallyport"]["action"] == "gap" for r in gateway.records())
        check_sequence(gateway.lines())


def test_a_recorder_that_hangs_fails_closed(origin):
    """No request passes without a record, whatever the recorder does."""
    config = plain(origin)
    config["audit"]["on_full"] = "fail-closed"
    with Sallyport(config) as gateway:
        recorder = gateway.one("recorder")
        os.kill(recorder, signal.SIGSTOP)
        try:
            served = until(gateway.client, "/" + "b" * 2000, 503) - 1
            assert served > 100
        finally:
            os.kill(recorder, signal.SIGCONT)
        # Refusals have little room of their own: nothing more is asked before there is some again.
        eventually(lambda: sum(r["event"]["action"] == "pass" for r in gateway.records()) >= served,
                   what="the records of all that were served")
        until(gateway.client, "/", 200)
        assert not any(r["sallyport"]["action"] == "gap" for r in gateway.lines())
        assert gateway.status()["counters"]["records_lost"] == 0


def test_full_disk_fails_closed(origin, small_disk):
    with on_small_disk(origin, small_disk, on_full="fail-closed") as gateway:
        ballast = fill(small_disk)
        served = until(gateway.client, "/" + "b" * 1000, 503)
        assert served > 100  # the reserve is used first
        assert gateway.ask().status == 503
        os.unlink(ballast)
        until(gateway.client, "/", 200)
        refused = [r for r in gateway.records() if r["event"].get("reason") == "audit"]
        assert refused and refused[0]["http"]["response"]["status_code"] == 503
        check_sequence(gateway.lines())
