"""Processes die, configurations change, and service goes on."""
import json
import os
import signal
import time

import pytest

from harness import (Cut, Fault, Load, Origin, Sallyport, command, eventually, has_faults, plain, request, response,
                     silent, soon, statistics)


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def killed(gateway, role):
    pid = gateway.one(role)
    os.kill(pid, signal.SIGKILL)
    return pid


def successor(gateway, role, pid, seconds=10.0):
    return eventually(lambda: [p for p in gateway.role(role) if p != pid] and pid not in gateway.role(role) and
                      gateway.role(role)[-1], seconds, f"a new {role}")


def reset_slow(exchange):
    time.sleep(0.5)
    exchange.send(response(200, b"slow"))


# ---- a worker -------------------------------------------------------------------------------------


def test_worker_killed_under_load(origin):
    """Only what it had in flight fails; the listeners never close, and serving goes on at once."""
    with Sallyport(plain(origin, server={"workers": 2})) as gateway:
        with Load(gateway, threads=4) as load:
            eventually(lambda: load.done > 50, what="load")
            at = time.monotonic()
            pid = killed(gateway, "worker")
            successor(gateway, "worker", pid)
            count = load.done
            eventually(lambda: load.done > count + 100, what="load after the kill")
        late = [t for t, _ in load.failures if t > at + 0.1]
        assert len(load.failures) <= 4 and not late, load.failures
        assert min(t for t in load.times if t > at) - at < 0.1
        assert gateway.ask().status == 200


def test_only_worker_killed(origin):
    """With one worker there is a gap; connections wait in the listener's queue."""
    with Sallyport(plain(origin)) as gateway:
        for _ in range(3):
            assert gateway.ask().status == 200
            killed(gateway, "worker")
            began = time.monotonic()
            assert gateway.ask().status == 200
            assert time.monotonic() - began < soon(3)


def test_requests_in_flight_of_a_killed_worker(origin):
    """They fail visibly, and what upstream answers goes to nobody else."""
    origin.script(reset_slow)
    with Sallyport(plain(origin)) as gateway, gateway.client() as client:
        client.send(request(path="/in-flight"))
        origin.wait(1)
        killed(gateway, "worker")
        with pytest.raises((Cut, ConnectionError)):
            client.answer()
        for _ in range(5):
            assert gateway.ask().body == b"origin"


@pytest.mark.skipif(not has_faults(), reason="needs a build with faults")
def test_query_of_death(origin):
    """A request that ends workers is refused after the second, and no other one is."""
    fault = [("X-Sallyport-Fault", "stage=restrict;phase=request_head;kind=abort")]
    config = plain(origin, restrict={"methods": ["GET", "POST"]})
    with Sallyport(config) as gateway:
        deaths, answer = 0, None
        for _ in range(6):
            try:
                answer = gateway.ask(path="/death", fields=fault)
                break
            except (Cut, ConnectionError):
                deaths += 1
            eventually(lambda: gateway.role("worker"), 10, "a worker")
        assert deaths == 2 and answer.status == 403
        assert gateway.ask(path="/death").status == 200
        assert gateway.ask(path="/other").status == 200
        pid = gateway.one("worker")
        for _ in range(5):
            assert gateway.ask(path="/death", fields=fault).status == 403
        assert gateway.one("worker") == pid
        record = [r for r in gateway.records() if r["sallyport"].get("reason") == "query-of-death"]
        assert record
        gateway.check_sanitizers = lambda: None


# ---- the others -----------------------------------------------------------------------------------


def test_recorder_killed(origin):
    """No record is lost: they wait in shared memory."""
    with Sallyport(plain(origin)) as gateway:
        with gateway.client() as client:
            for number in range(150):
                if number in (40, 90):
                    killed(gateway, "recorder")
                assert client.ask(path=f"/{number}").status == 200
        eventually(lambda: len(gateway.records()) >= 150, 10, "all records")
        paths = [r["url"]["path"] for r in gateway.records() if "url" in r]
        assert sorted(paths, key=lambda p: int(p[1:])) == [f"/{n}" for n in range(150)]


def test_records_of_a_killed_worker(origin):
    with Sallyport(plain(origin)) as gateway:
        for number in range(30):
            assert gateway.ask(path=f"/{number}").status == 200
        killed(gateway, "worker")
        assert gateway.ask(path="/30").status == 200
        # The last answer may have been out before its record was complete: that one was still in flight.
        want = {f"/{n}" for n in range(31)} - {"/29"}
        eventually(lambda: {r["url"]["path"] for r in gateway.records()} >= want, 10, "all records")


def test_steward_killed(origin):
    """Control comes back; requests never noticed."""
    with Sallyport(plain(origin)) as gateway:
        with Load(gateway, threads=2) as load:
            pid = killed(gateway, "steward")
            successor(gateway, "steward", pid)
            eventually(lambda: command("status", "-c", gateway.config_path, cwd=gateway.folder).returncode == 0, 10,
                       "control is back")
        assert not load.failures
        assert gateway.reload().returncode == 0


def test_generation_killed(origin):
    """Its workers drain, a successor takes over, nothing fails."""
    with Sallyport(plain(origin, server={"workers": 2})) as gateway:
        with Load(gateway, threads=3) as load:
            eventually(lambda: load.done > 30, what="load")
            pid = killed(gateway, "generation")
            successor(gateway, "generation", pid)
            count = load.done
            eventually(lambda: load.done > count + 50, what="load after the kill")
        assert not load.failures, load.failures
        assert gateway.reload().returncode == 0 and gateway.ask().status == 200


def test_master_killed(origin):
    """When the master dies, all exit."""
    with Sallyport(plain(origin)) as gateway:
        pids = [row.pid for row in gateway.tree()]
        assert len(pids) >= 5
        os.kill(gateway.pid, signal.SIGKILL)
        eventually(lambda: not [p for p in pids if statistics(p) and statistics(p)[1] != "Z"], 5, "all processes are gone")


def test_roles_are_confined(origin):
    """No role that serves keeps root, may gain privileges, or goes without a filter."""
    with Sallyport(plain(origin)) as gateway:
        gateway.ask()
        def read(role):
            with open(f"/proc/{gateway.one(role)}/status") as file:
                return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        for role in ("worker", "recorder", "steward"):
            eventually(lambda: read(role)["Seccomp"] == "2", 2, f"the filter of the {role}")
            said = read(role)
            assert said["NoNewPrivs"] == "1", role
            assert int(said["CapEff"], 16) == int(said["CapPrm"], 16) == 0, role
            if os.geteuid() == 0:
                assert "0" not in said["Uid"].split(), role


# ---- reload ---------------------------------------------------------------------------------------


def test_reloads_under_load(origin):
    """Twenty reloads, no failed request, and no process left over."""
    config = plain(origin, server={"workers": 2, "drain_timeout": "3s"})
    with Sallyport(config) as gateway:
        with Load(gateway, threads=4, pause=0.002) as load:
            for number in range(20):
                config["server"]["node"] = f"n{number}"
                done = gateway.reload(config)
                assert done.returncode == 0, done.stderr
        assert load.done > 200 and not load.failures, load.failures[:5]
        eventually(lambda: sorted(row.name for row in gateway.tree()) == ["generation", "master", "recorder", "steward",
                                                                          "worker", "worker"], 10, "old ones are gone")
        eventually(lambda: len(gateway.records()) >= load.done, 10, "all records")


def test_reload_changes_what_is_served(origin):
    with Origin(name="new") as other:
        with Sallyport(plain(origin)) as gateway, gateway.client() as kept:
            assert kept.ask().body == b"origin"
            assert gateway.reload(plain(other)).returncode == 0
            eventually(lambda: gateway.ask().body == b"new", 1, "the new configuration")


def test_reload_by_signal(origin):
    with Origin(name="new") as other:
        with Sallyport(plain(origin)) as gateway:
            gateway.configure(plain(other))
            gateway.signal(signal.SIGHUP)
            eventually(lambda: gateway.ask().body == b"new", 10, "the new configuration")


def test_bad_reload_keeps_the_old(origin):
    with Sallyport(plain(origin)) as gateway:
        generation = gateway.one("generation")
        good = open(gateway.config_path).read()
        done = gateway.reload(good.replace('"upstream"', '"upsteam"'))
        assert done.returncode == 2
        text = done.stdout + done.stderr
        assert "SP0103" in text and "sallyport.yaml:" in text and 'did you mean "upstream"' in text
        assert gateway.ask().status == 200 and gateway.one("generation") == generation
        gateway.signal(signal.SIGHUP)
        time.sleep(0.3)
        assert gateway.ask().status == 200
        gateway.configure(good)
        assert gateway.reload().returncode == 0
        successor(gateway, "generation", generation)


def test_bad_reload_as_json(origin):
    with Sallyport(plain(origin)) as gateway:
        gateway.configure("version: 1\nsites: 5\n")
        done = command("reload", "-c", gateway.config_path, "--control", gateway.control, "--wait", "-o", "json",
                       cwd=gateway.folder)
        assert done.returncode == 2 and json.loads(done.stdout)


def test_new_listeners(origin):
    config = plain(origin)
    with Sallyport(config) as gateway:
        import socket
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        config["server"]["listen"]["http"] = ["127.0.0.1:0", f"127.0.0.1:{port}"]
        assert gateway.reload(config).returncode == 0
        from harness import Client
        with Client(("127.0.0.1", port)) as client:
            assert client.ask().status == 200
        config["server"]["listen"]["http"] = "127.0.0.1:0"
        assert gateway.reload(config).returncode == 0
        def closed():
            try:
                Client(("127.0.0.1", port)).close()
            except ConnectionError:
                return True
        eventually(closed, 5, "the listener is closed")
        assert gateway.ask().status == 200


def test_old_requests_end_in_the_old_generation(origin):
    origin.script(reset_slow)
    with Sallyport(plain(origin)) as gateway, gateway.client() as client:
        client.send(request(path="/slow"))
        eventually(lambda: origin.heads, what="the request upstream")
        assert gateway.reload().returncode == 0
        assert client.answer().body == b"slow"


def test_drain_has_an_end(origin):
    origin.script(silent())
    config = plain({"servers": [origin.url], "timeout": {"response": "60s"}}, server={"drain_timeout": "500ms"})
    with Sallyport(config) as gateway, gateway.client() as client:
        generation = gateway.one("generation")
        client.send(request(path="/hangs"))
        eventually(lambda: origin.heads, what="the request upstream")
        assert gateway.reload().returncode == 0
        eventually(lambda: generation not in gateway.role("generation"), 5, "the old generation is gone")


# ---- stop -----------------------------------------------------------------------------------------


def test_graceful_stop(origin):
    """What is in flight ends, new connections are refused, the record is written, the exit is clean."""
    origin.script(*[reset_slow] * 8)
    with Sallyport(plain(origin)) as gateway:
        clients = [gateway.client() for _ in range(8)]
        for client in clients:
            client.send(request(path="/last"))
        eventually(lambda: len(origin.heads) == 8, what="the requests upstream")
        gateway.signal(signal.SIGTERM)
        for client in clients:
            answer = client.answer()
            assert answer.body == b"slow" and answer.get("connection") == "close"
            client.close()
        assert gateway.process.wait(5) == 0
        assert len(gateway.records()) == 8
        with pytest.raises(ConnectionError):
            gateway.client()


def test_idle_connections_do_not_hold_the_stop(origin):
    with Sallyport(plain(origin)) as gateway, gateway.client() as idle, gateway.client() as silent_one:
        assert idle.ask().status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(3) == 0
        assert idle.closed()


def test_second_signal_stops_at_once(origin):
    origin.script(silent())
    with Sallyport(plain({"servers": [origin.url], "timeout": {"response": "60s"}})) as gateway, gateway.client() as client:
        client.send(request())
        eventually(lambda: origin.heads, what="the request upstream")
        gateway.signal(signal.SIGTERM)
        time.sleep(0.2)
        assert gateway.process.poll() is None
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(soon(3))
        assert time.monotonic() - began < soon(2)


def test_stop_within_the_drain_timeout(origin):
    origin.script(silent())
    config = plain({"servers": [origin.url], "timeout": {"response": "60s"}}, server={"drain_timeout": "500ms"})
    with Sallyport(config) as gateway, gateway.client() as client:
        client.send(request())
        eventually(lambda: origin.heads, what="the request upstream")
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(soon(5))
        assert 0.3 < time.monotonic() - began < soon(4)


def test_stop_verb(origin):
    with Sallyport(plain(origin)) as gateway:
        assert command("stop", "-c", gateway.config_path, cwd=gateway.folder).returncode == 0
        assert gateway.process.wait(5) == 0


def test_control_socket_is_private(origin):
    with Sallyport(plain(origin)) as gateway:
        assert os.stat(gateway.control).st_mode & 0o007 == 0
        import socket
        for junk in (b"\0" * 4096, b"{}\n", b"reload\n" * 1000, b"\xff" * 70000):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(1)
                sock.connect(gateway.control)
                try:
                    sock.sendall(junk)
                except OSError:
                    pass
        assert command("status", "-c", gateway.config_path, cwd=gateway.folder).returncode == 0
        assert gateway.ask().status == 200
