"""Processes that die, by whatever hand: what goes on, what is lost (nothing that was committed), who follows."""
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

from harness import (BINARY, Cut, ENVIRONMENT, Load, Sallyport, busy, command, eventually, has_faults, merge, plain,
                     silent, soon, statistics)

ROLES = ["master", "generation", "worker", "recorder", "steward"]


def status(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def steady(gateway):
    """A status with every process there."""
    def probe():
        done = command("status", "--control", gateway.control, "-o", "json")
        said = json.loads(done.stdout) if done.returncode == 0 else None
        return said if said and all(said["processes"].values()) and said["workers"] else None
    return eventually(probe, what="every process")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_who_runs(origin):
    with Sallyport(plain(origin, server={"workers": 2})) as gateway:
        eventually(lambda: sorted(row.name for row in gateway.tree()) == sorted(ROLES + ["worker"]))
        said = steady(gateway)
        assert said["processes"]["master"] == gateway.pid
        for role in ("generation", "recorder", "steward"):
            assert gateway.role(role) == [said["processes"][role]]
        assert sorted(worker["pid"] for worker in said["workers"]) == gateway.role("worker")


def test_killed_worker_is_replaced_within_a_tenth(origin):
    with Sallyport(plain(origin)) as gateway:
        assert gateway.ask().status == 200
        took = []
        for _ in range(3):  # the best of three: a busy machine stalls now and then
            before = gateway.one("worker")
            os.kill(before, signal.SIGKILL)
            began = time.monotonic()
            assert gateway.ask().status == 200  # it waits in the accept queue
            took.append(time.monotonic() - began)
            assert gateway.one("worker") != before
        assert min(took) < (0.1 if "release" in BINARY else 0.5) * busy(), took


def test_killed_worker_costs_only_its_own(origin):
    """Its own clients see a cut; those of the other worker see nothing, and its records stand."""
    with Sallyport(plain(origin, server={"workers": 2})) as gateway, Load(gateway, 4) as load:
        eventually(lambda: load.done > 50)
        for _ in range(3):
            os.kill(gateway.role("worker")[0], signal.SIGKILL)
            target = load.done + 50
            eventually(lambda: load.done > target, what="serving goes on")
        load.stopping.set()
    assert len(load.failures) <= 3 * 4


def test_dying_again_and_again_backs_off(origin):
    with Sallyport(plain(origin)) as gateway:
        end, dead = time.monotonic() + 3, set()
        while time.monotonic() < end:
            for pid in gateway.role("worker"):
                os.kill(pid, signal.SIGKILL)
                dead.add(pid)
            time.sleep(0.005)
        assert 3 <= len(dead) <= 16, dead
        assert eventually(lambda: gateway.role("worker"), 6)
        assert gateway.ask().status == 200


def test_killed_generation_costs_nothing(origin):
    """Its workers serve on until a new generation does, and are then drained."""
    with Sallyport(plain(origin)) as gateway, Load(gateway, 4) as load:
        eventually(lambda: load.done > 50)
        for _ in range(3):
            generation, worker = gateway.one("generation"), gateway.one("worker")
            os.kill(generation, signal.SIGKILL)
            eventually(lambda: generation not in gateway.role("generation") and gateway.role("generation"), 15)
            eventually(lambda: worker not in gateway.role("worker") and gateway.role("worker"), 15)
            target = load.done + 50
            eventually(lambda: load.done > target)
        load.stopping.set()
    assert load.failures == []


def test_killed_generation_and_a_broken_file(origin):
    """Nobody can follow: the orphans serve on, and the first good file ends that."""
    config = plain(origin)
    with Sallyport(config) as gateway:
        worker = gateway.one("worker")
        gateway.configure("version: 1\nsitez: []\n")
        os.kill(gateway.one("generation"), signal.SIGKILL)
        eventually(lambda: any("configuration refused" in line for line in gateway.stderr), 15)
        for _ in range(5):
            assert gateway.ask().status == 200
            time.sleep(0.1)
        assert gateway.role("worker") == [worker]
        gateway.configure(config)
        eventually(lambda: gateway.role("worker") not in ([worker], []) and worker not in gateway.role("worker"), 15)
        assert gateway.ask().status == 200


def test_killed_recorder_loses_no_record(origin):
    with Sallyport(plain(origin, server={"workers": 2})) as gateway:
        with Load(gateway, 4) as load:
            for _ in range(5):
                target = load.done + 100
                eventually(lambda: load.done > target)
                os.kill(gateway.one("recorder"), signal.SIGKILL)
            target = load.done + 100
            eventually(lambda: load.done > target)
        assert load.failures == []
        # A ring that is full while nobody drains it says how many it could not take.
        def told():
            lines = gateway.records()
            return ([line["http"]["request"]["id"] for line in lines if "http" in line],
                    sum(line["sallyport"]["lost"]["forwarded"] for line in lines if line["event"]["action"] == "gap"))
        eventually(lambda: len(told()[0]) + told()[1] >= load.done, 60, what="every record, or a gap that counts it")
        ids, lost = told()
        assert len(ids) == len(set(ids)) == load.done - lost


def test_killed_steward_comes_back(origin):
    with Sallyport(plain(origin)) as gateway:
        before = steady(gateway)["processes"]["steward"]
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: steady(gateway)["processes"]["steward"] != before)
        assert gateway.ask().status == 200


def test_when_the_master_dies_all_exit(origin):
    with Sallyport(plain(origin, server={"workers": 2})) as gateway:
        for _ in range(20):
            gateway.ask()
        pids = [row.pid for row in gateway.tree()]
        os.kill(gateway.pid, signal.SIGKILL)
        eventually(lambda: not any((statistics(pid) or (0, "Z"))[1] != "Z" for pid in pids), 5, "all to exit")
        # The last answer may have come before its record was committed.
        assert len(gateway.records()) in (19, 20)


def test_stop_waits_for_the_answer(origin):
    def slow(exchange):
        exchange.read_body()
        time.sleep(1)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
        return True

    with Sallyport(plain(origin)) as gateway, gateway.client() as client:
        origin.forget().script(slow)
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        origin.wait(1)
        # To the whole group, as service managers do it: the master alone decides.
        os.killpg(os.getpgid(gateway.process.pid), signal.SIGTERM)
        assert client.answer().body == b"slow"
        assert gateway.process.wait(soon(5)) == 0
        assert len(gateway.records()) == 1


def test_stop_has_an_end(origin):
    with Sallyport(plain(origin, server={"drain_timeout": "1s"})) as gateway, gateway.client() as client:
        origin.forget().script(silent())
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        origin.wait(1)
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(soon(10)) == 0
        assert 0.9 < time.monotonic() - began < soon(4)
        assert len(gateway.records()) == 1


def test_second_signal_stops_at_once(origin):
    with Sallyport(plain(origin, server={"drain_timeout": "60s"})) as gateway, gateway.client() as client:
        origin.forget().script(silent())
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        origin.wait(1)
        gateway.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            gateway.process.wait(0.5)
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(3) == 0
        assert len(gateway.records()) == 1


def test_stop_command(origin):
    with Sallyport(plain(origin)) as gateway:
        done = command("stop", "--control", gateway.control)
        assert done.returncode == 0
        assert gateway.process.wait(5) == 0
        assert not os.path.exists(gateway.control)


@pytest.mark.skipif(not has_faults(), reason="this build takes no faults")
def test_a_request_that_kills_twice_is_refused(origin):
    """The query of death: two workers, not the service. Other requests, alike but not the same, go on."""
    config = plain(origin, deny={"ips": ["192.0.2.1"]})
    deadly = b"GET /deadly HTTP/1.1\r\nHost: test\r\n" \
             b"X-Sallyport-Fault: stage=deny;phase=request_head;kind=abort\r\n\r\n"
    with Sallyport(config) as gateway:
        for _ in range(2):
            with gateway.client() as client:
                client.send(deadly)
                with pytest.raises((Cut, OSError)):
                    client.answer()
            assert gateway.ask(path="/harmless").status == 200
        worker = gateway.one("worker")
        with gateway.client() as client:
            client.send(deadly)
            assert client.answer().status in (400, 403)
        assert gateway.one("worker") == worker
        assert status(gateway)["requests_refused_after_crashes"] >= 1
        assert gateway.ask(path="/harmless").status == 200
        # Remembered over a reload: the memory is the master's.
        assert gateway.reload().returncode == 0
        with gateway.client() as client:
            client.send(deadly)
            assert client.answer().status in (400, 403)


@pytest.mark.skipif(not has_faults(), reason="this build takes no faults")
def test_stuck_worker_is_ended(origin):
    """Nothing turns its loop for ten seconds: it is aborted, and another serves."""
    with Sallyport(plain(origin, server={"workers": 2}), env={"SALLYPORT_PROBE": "worker:hang"}) as gateway:
        before = gateway.role("worker")
        eventually(lambda: any("worker is stuck" in line for line in gateway.stderr), 20)
        eventually(lambda: not set(before) & set(gateway.role("worker")), 10)


# ---- reload ------------------------------------------------------------------------------------------


def test_reload_under_load(origin):
    config = plain(origin, server={"workers": 2})
    with Sallyport(config) as gateway, Load(gateway, 4) as load:
        eventually(lambda: load.done > 50)
        fds = descriptors(gateway.pid)
        for number in range(2, 12):
            assert gateway.reload().returncode == 0
            assert status(gateway)["generation"] == number
        gateway.signal(signal.SIGHUP)
        eventually(lambda: steady(gateway)["generation"] == 12)
        eventually(lambda: len(gateway.role("generation")) == 1)
        load.stopping.set()
        eventually(lambda: descriptors(gateway.pid) <= fds, what="no descriptor is left behind")
        for thread in load.threads:
            thread.join(5)
        eventually(lambda: len(gateway.records()) >= load.done, what="every record")
    assert load.failures == []


def test_bad_reload_changes_nothing(origin):
    config = plain(origin)
    with Sallyport(config) as gateway:
        before = steady(gateway)
        gateway.configure("version: 1\nsitez: []\n")
        done = command("reload", "--control", gateway.control, "--wait")
        assert done.returncode == 2
        assert "sallyport.yaml:2:1" in done.stderr and 'did you mean "sites"' in done.stderr
        after = steady(gateway)
        assert after["processes"] == before["processes"] and after["generation"] == before["generation"]
        assert after["reloads_refused"] == before["reloads_refused"] + 1
        assert gateway.ask().status == 200
        assert gateway.reload(config).returncode == 0


def test_reload_refused_for_a_taken_port(origin):
    config = plain(origin)
    with Sallyport(config) as gateway, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gateway.reload(plain(origin, server={"listen": {"http": f"127.0.0.1:{port}"}}))
        assert done.returncode == 2 and str(port) in done.stderr
        assert gateway.ask().status == 200


def test_reload_refused_for_an_audit_file_that_cannot_be(origin):
    config = plain(origin)
    with Sallyport(config) as gateway:
        done = gateway.reload({**config, "audit": {"file": "no/such/folder/audit.jsonl", "record": ["all"]}})
        assert done.returncode == 2 and "no/such/folder" in done.stderr
        assert gateway.ask().status == 200
        assert len(gateway.new_records(1)) == 1


def test_reload_moves_listeners(origin):
    def free():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            return sock.getsockname()[1]

    first, second = free(), free()
    with Sallyport(plain(origin, server={"listen": {"http": f"127.0.0.1:{first}"}})) as gateway:
        assert gateway.ask().status == 200
        assert gateway.reload(plain(origin, server={"listen": {"http": f"127.0.0.1:{second}"}})).returncode == 0
        gateway.ports = {"http": [second]}
        assert gateway.ask().status == 200
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", first)) != 0, what="the old port to close")


def test_reload_turns_an_address_to_tls(origin, authority):
    """The same socket, another protocol on it."""
    pair = authority.issue("turned", "test")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with Sallyport(plain(origin, server={"listen": {"http": f"127.0.0.1:{port}"}})) as gateway:
        assert gateway.ask().status == 200
        config = plain(origin, tls={"cert": pair.cert, "key": pair.key})
        config["server"]["listen"] = {"https": f"127.0.0.1:{port}"}
        done = gateway.reload(config)
        assert done.returncode == 0, done.stderr
        assert "https" in steady(gateway)["listen"] and "http=" not in steady(gateway)["listen"]
        with socket.create_connection(("127.0.0.1", port)) as sock:
            context = ssl.create_default_context(cafile=authority.ca.cert)
            with context.wrap_socket(sock, server_hostname="test") as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                assert tls.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_reload_moves_the_control_socket(origin):
    config = plain(origin)
    with Sallyport(config) as gateway:
        moved = json.loads(json.dumps(config))
        moved["server"]["control"] = "other.sock"
        gateway.configure(moved)
        done = command("reload", "--control", gateway.control, "--wait")
        assert done.returncode == 0, done.stderr
        assert not os.path.exists(gateway.control)
        gateway.control = os.path.join(gateway.folder, "other.sock")
        assert steady(gateway)["generation"] == 2


def test_only_two_generations_drain(origin):
    """A third reload with requests in flight cuts the oldest."""
    config = plain(origin, server={"drain_timeout": "60s"})
    with Sallyport(config) as gateway:
        clients = []
        for number in range(4):
            client = gateway.client()
            origin.forget().script(silent())
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            origin.wait(1)
            clients.append(client)
            assert gateway.reload().returncode == 0
        eventually(lambda: len(gateway.role("generation")) == 3, 5, "one serving, two draining")
        assert gateway.ask().status == 200
        origin.drop()
        eventually(lambda: len(gateway.role("generation")) == 1, 5)
        for client in clients:
            client.close()


def test_audit_file_is_reopened(origin):
    with Sallyport(plain(origin)) as gateway:
        gateway.ask()
        gateway.new_records(1)
        os.rename(gateway.audit_path, gateway.audit_path + ".1")
        gateway.signal(signal.SIGUSR1)
        eventually(lambda: os.path.exists(gateway.audit_path))
        gateway.seen = 0
        gateway.ask()
        gateway.new_records(1)
        with open(gateway.audit_path + ".1") as file:
            assert len(file.readlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a folder that the recorder may not write to")
def test_audit_file_is_made_anew_in_a_folder_of_roots(origin):
    with Sallyport(plain(origin), start=False) as gateway:
        folder = os.path.join(gateway.folder, "log")
        os.mkdir(folder, 0o755)
        gateway.audit_path = os.path.join(folder, "audit.jsonl")
        gateway.configure(merge(plain(origin), {"audit": {"file": "log/audit.jsonl"}}))
        gateway.start()
        total = 0
        for _ in range(3):
            gateway.seen = 0
            gateway.ask()
            gateway.new_records(1)
            recorder = gateway.one("recorder")
            os.rename(gateway.audit_path, gateway.audit_path + f".{total}")
            total += 1
            gateway.signal(signal.SIGUSR1)
            eventually(lambda: os.path.exists(gateway.audit_path), 10, "a new file")
            eventually(lambda: gateway.role("recorder") not in ([], [recorder]), 10, "a new recorder")
        assert steady(gateway)


@pytest.mark.skipif(os.geteuid() != 0, reason="the same")
def test_no_record_is_lost_while_the_file_is_made_anew(origin):
    with Sallyport(plain(origin), start=False) as gateway:
        folder = os.path.join(gateway.folder, "log")
        os.mkdir(folder, 0o755)
        gateway.audit_path = os.path.join(folder, "audit.jsonl")
        gateway.configure(merge(plain(origin), {"audit": {"file": "log/audit.jsonl"}}))
        gateway.start()
        with Load(gateway, threads=2) as load:
            for number in range(3):
                time.sleep(0.2)
                os.rename(gateway.audit_path, gateway.audit_path + f".{number}")
                gateway.signal(signal.SIGUSR1)
                eventually(lambda: os.path.exists(gateway.audit_path), 10, "a new file")
        assert not load.failures

        def told():
            """Records, and what a gap record says that a full ring lost while there was no recorder."""
            total = 0
            for name in os.listdir(folder):
                if name.endswith((".seal", ".state", ".spill")):
                    continue
                for line in open(os.path.join(folder, name)).readlines():
                    gap = json.loads(line)["sallyport"].get("lost") if line.endswith("\n") else None
                    total += sum(gap.values()) if gap else 1
            return total
        eventually(lambda: told() >= load.done, 20, "all records")
        time.sleep(0.1)
        assert told() == load.done


# ---- the control socket's file -------------------------------------------------------------------------


def test_stale_control_socket_is_replaced(origin):
    gateway = Sallyport(plain(origin), start=False)
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(gateway.control)
    with gateway:
        gateway.start()
        assert steady(gateway)


def test_live_control_socket_is_not_taken(origin):
    with Sallyport(plain(origin)) as gateway:
        done = subprocess.run([BINARY, "run", "-c", gateway.config_path], capture_output=True, text=True, timeout=20,
                              env=ENVIRONMENT)
        assert done.returncode == 2 and "control.sock" in done.stderr
        assert steady(gateway)


def test_another_file_in_its_place_is_left_alone(origin):
    gateway = Sallyport(plain(origin), start=False)
    gateway.write("control.sock", "precious")
    done = subprocess.run([BINARY, "run", "-c", gateway.config_path], capture_output=True, text=True, timeout=20,
                          env=ENVIRONMENT)
    assert done.returncode == 2
    with open(gateway.control) as file:
        assert file.read() == "precious"
