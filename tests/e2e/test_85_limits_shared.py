"""Limits that several gateways share through a real Redis, and what happens when it fails.

Bounds on time are generous, for the machine may be busy; what must hold exactly are the numbers: a shared limit never
lets more pass than its burst and its rate allow, and no request fails because the store does.
"""
import json
import os
import signal
import threading
import time

import pytest

from harness import Origin, Sallyport, busy, command, eventually, plain, soon
from redis_server import Redis

SECRET = {"secret": "$(env:STORE_SECRET)"}
ENV = {"STORE_SECRET": "of the tests"}


def shared(redis, limits, workers=1, **store):
    config = plain(None, {"workers": workers}, routes=[
        {"path": "/**", "respond": {"status": 200, "body": "served"}, "limits": limits}])
    config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "200ms", **SECRET, **store}
    return config


def connected(redis, count=1):
    """Until so many workers have greeted the store."""
    eventually(lambda: redis.ask("INFO", "clients").split("connected_clients:")[1].split("\r")[0] >= str(count + 1)
               and redis.ask("INFO", "commandstats").count("cmdstat_script|load"), what="gateways at the store")
    time.sleep(0.1)


def statuses(gateway, count, **more):
    with gateway.client() as client:
        return [client.ask(**more).status for _ in range(count)]


def test_two_gateways_are_one():
    limits = [{"rate": "6/min", "burst": 6, "name": "six"}]
    with Redis() as redis, Sallyport(shared(redis, limits), ENV) as a, Sallyport(shared(redis, limits), ENV) as b:
        connected(redis, 2)
        assert statuses(a, 4) == [200] * 4
        assert statuses(b, 4) == [200, 200, 429, 429]
        answer = a.ask()
        assert answer.status == 429
        assert answer.get("ratelimit").startswith('"six";r=0;t=')
        assert answer.get("ratelimit-policy") == '"six";q=6;w=60'
        problem = json.loads(answer.body)
        assert problem["type"].endswith("#quota-exceeded") and problem["violated-policies"] == ["six"]
        limit = a.new_records(5)[-1]["sallyport"]["limit"]
        assert limit == {"name": "six", "remaining": 0, "store": "exact"}
        # What is known to be spent costs the store nothing more.
        before = redis.ask("INFO", "commandstats").split("cmdstat_evalsha:calls=")[1].split(",")[0]
        statuses(a, 20)
        assert redis.ask("INFO", "commandstats").split("cmdstat_evalsha:calls=")[1].split(",")[0] == before


def test_keys_are_macs():
    limits = [{"rate": "6/min", "per": "header:X-Key", "name": "six"}]
    with Redis() as redis, Sallyport(shared(redis, limits), ENV) as gateway:
        connected(redis)
        assert gateway.ask(fields=[("X-Key", "hunter2")]).status == 200
        (key,) = redis.ask("KEYS", "*")
        assert key.startswith("sallyport:l:") and "hunter2" not in key and len(key) == 12 + 32
        assert 0 < redis.ask("PTTL", key) <= 10_100 + 4000


def test_scripts_flushed():
    with Redis() as redis, Sallyport(shared(redis, ["100/min burst 100"]), ENV) as gateway:
        connected(redis)
        assert statuses(gateway, 2) == [200, 200]
        redis.ask("SCRIPT", "FLUSH")
        assert statuses(gateway, 3) == [200] * 3
        stages = [s for r in gateway.new_records(5) for s in r["sallyport"]["stages"]]
        assert all(s["action"] == "pass" for s in stages)
        assert redis.ask("INFO", "commandstats").count("cmdstat_eval:calls=1,") == 1


def test_all_or_none():
    """A refusal by one shared limit charges none; shadows charge and refuse nothing."""
    limits = [{"rate": "1/min", "burst": 3, "per": "header:A", "name": "a"},
              {"rate": "1/min", "burst": 5, "per": "site", "name": "b"},
              {"rate": "1/min", "burst": 1, "per": "site", "name": "s", "shadow": True}]
    with Redis() as redis, Sallyport(shared(redis, limits), ENV) as gateway:
        connected(redis)
        with gateway.client() as client:
            got = [client.ask(fields=[("A", "x")]).status for _ in range(6)]
            assert got == [200] * 3 + [429] * 3
            got = [client.ask(fields=[("A", "y")]).status for _ in range(4)]
            assert got == [200] * 2 + [429] * 2
        records = gateway.new_records(10)
        assert records[1]["sallyport"]["limit"]["shadow"] == "s"
        assert "limit" not in records[0]["sallyport"]


def drive(gateways, seconds, connections=4, fields=()):
    """Hammers; answers how many were let through, and every status that was neither 200 nor 429."""
    counts, odd, lock = [0, 0], [], threading.Lock()

    def run(gateway):
        passed = asked = 0
        end = time.monotonic() + seconds
        with gateway.client() as client:
            while time.monotonic() < end:
                status = client.ask(fields=fields).status
                asked += 1
                passed += status == 200
                if status not in (200, 429):
                    with lock:
                        odd.append(status)
        with lock:
            counts[0] += passed
            counts[1] += asked

    threads = [threading.Thread(target=run, args=(g,)) for g in gateways for _ in range(connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[0], counts[1], odd, time.monotonic() - began


@pytest.mark.parametrize("mode", ["exact", "lease"])
def test_exactly_the_limit(mode):
    """Two gateways with two workers each, all asking for one key at the same time, at a price of 2."""
    limits = [{"rate": "200/s", "burst": 200, "cost": 2, "per": "site", "name": "x", "store": mode}]
    with Redis() as redis:
        config = shared(redis, limits, workers=2, timeout="2s")
        with Sallyport(config, ENV) as a, Sallyport(config, ENV) as b:
            connected(redis, 4)
            passed, asked, odd, took = drive([a, b], 2)
            assert not odd
            ideal = (200 + 200 * took) / 2
            print(f"{mode}: {passed} passed of {asked}, {100 * passed / ideal:.2f} % of the limit, {calls(redis)} calls")
            assert asked > 1.2 * ideal, "too few requests to say anything"
            assert passed <= ideal + 1
            assert passed >= 0.97 * (200 + 200 * 2) / 2


def calls(redis):
    return int(redis.ask("INFO", "commandstats").split("cmdstat_evalsha:calls=")[1].split(",")[0])


@pytest.mark.parametrize("limit", [{"rate": "1/min", "burst": 5, "name": "x"},
                                   {"rate": "1/hour", "burst": 12, "cost": 5, "name": "x"},
                                   {"rate": "1/min", "burst": 40, "name": "x"}])
def test_every_mode_decides_the_same(limit):
    results = []
    for mode in ("local", "exact", "lease"):
        with Redis() as redis, Sallyport(shared(redis, [limit | {"store": mode}], timeout="2s"), ENV) as gateway:
            connected(redis)
            results.append((statuses(gateway, 45), [gateway.ask().get(name) for name in (
                "ratelimit-policy",)]))
    assert results[0] == results[1] == results[2]
    assert 0 < results[0][0].count(200) < 45


def test_leases_spare_questions():
    """A key that comes often, below its limit, costs few calls; all of several limits have to be leased for it."""
    limits = [{"rate": "20000/s", "per": "site", "name": "wide", "store": "lease"},
              {"rate": "1/min", "burst": 100000, "per": "site", "name": "long", "store": "lease"}]
    with Redis() as redis, Sallyport(shared(redis, limits, timeout="2s"), ENV) as gateway:
        connected(redis)
        passed, asked, odd, took = drive([gateway], 2, connections=2)
        assert not odd and passed == asked
        print(f"{calls(redis)} calls for {asked} requests")
        assert asked > 200, "too slow to say anything"
        assert calls(redis) <= 0.3 * asked
        # What a killed or idle holder had is lost after a moment, and never let through twice.
        taken = max(redis.ask("PTTL", key) for key in redis.ask("KEYS", "*")) / 60000
        assert asked - 3 <= taken <= 2 * asked + 1000


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_store_fails(how):
    limits = [{"rate": "100/min", "burst": 20, "per": "header:K", "name": "x"}]
    with Redis() as redis, Sallyport(shared(redis, limits, timeout="5ms", nodes=2), ENV) as gateway:
        connected(redis)
        with gateway.client() as client:
            def burst(key, count=30):
                times, passed = [], 0
                for _ in range(count):
                    began = time.monotonic()
                    status = client.ask(fields=[("K", key)]).status
                    times.append(time.monotonic() - began)
                    assert status in (200, 429)
                    passed += status == 200
                return passed, times

            passed, _ = burst("before", 10)
            assert passed == 10
            if how == "stopped":
                redis.signal(signal.SIGSTOP)
            else:
                redis.kill()
            # A key that the store knew goes on from there: at most its share, from what was left.
            passed, times = burst("before")
            assert passed <= 11
            assert max(times[:4]) < soon(0.2) and sorted(times[4:])[len(times) // 2] < 0.01 * busy()
            # A fresh one gets the share of one of two nodes.
            passed, times = burst("fresh")
            assert 10 <= passed <= 12
            assert sorted(times)[len(times) // 2] < 0.05 * busy()
            eventually(lambda: any(r["sallyport"].get("limit", {}).get("store") == "fallback"
                                   for r in gateway.records()), what="a record of the fallback")
            if how == "stopped":
                redis.signal(signal.SIGCONT)
            else:
                redis.start()
            began = time.monotonic()

            def asks_the_store():
                with gateway.client() as other:
                    other.ask(fields=[("K", f"probe{time.monotonic()}")])
                return "cmdstat_evalsha" in redis.ask("INFO", "commandstats") and \
                    len(redis.ask("KEYS", "sallyport:l:*")) > (1 if how == "stopped" else 0)
            eventually(asks_the_store, soon(5), "the store in use again")
            assert time.monotonic() - began < soon(3)
            # What was let through meanwhile counts there, too: also when it came back empty.
            passed, _ = burst("fresh")
            assert passed <= 2
            assert all(r["http"]["response"]["status_code"] in (200, 429) for r in gateway.records())


def test_store_that_greeted_late_comes_back():
    """A connection that took its time is probed as any other: else a hang of its server would have no end."""
    rules = [{"rate": "1000/min", "burst": 1000, "per": "header:K", "name": "x"}]
    with Redis() as redis:
        redis.signal(signal.SIGSTOP)
        with Sallyport(shared(redis, {"rules": rules, "always": True}), ENV) as gateway:
            def decided_by():
                gateway.ask(fields=[("K", f"{time.monotonic()}")])
                return gateway.new_records(1)[-1]["sallyport"]["limit"]["store"]

            time.sleep(0.4)
            redis.signal(signal.SIGCONT)
            eventually(lambda: decided_by() == "exact", 20, "the store in use")
            redis.signal(signal.SIGSTOP)
            eventually(lambda: decided_by() == "fallback" and "does not answer in time" in "".join(gateway.stderr), 20,
                       "the store given up")
            redis.signal(signal.SIGCONT)
            eventually(lambda: decided_by() == "exact", 20, "the store in use again")


def test_store_is_slow():
    """An answer that comes late is not waited for, and the next ones are not waited for at all."""
    with Redis("--enable-debug-command", "yes") as redis, \
            Sallyport(shared(redis, ["1000/min burst 1000"], timeout="5ms"), ENV) as gateway:
        connected(redis)
        blocker = threading.Thread(target=lambda: redis.ask("DEBUG", "SLEEP", "1.5"))
        try:
            redis.ask("DEBUG", "SLEEP", "0")
        except RuntimeError:
            pytest.skip("this server has no DEBUG")
        blocker.start()
        time.sleep(0.1)
        times = []
        with gateway.client() as client:
            for _ in range(20):
                began = time.monotonic()
                assert client.ask().status == 200
                times.append(time.monotonic() - began)
        assert sum(times) < 1.0
        blocker.join()


def test_on_failure():
    limits = [{"rate": "2/min", "burst": 2, "name": "x"}]
    with Redis() as redis:
        redis.kill()
        with Sallyport(shared(redis, limits, on_failure="allow"), ENV) as gateway:
            assert statuses(gateway, 5) == [200] * 5
        with Sallyport(shared(redis, limits, on_failure="deny"), ENV) as gateway:
            assert statuses(gateway, 2) == [503] * 2
            assert gateway.new_records(2)[0]["sallyport"]["reason"] == "limit-store"
        with Sallyport(shared(redis, limits, on_failure="local"), ENV) as gateway:
            assert statuses(gateway, 5) == [200, 200, 429, 429, 429]


def test_user_and_password():
    with Redis("--requirepass", "default-pass") as redis:
        # ACL as documented: nothing but what is needed.
        def ask(*words):
            import socket
            with socket.socket(socket.AF_UNIX) as wire:
                wire.connect(redis.socket)
                file = wire.makefile("rb")
                for command in (("AUTH", "default-pass"), words):
                    wire.sendall(b"*%d\r\n" % len(command) + b"".join(
                        b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in command))
                    answer = redis.read(file)
                return answer
        ask("ACL", "SETUSER", "gate", "on", ">gate-pass", "~sallyport:*", "+evalsha", "+eval", "+script|load", "+get",
            "+set", "+incrby", "+time", "+ping")
        config = shared(redis, [{"rate": "2/min", "burst": 2, "name": "x"}], timeout="2s")
        config["store"] |= {"user": "gate", "password": "$(env:GATE)"}
        with Sallyport(config, {**ENV, "GATE": "gate-pass"}) as gateway:
            eventually(lambda: "cmdstat_script|load" in ask("INFO", "commandstats"), what="greeting")
            time.sleep(0.1)
            assert statuses(gateway, 3) == [200, 200, 429]
            assert gateway.new_records(3)[2]["sallyport"]["limit"]["store"] == "exact"
        with Sallyport(config, {**ENV, "GATE": "wrong"}) as gateway:
            assert statuses(gateway, 3) == [200, 200, 429]
            assert gateway.new_records(3)[2]["sallyport"]["limit"]["store"] == "fallback"
            assert any("user or password refused" in line for line in gateway.stderr)
            assert not any("wrong" in line for line in gateway.stderr if line.startswith("{"))


@pytest.mark.parametrize("answer", [b"+PONG\r\n", b"*1\r\n:5\r\n", b"*3\r\n:1\r\n:9\r\n:-1\r\n", b"$-1\r\n",
                                    b"*100000\r\n", b"garbage\r\n", b"-OOM command not allowed\r\n",
                                    b"-READONLY You can't write\r\n", b"-BUSY Redis is busy\r\n",
                                    b"-LOADING Redis is loading\r\n", b"-NOSCRIPT again\r\n"])
def test_hostile_store(answer):
    """A server that greets well and then answers with anything: requests are decided without it."""
    import socket
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    stop = threading.Event()

    def serve(wire):
        data = b""
        with wire:
            while not stop.is_set():
                try:
                    got = wire.recv(65536)
                except OSError:
                    return
                if not got:
                    return
                data += got
                for word, reply in ((b"SCRIPT\r\n", b"$40\r\n" + b"0" * 40 + b"\r\n"), (b"PING\r\n", b"+PONG\r\n"),
                                    (b"EVALSHA\r\n", answer)):
                    for _ in range(data.count(word)):
                        wire.sendall(reply)
                data = b""

    def accept():
        while not stop.is_set():
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(wire,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    config = plain(None, routes=[{"path": "/**", "respond": {"status": 200}, "limits": ["4/min burst 4"]}])
    config["store"] = {"redis": f"redis://127.0.0.1:{listener.getsockname()[1]}", "timeout": "200ms", **SECRET}
    try:
        with Sallyport(config, ENV) as gateway:
            time.sleep(0.2)
            assert statuses(gateway, 6) == [200] * 4 + [429] * 2
    finally:
        stop.set()
        listener.close()


def test_quota_is_shared_and_charged_by_the_answer():
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cost: 3\r\n\r\nok"
    with Redis() as redis, Origin(reply) as origin:
        limits = [{"quota": 10, "window": "month", "per": "site", "name": "month", "response_cost": "X-Cost"}]
        config = plain(origin, limits=limits)
        config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "200ms", **SECRET}
        with Sallyport(config, ENV) as a, Sallyport(config, ENV) as b:
            connected(redis, 2)
            answers = []
            for gateway in (a, b, a, b):
                answers.append(gateway.ask())
                time.sleep(0.05)
            assert [answer.status for answer in answers] == [200, 200, 200, 429]
            assert all(answer.get("x-cost") is None for answer in answers)
            assert int(answers[3].get("retry-after")) > 0
            (key,) = redis.ask("KEYS", "*")
            assert redis.ask("GET", key) == "12", "what is owed counts, too"

            def quota(word, gateway=a):
                done = command("quota", word, "month", "*", "-c", gateway.config_path, "-o", "json", env=ENV)
                assert done.returncode == 0, done.stderr
                return json.loads(done.stdout)

            assert quota("show") | {"ends": 0} == {"ok": True, "used": 12, "quota": 10, "ends": 0, "store": True}
            # Both nodes know that it is spent, and would tell the store; neither has the last word.
            assert quota("reset")["used"] == 12
            assert quota("show", b)["used"] == 0
            for gateway in (a, b):
                eventually(lambda: gateway.ask().status == 200, what="what was given back")
                time.sleep(0.05)
            assert 8 <= quota("show")["used"] <= 12


def test_requests_at_a_time():
    """Slots are this node's, over all its workers, and those of a killed worker are free in two seconds."""
    gate = threading.Event()

    def slow(exchange):
        gate.wait(20)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Origin(slow) as origin:
        config = plain(origin, {"workers": 2}, limits=[{"concurrency": 2, "per": "site", "name": "two"}])
        with Sallyport(config) as gateway:
            def start():
                thread = threading.Thread(target=lambda: results.append(attempt()))
                thread.start()
                return thread

            def attempt():
                try:
                    return gateway.ask().status
                except Exception:
                    return None

            results = []
            threads = [start() for _ in range(2)]
            time.sleep(0.5)
            answer = gateway.ask()
            assert answer.status == 429
            assert answer.get("ratelimit-policy") == '"two";q=2;qu="concurrent-requests"'
            for pid in gateway.role("worker"):
                os.kill(pid, signal.SIGKILL)
            for thread in threads:
                thread.join(10)
            began = time.monotonic()
            gate.set()
            eventually(lambda: attempt() == 200, soon(10), "a free slot")
            assert time.monotonic() - began < soon(4)
            assert [attempt() for _ in range(3)] == [200] * 3


class Slow:
    """Requests that stay under way until the gate opens, or their gateway is gone."""

    def __init__(self):
        self.gate, self.results, self.threads = threading.Event(), [], []
        self.lock, self.inside = threading.Lock(), 0

    def exchange(self, exchange):
        with self.lock:
            self.inside += 1
        self.gate.wait(30)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def start(self, gateway):
        before = self.inside
        thread = threading.Thread(target=lambda: self.results.append(self.status(gateway)))
        thread.start()
        self.threads.append(thread)
        eventually(lambda: self.inside > before, what="a request at the origin")

    def start_when_free(self, gateway, began):
        before = self.inside

        def ask():
            while self.inside == before and not self.gate.is_set():
                self.results.append(self.status(gateway))
                time.sleep(0.02)

        thread = threading.Thread(target=ask)
        thread.start()
        self.threads.append(thread)
        eventually(lambda: self.inside > before, what="a slot of the killed gateway")
        assert time.monotonic() - began < soon(3)

    @staticmethod
    def status(gateway):
        try:
            return gateway.ask().status
        except Exception:
            return None

    def end(self):
        self.gate.set()
        for thread in self.threads:
            thread.join(20)


def test_requests_at_a_time_of_all_nodes():
    """Slots are the fleet's: those of a killed gateway are free again, those of the living survive a store that forgets."""
    slow = Slow()
    with Redis() as redis, Origin(slow.exchange) as origin:
        config = plain(origin, {"workers": 1}, limits=[{"concurrency": 3, "per": "site", "name": "three"},
                                                       {"rate": "1/hour", "burst": 50, "per": "site", "name": "fifty"}])
        config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "2s", "nodes": 3, **SECRET}
        with Sallyport(config, ENV) as a, Sallyport(config, ENV) as b:
            connected(redis, 2)
            try:
                for gateway in (a, a, b):
                    slow.start(gateway)
                for gateway in (a, b):
                    refused = gateway.ask()
                    assert refused.status == 429
                    assert refused.get("ratelimit-policy") == '"three";q=3;qu="concurrent-requests"'
                # They are told anew to a store that has lost them, and renewed for longer than they last.
                redis.ask("FLUSHALL")
                time.sleep(2.3)
                assert [a.ask().status, b.ask().status] == [429, 429]
                # Nobody gives back what a killed gateway held.
                began = time.monotonic()
                for row in a.tree():
                    os.kill(row.pid, signal.SIGKILL)
                slow.start_when_free(b, began)
            finally:
                slow.end()
            eventually(lambda: b.ask().status == 200, what="free slots")
            # Without the store: a share of what the limit says, and at least one.
            redis.kill()
            eventually(lambda: b.ask().status == 200, what="service")


def test_what_limits_decide_is_counted(tmp_path):
    limits = [{"rate": "20/hour", "burst": 3, "name": "near", "store": "local", "on_missing": "skip", "per": "header:L"},
              {"rate": "100/s", "burst": 40, "name": "leased", "store": "lease"},
              {"rate": "1/hour", "burst": 1, "name": "watch", "shadow": True}]
    with Redis() as redis:
        config = shared(redis, limits)
        config["server"]["metrics"] = "127.0.0.1:0"
        with Sallyport(config, ENV) as gateway:
            connected(redis)
            assert statuses(gateway, 5, fields=[("L", "x")]) == [200] * 3 + [429] * 2
            redis.kill()
            eventually(lambda: any("not reachable" in line for line in gateway.stderr), what="the loss of the store")
            assert statuses(gateway, 2) == [200] * 2
            done = command("limits", "counts", "-c", gateway.config_path, "-o", "json", env=ENV)
            assert done.returncode == 0, done.stderr
            rows = {(r["limit"].split()[-1], r["outcome"], r["store"]): r["count"] for r in json.loads(done.stdout)["limits"]}
            assert rows[("near", "pass", "local")] == 3 and rows[("near", "deny", "local")] == 2
            assert rows[("leased", "pass", "fallback")] == 2
            assert rows[("leased", "pass", "exact")] + rows.get(("leased", "pass", "lease"), 0) == 3
            watched = {outcome: sum(n for (name, o, _), n in rows.items() if (name, o) == ("watch", outcome)) for outcome in ("pass", "shadow")}
            assert watched == {"pass": 1, "shadow": 4}, "what a shadow would have refused did not pass it"
            counters = json.loads(command("status", "-c", gateway.config_path, "-o", "json", env=ENV).stdout)["counters"]
            assert counters["store_calls"] >= 2 and counters["store_failures"] <= counters["store_calls"]
            assert 0 < counters["store_us"] < 60e6 * counters["store_calls"]
            assert "keys forgotten" in command("limits", "counts", "-c", gateway.config_path, env=ENV).stdout
            listed = command("limits", "list", "-c", gateway.config_path, "-o", "json", env=ENV)
            assert listed.returncode == 0, listed.stderr
            modes = {row["limit"]: (row["store"], row["bound"]) for row in json.loads(listed.stdout)["limits"]}
            assert modes["near"] == ("local", 0) and modes["leased"] == ("lease", 26) and modes["watch"] == ("exact", 0)
            check = command("check", "-c", gateway.config_path, env=ENV)
            assert "lease leased: in a stretch of time at most 26 more than the limit, in sum none" in check.stdout
