"""Another version of the program takes over: the same master's pid, no lost request, open WebSockets stay; and what
cannot take over changes nothing."""
import json
import os
import shutil
import signal

import pytest

from harness import BINARY, Load, Origin, Sallyport, command, eventually, plain, response
from test_20_http import SWITCH, UPGRADE, request


def tunnel(exchange):
    exchange.send(SWITCH)
    while True:
        data = exchange.sock.recv(4096)
        if not data:
            return False
        exchange.send(b"echo:" + data)


def behave(exchange):
    if exchange.message.get("upgrade"):
        return tunnel(exchange)
    exchange.read_body()
    exchange.send(response(200, b"origin"))
    return True


@pytest.fixture
def origin():
    with Origin(default=behave) as made:
        yield made


class Installed:
    """The program at a path of its own, which is replaced as a package does it."""

    def __init__(self, folder):
        self.path = str(folder / "sallyport")
        shutil.copy(BINARY, self.path)
        os.chmod(folder, 0o755)

    def replace(self, content=None):
        fresh = self.path + ".new"
        if content is None:
            shutil.copy(BINARY, fresh)
        else:
            with open(fresh, "wb") as file:
                file.write(content)
            os.chmod(fresh, 0o755)
        os.rename(fresh, self.path)

    def inode(self):
        return os.stat(self.path).st_ino


@pytest.fixture
def installed(tmp_path):
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(path, 0o755)
    return Installed(tmp_path)


def runs(pid):
    """The inode of the program that a process executes."""
    try:
        return os.stat(f"/proc/{pid}/exe").st_ino
    except OSError:
        return None


def upgrade(gateway, timeout=60):
    return command("upgrade", "--control", gateway.control, "--wait", "--force", cwd=gateway.folder, timeout=timeout)


def open_websocket(gateway):
    client = gateway.client(timeout=20)
    client.send(request("GET", "/socket", host="test", fields=UPGRADE))
    assert client.head().status == 101
    return client


def talks(client, word):
    client.sock.sendall(word)
    got = b""
    while len(got) < len(word) + 5:
        piece = client.sock.recv(4096)
        assert piece, "the WebSocket was dropped"
        got += piece
    assert got == b"echo:" + word


def test_under_load_with_open_websockets(installed, origin):
    with Sallyport(plain(origin, server={"workers": 2}), binary=installed.path) as gateway:
        sockets = [open_websocket(gateway) for _ in range(6)]
        old, before = gateway.role("worker"), runs(gateway.pid)
        with Load(gateway, threads=4, pause=0.002) as load:
            eventually(lambda: load.done > 100, what="load")
            installed.replace()
            done = upgrade(gateway)
            assert done.returncode == 0, done.stdout + done.stderr
            assert runs(gateway.pid) == installed.inode() != before
            for client in sockets:
                talks(client, b"still there")
            again = load.done
            eventually(lambda: load.done > again + 100, what="load on the new version")
        assert not load.failures, load.failures[:5]
        fresh = set(gateway.role("worker")) - set(old)
        assert len(fresh) == 2 and all(runs(pid) == installed.inode() for pid in fresh)
        assert runs(gateway.one("steward")) == runs(gateway.one("recorder")) == installed.inode()
        for client in sockets:
            talks(client, b"to the end")
            client.close()
        eventually(lambda: not set(old) & set(gateway.role("worker")), what="the old workers go")
        assert gateway.process.poll() is None and gateway.ask().status == 200
        assert json.loads(command("status", "-c", gateway.config_path, "-o", "json",
                                  cwd=gateway.folder).stdout)["generation"]


def test_again_and_by_signal_and_all_else_works_on(installed, origin):
    config = plain(origin, server={"workers": 1})
    with Sallyport(config, binary=installed.path) as gateway:
        for _ in range(2):
            installed.replace()
            gateway.signal(signal.SIGUSR2)
            eventually(lambda: runs(gateway.pid) == installed.inode() and
                       any(runs(pid) == installed.inode() for pid in gateway.role("worker")), what="the new version")
            assert gateway.ask().status == 200
        eventually(lambda: len(gateway.role("generation")) == 1, what="one generation")
        assert gateway.reload(config).returncode == 0
        for role in ("worker", "generation", "steward", "recorder"):
            died = gateway.one(role)
            os.kill(died, signal.SIGKILL)
            eventually(lambda: gateway.role(role) and died not in gateway.role(role), what=f"another {role}")
            eventually(lambda: gateway.ask().status == 200, what="an answer")
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0


@pytest.mark.parametrize("content", [b"", b"\x7fELF and nothing behind it", b"#!/bin/sh\nexit 0\n",
                                     b"#!/bin/sh\nexit 3\n"])
def test_a_program_that_cannot_take_over_changes_nothing(installed, origin, content):
    with Sallyport(plain(origin, server={"workers": 1}), binary=installed.path) as gateway:
        client, before, workers = open_websocket(gateway), runs(gateway.pid), gateway.role("worker")
        installed.replace(content)
        done = upgrade(gateway)
        assert done.returncode == 2, done.stdout + done.stderr
        assert runs(gateway.pid) == before and gateway.role("worker") == workers
        assert gateway.ask().status == 200
        talks(client, b"still there")
        installed.replace()
        assert upgrade(gateway).returncode == 0 and runs(gateway.pid) == installed.inode()
        talks(client, b"and now")
        client.close()


def test_a_refused_configuration_leaves_the_old_generation(installed, origin):
    good = plain(origin, server={"workers": 1})
    with Sallyport(good, binary=installed.path) as gateway:
        workers = gateway.role("worker")
        gateway.configure({**good, "nonsense": 1})
        installed.replace()
        done = upgrade(gateway)
        assert done.returncode == 2 and "nonsense" in done.stderr
        assert runs(gateway.pid) == installed.inode() and gateway.role("worker") == workers
        assert gateway.ask().status == 200
        assert gateway.reload(good).returncode == 0 and gateway.ask().status == 200
        eventually(lambda: not set(workers) & set(gateway.role("worker")), what="the old worker goes")


def test_somebody_elses_word_in_the_environment_is_nothing(origin):
    with Sallyport(plain(origin), env={"SALLYPORT_HANDOVER": "3"}) as gateway:
        assert gateway.ask().status == 200


def test_limits_live_on(installed, origin):
    """What is in shared memory is there behind an upgrade."""
    config = plain(origin, server={"workers": 1})
    config["sites"][0]["limits"] = ["5/1h"]
    with Sallyport(config, binary=installed.path) as gateway:
        said = [gateway.ask().status for _ in range(3)]
        installed.replace()
        assert upgrade(gateway).returncode == 0
        said += [gateway.ask().status for _ in range(4)]
        assert said == [200] * 5 + [429] * 2
