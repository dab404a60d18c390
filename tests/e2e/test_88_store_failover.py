"""Limits in a Redis that Sentinels watch, and in a Redis Cluster: a failover is followed, and no request fails for it.

Which server answers is up to them and takes them seconds; what must hold is that each request is decided, that the shared
count goes on where it was (but for what the old master had not passed on), and that the store is used again.
"""
import json
import os
import signal
import socket
import threading
import time

import pytest

from harness import Origin, Sallyport, command, eventually, plain, response, says
from ports import free_port
from redis_server import Cluster, Redis, Sentinels, talk
from test_65_login import Browser, add_user

SECRET = {"secret": "$(env:STORE_SECRET)"}
ENV = {"STORE_SECRET": "of the tests"}


def shared(store, limits, **more):
    config = plain(None, {"workers": 1}, routes=[
        {"path": "/**", "respond": {"status": 200, "body": "served"}, "limits": limits}], **more)
    config["store"] = {"timeout": "200ms", **SECRET, **store}
    return config


def store_mode(gateway):
    """Of a decision that is made now, about a key that nobody has seen."""
    def told():
        return [r["sallyport"]["limit"]["store"] for r in gateway.records()
                if r["sallyport"].get("limit", {}).get("name") == "probe"]

    before, key = len(told()), f"k{time.monotonic()}"
    with gateway.client() as client:
        assert [client.ask(fields=[("K", key)]).status for _ in range(2)] == [200, 429]
    return eventually(lambda: told()[before:], what="a record")[-1]


PROBE = {"rate": "1/hour", "burst": 1, "per": "header:K", "name": "probe", "on_missing": "skip"}


class Drive:
    """Asks all the time, as K; what is neither served nor limited is a failure."""

    def __init__(self, gateway, key):
        self.gateway, self.key = gateway, key
        self.passed, self.odd, self.longest = 0, [], 0.0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.gateway.client() as client:
            while not self.stopping.is_set():
                began = time.monotonic()
                status = client.ask(fields=[("T", self.key)]).status
                self.longest = max(self.longest, time.monotonic() - began)
                self.passed += status == 200
                if status not in (200, 429):
                    self.odd.append(status)
                time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


LIMIT = {"rate": "1/min", "burst": 200, "per": "header:T", "name": "two-hundred", "on_missing": "skip"}


def role_of(node):
    """Empty from one that is just changing it, and closes its connections."""
    try:
        return node.ask("INFO", "replication")
    except (OSError, ValueError):
        return ""


def fails_over(gateway, master, replica, how):
    """From one to the other while requests come all the time."""
    with Drive(gateway, f"{how}{time.monotonic()}") as drive:
        eventually(lambda: drive.passed >= 200, what="the whole burst")
        if how == "killed":
            master.kill()
        else:
            master.signal(signal.SIGSTOP)
        eventually(lambda: "role:master" in role_of(replica), 60, "a failover")
        eventually(lambda: store_mode(gateway) == "exact", 60, "the new master in use")
    assert not drive.odd
    assert drive.passed <= 210, "what had been counted was forgotten"
    assert drive.longest < 20
    eventually(lambda: store_mode(gateway) and replica.ask("INFO", "commandstats").count("cmdstat_eval"), 60, "its script there")
    # The old one comes back as a replica, and nobody goes to it.
    if how == "killed":
        master.start()
    else:
        master.signal(signal.SIGCONT)
    eventually(lambda: "role:slave" in role_of(master) and "master_link_status:up" in role_of(master), 60,
               "the old master's return")
    eventually(lambda: store_mode(gateway) == "exact", 60, "the new master still in use")


def test_sentinels_fail_over():
    with Sentinels() as fleet:
        config = shared({"sentinel": {"servers": fleet.urls(), "master": fleet.name}}, [LIMIT, PROBE])
        with Sallyport(config, ENV) as gateway:
            eventually(lambda: store_mode(gateway) == "exact", what="the master in use")
            fails_over(gateway, fleet.master, fleet.replica, "stopped")
            fleet.processes[0].kill()  # two are enough to decide
            fails_over(gateway, fleet.replica, fleet.master, "killed")
            assert all(r["http"]["response"]["status_code"] in (200, 429) for r in gateway.records())


def test_sentinels_die_and_lie():
    """One is gone, one is none, one does not know the master: the next is asked."""
    with Sentinels() as fleet, Redis() as stranger:
        urls = [f"redis://127.0.0.1:{free_port()}", f"redis://127.0.0.1:{stranger.port}", *fleet.urls()[:1]]
        config = shared({"sentinel": {"servers": urls, "master": fleet.name}}, [PROBE])
        with Sallyport(config, ENV) as gateway:
            eventually(lambda: store_mode(gateway) == "exact", what="the master in use")
            assert any("a Sentinel cannot name the master" in line for line in gateway.stderr)
        wrong = shared({"sentinel": {"servers": fleet.urls(), "master": "nobody"}}, [PROBE])
        with Sallyport(wrong, ENV) as gateway:
            assert store_mode(gateway) == "fallback"


def test_a_replica_is_not_written_to():
    """A Sentinel names one that says that it is a replica: nothing is sent to it."""
    with Redis() as master, Redis("--replicaof", "127.0.0.1", str(master.port)) as replica, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)

        def serve(wire):
            with wire:
                while data := wire.recv(65536):
                    for _ in range(data.count(b"SENTINEL\r\n")):
                        port = str(named.port).encode()
                        wire.sendall(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
                    for _ in range(data.count(b"PING\r\n")):
                        wire.sendall(b"+PONG\r\n")

        def accept():
            while True:
                try:
                    wire, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(wire,), daemon=True).start()

        named = replica
        threading.Thread(target=accept, daemon=True).start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        with Sallyport(shared({"sentinel": {"servers": [url], "master": "main"}}, [PROBE]), ENV) as gateway:
            eventually(lambda: any("it is a replica" in line for line in gateway.stderr), what="the replica's refusal")
            assert store_mode(gateway) == "fallback"
            assert "cmdstat_evalsha" not in replica.ask("INFO", "commandstats")
            named = master
            eventually(lambda: store_mode(gateway) == "exact", what="the master in use")


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as nodes:
        yield nodes


def test_cluster_counts_as_one(cluster):
    """Several limits of one request are one decision wherever they are, and all nodes of the Cluster have some."""
    limits = [{"rate": "1/hour", "burst": 3, "per": "header:K", "name": "three", "on_missing": "skip"},
              {"rate": "1/hour", "burst": 50, "per": "header:K", "name": "fifty", "on_missing": "skip"}]
    mixed = [{"rate": "1/min", "burst": 2, "per": "header:K", "name": "two"},
             {"rate": "1/min", "burst": 5, "per": "site", "name": "five"}]
    config = shared({"cluster": cluster.urls()}, limits)
    config["sites"][0]["routes"].insert(0, {"path": "/mixed", "respond": {"status": 200}, "limits": mixed})
    with Sallyport(config, ENV) as a, Sallyport(config, ENV) as b:
        for gateway in (a, b):
            eventually(lambda: gateway.ask(fields=[("K", f"w{time.monotonic()}")]).status == 200
                       and all(node.ask("INFO", "commandstats").count("cmdstat_script|load")
                               for node in cluster.nodes[:3]), what="all nodes greeted")
        time.sleep(0.3)
        for i in range(30):
            with a.client() as one, b.client() as two:
                got = [client.ask(fields=[("K", f"k{i}")]).status for client in (one, two, one, two, one)]
            assert got == [200, 200, 200, 429, 429]
        assert all(node.ask("KEYS", "sallyport:l:{*") for node in cluster.nodes[:3]), "one node has no keys"
        # A denial by one charges nothing of the other, though they count by different things.
        with a.client() as client:
            got = [client.ask(path="/mixed", fields=[("K", "x")]).status for _ in range(5)]
            assert got == [200, 200, 429, 429, 429]
            got = [client.ask(path="/mixed", fields=[("K", f"y{i}")]).status for i in range(5)]
            assert got == [200, 200, 200, 429, 429]
        assert all(r["sallyport"]["limit"]["store"] == "exact"
                   for r in a.records() if r["http"]["response"]["status_code"] == 429)


def test_cluster_moves_slots(cluster):
    """Keys on their way to another node (ASK), and there (MOVED): the count goes with them, and no request fails."""
    limits = [{"rate": "1/hour", "burst": 6, "per": "header:K", "name": "six", "on_missing": "skip"}, PROBE | {
        "per": "header:P"}]
    with Sallyport(shared({"cluster": cluster.urls()}, limits), ENV) as gateway:
        def ask(key):
            return gateway.ask(fields=[("K", key)]).status

        eventually(lambda: ask(f"w{time.monotonic()}") == 200 and len(cluster.keys()) > 3, what="keys in the Cluster")
        for node in cluster.nodes[:3]:
            node.ask("FLUSHALL")
        time.sleep(0.2)
        assert ask("k") == 200
        ((key, home),) = [(key, node) for node in cluster.nodes[:3] for key in node.ask("KEYS", "*")]
        away = next(node for node in cluster.nodes[:3] if node is not home)
        slot = home.ask("CLUSTER", "KEYSLOT", key)
        away.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", home.id)
        home.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", away.id)
        assert ask("k") == 200  # not moved yet
        home.ask("MIGRATE", "127.0.0.1", away.port, key, 0, 5000)
        assert ask("k") == 200  # ASK
        assert away.ask("INFO", "commandstats").count("cmdstat_asking")
        for node in (away, home):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", away.id)
        assert ask("k") == 200  # MOVED
        assert ask("k") == 200
        assert ask("k") == 200
        assert ask("k") == 429
        eventually(lambda: key in away.ask("KEYS", "*"), what="the key at its new home")
        eventually(lambda: any(r["sallyport"].get("limit", {}).get("store") == "exact" for r in gateway.records()),
                   what="a record of the refusal")


def test_quotas_are_found_in_a_cluster(cluster):
    """By the command line, too: where a list counts by one thing, its keys are anywhere; where by two, all are in one place."""
    alone = [{"quota": 3, "per": "header:K", "name": "alone"}]
    mixed = [{"quota": 3, "per": "header:K", "name": "mixed"}, {"rate": "90/s", "per": "site", "name": "rate"}]
    config = shared({"cluster": cluster.urls()}, alone)
    config["sites"][0]["routes"].insert(0, {"path": "/mixed", "respond": {"status": 200}, "limits": mixed})
    with Sallyport(config, ENV) as gateway:
        greeted = ("cmd=ping", "cmd=evalsha", "cmd=script|load")
        eventually(lambda: all(any(word in node.ask("CLIENT", "LIST") for word in greeted) for node in cluster.nodes[:3]),
                   what="all nodes greeted")

        def quota(word, name, key):
            done = command("quota", word, name, key, "-c", gateway.config_path, "-o", "json", env=ENV)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        for name, path in (("alone", "/"), ("mixed", "/mixed")):
            for key in ("a", "b", "c"):
                assert [gateway.ask(path=path, fields=[("K", key)]).status for _ in range(2)] == [200, 200]
                shown = quota("show", name, key)
                assert (shown["used"], shown["store"]) == (2, True)
            quota("reset", name, "c")
            assert [quota("show", name, key)["used"] for key in ("b", "c")] == [2, 0]


def test_bans_are_shared_through_a_cluster(cluster):
    """The stream is on one node of it, and is found there, also after it has moved."""
    config = plain(None, {"workers": 1, "trusted_proxies": ["127.0.0.1"]}, bans={"honeypots": ["/.env"], "for": "1h"},
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    config["store"] = {"cluster": cluster.urls(), "timeout": "200ms", **SECRET}

    def status(gateway, client, path="/"):
        return gateway.ask(path=path, fields=[("X-Forwarded-For", client)]).status

    with Sallyport(config, ENV) as a, Sallyport(config, ENV) as b:
        assert status(a, "192.0.2.5", "/.env") == 403
        eventually(lambda: status(b, "192.0.2.5") == 403, what="the ban on the other node")
        slot = cluster.nodes[0].ask("CLUSTER", "KEYSLOT", "sallyport:bans")
        home = next(node for node in cluster.nodes[:3] if "sallyport:bans" in node.ask("KEYS", "sallyport:bans"))
        away = next(node for node in cluster.nodes[:3] if node is not home)
        away.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", home.id)
        home.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", away.id)
        home.ask("MIGRATE", "127.0.0.1", away.port, "sallyport:bans", 0, 5000)
        for node in (away, home):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", away.id)
        assert status(b, "192.0.2.6", "/.env") == 403
        eventually(lambda: status(a, "192.0.2.6") == 403, what="the ban on the other node after the move")


def test_sessions_are_shared_through_a_cluster(cluster):
    """All of them in one slot, for a script goes from one to another; found again behind a move, and asked in between."""
    users = os.path.join(cluster.nodes[0].folder, "users.db")
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"workers": 1}, login={"users": users})
        config["store"] = {"cluster": cluster.urls(), "timeout": "500ms", "secret": "of the tests"}
        with Sallyport(config) as a, Sallyport(config) as b:
            add_user(a, "ann")
            for node in (a, b):
                eventually(lambda at=node: Browser(at).sign_in().status == 303, what="the user at both nodes")
            browser, there = Browser(a), Browser(b)
            assert browser.sign_in().status == 303
            there.cookies = browser.cookies
            assert there.get("/").status == 200
            slot = cluster.nodes[0].ask("CLUSTER", "KEYSLOT", "sallyport:{s}:")
            home = next(node for node in cluster.nodes[:3] if "sallyport:{s}:a" in node.ask("KEYS", "sallyport:{s}:*"))
            away = next(node for node in cluster.nodes[:3] if node is not home)
            away.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", home.id)
            home.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", away.id)
            for key in home.ask("KEYS", "sallyport:{s}:*"):
                home.ask("MIGRATE", "127.0.0.1", away.port, key, 0, 5000)
            time.sleep(1.2)  # known no longer without a word of the store
            assert there.get("/").status == 200  # ASK
            for node in (away, home):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", away.id)
            assert Browser(a).sign_in().status == 303  # MOVED, also for the script
            there.get("/.sallyport/login/out")
            kept = dict(browser.cookies)
            assert there.submit().status == 200
            browser.cookies = kept
            eventually(lambda: browser.get("/").status == 302, what="the end at the other node")
            done = command("sessions", "end-user", "ann", "-c", b.config_path, cwd=b.folder)
            assert done.returncode == 0 and done.stdout.strip().endswith("ended"), done.stderr


def test_cluster_fails_over(cluster):
    with Sallyport(shared({"cluster": cluster.urls()}, [LIMIT, PROBE]), ENV) as gateway:
        for node in cluster.nodes[:3]:
            node.ask("FLUSHALL")
        # Keys end by themselves: they are looked at right behind a decision.
        key = eventually(lambda: store_mode(gateway) == "exact" and cluster.keys(), what="the Cluster in use")[0]
        home = next(node for node in cluster.nodes[:3] if key in node.ask("KEYS", "*"))
        spare = cluster.nodes[3]
        if home is not cluster.nodes[0]:  # the one that has a replica is to be the one that fails
            spare.ask("CLUSTER", "REPLICATE", home.id)
        eventually(lambda: "master_link_status:up" in role_of(spare) and key in spare.ask("KEYS", "*"), 40,
                   "a replica of the one in use")
        fails_over(gateway, home, spare, "stopped")
        fails_over(gateway, spare, home, "killed")


def test_configuration(tmp_path):
    path = tmp_path / "sallyport.yaml"

    def refused(store):
        path.write_text(f"version: 1\nstore: {json.dumps(store)}\nsites:\n  - {{host: a, waf: off, upstream: 'http://127.0.0.1:1'}}\n")
        done = command("check", "-c", str(path))
        assert done.returncode == 2
        return done.stdout + done.stderr

    one = "redis://127.0.0.1:1"
    assert "one of redis, sentinel and cluster" in refused({"redis": one, "cluster": [one]})
    assert "all rediss" in refused({"cluster": [one, "rediss://127.0.0.1:2"]})
    assert "all rediss" in refused({"cluster": ["unix:/a"]})
    assert "no database but 0" in refused({"cluster": [one], "database": 2})
    assert "no database but 0" in refused({"cluster": [one], "prefix": "a{b"})
    assert "master" in refused({"sentinel": {"servers": [one]}})


ACL = ("ACL", "SETUSER", "gate", "on", ">gate-pass", "~sallyport:*", "+evalsha", "+eval", "+script|load", "+get", "+set",
       "+incrby", "+time", "+ping", "+cluster|slots", "+asking", "+role", "+xadd", "+xrange")


def test_tls_and_a_user_with_the_rights_that_the_manual_names(authority):
    """A Cluster of one node: what is found out by its map has to have the right certificate, too."""
    good, wrong = authority.issue("redis", "127.0.0.1"), authority.issue("other", "other.test")
    env = {**ENV, "GATE": "gate-pass"}
    for pair, mode in ((good, "exact"), (wrong, "fallback")):
        port = free_port()
        with Redis("--tls-port", str(port), "--tls-cert-file", pair.cert, "--tls-key-file", pair.key,
                   "--tls-ca-cert-file", authority.ca.cert, "--tls-auth-clients", "no", "--tls-cluster", "yes",
                   "--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--requirepass", "admin") as redis:
            for words in (("CLUSTER", "ADDSLOTSRANGE", 0, 16383), ACL):
                with socket.socket(socket.AF_UNIX) as wire:
                    wire.connect(redis.socket)
                    talk(wire, ("AUTH", "admin"))
                    talk(wire, words)
            store = {"cluster": [f"rediss://127.0.0.1:{port}"], "user": "gate", "password": "$(env:GATE)",
                     "timeout": "2s", "tls": {"ca": authority.ca.cert}}
            with Sallyport(shared(store, [PROBE]), env) as gateway:
                if mode == "exact":
                    eventually(lambda: store_mode(gateway) == "exact", what="the store in use")
                    assert not any("NOPERM" in line for line in gateway.stderr)
                else:
                    eventually(lambda: any("not reachable" in line for line in gateway.stderr), what="a refusal")
                    assert store_mode(gateway) == "fallback"
