"""The control socket against everything but its own command; and watched lists, from file to worker."""
import json
import os
import signal
import socket
import stat
import time

import pytest

from harness import Sallyport, command, eventually, plain


def talk(gateway, data, timeout=5):
    """Sends, and reads until the end."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(gateway.control)
        try:
            sock.sendall(data)
        except BrokenPipeError:
            pass
        said = b""
        try:
            while more := sock.recv(65536):
                said += more
        except ConnectionResetError:
            pass
        return json.loads(said) if said else None


def test_mode(origin):
    with Sallyport(plain(origin)) as gateway:
        assert stat.S_IMODE(os.stat(gateway.control).st_mode) == 0o600


@pytest.mark.parametrize("request_bytes", [
    b"\n", b"{}\n", b"[]\n", b"null\n", b"{\n", b"{\"command\":1}\n", b"{\"command\":\"nothing\"}\n",
    b"\xff\xfe\n", b"{\"command\":\"status\",\"command\":\"stop\"}\n", b"[" * 60000 + b"\n", b"a" * (64 * 1024),
    b"{\"command\":\"stop\\u0000\"}\n",
])
def test_garbage_gets_an_error(request_bytes, origin):
    with Sallyport(plain(origin)) as gateway:
        said = talk(gateway, request_bytes)
        assert said["ok"] is False and said["error"]
        assert talk(gateway, b'{"command":"version"}\n')["ok"] is True
        assert gateway.ask().status == 200


def test_longer_than_allowed(origin):
    with Sallyport(plain(origin)) as gateway:
        said = talk(gateway, b" " * (256 * 1024))
        assert said is None or said["ok"] is False
        assert talk(gateway, b'{"command":"version"}\n')["ok"] is True


def test_more_clients_than_places(origin):
    """Silent ones hold the places; who comes then is turned away, and their time ends."""
    with Sallyport(plain(origin)) as gateway:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for sock in idle:
            sock.connect(gateway.control)
        time.sleep(0.3)
        assert gateway.ask().status == 200
        for sock in idle[:20]:
            sock.close()
        eventually(lambda: talk(gateway, b'{"command":"version"}\n'))
        for sock in idle:
            sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_other_users_are_turned_away(origin):
    """Even when somebody opened the file's mode."""
    with Sallyport(plain(origin)) as gateway:
        os.chmod(gateway.control, 0o777)
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            try:
                os._exit(0 if talk(gateway, b'{"command":"status"}\n') is None else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert talk(gateway, b'{"command":"status"}\n')["ok"] is True


# ---- watched lists -------------------------------------------------------------------------------------


def with_list(origin, name="bad.txt"):
    config = plain(origin, deny={"lists": ["bad"]})
    config["lists"] = {"bad": {"file": name, "watch": True}}
    return config


def list_status(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    return json.loads(done.stdout)["lists"][0] if done.returncode == 0 else None


def denied(gateway, expected):
    eventually(lambda: (gateway.ask().status == 403) == expected, 5, f"denied: {expected}")


def test_list_is_watched(origin):
    with Sallyport(with_list(origin), files={"bad.txt": "192.0.2.0/24\n"}) as gateway:
        assert gateway.ask().status == 200
        gateway.write("bad.txt", "192.0.2.0/24\n127.0.0.0/8\n")  # renamed over
        denied(gateway, True)
        with open(os.path.join(gateway.folder, "bad.txt"), "w") as file:  # in place
            file.write("# empty now\n")
        denied(gateway, False)
        gateway.write("bad.txt", "127.0.0.1\n")
        denied(gateway, True)
        os.unlink(os.path.join(gateway.folder, "bad.txt"))
        eventually(lambda: "trouble" in (list_status(gateway) or {}))
        assert gateway.ask().status == 403
        gateway.write("bad.txt", "")
        denied(gateway, False)
        assert "trouble" not in list_status(gateway)


@pytest.mark.parametrize("content", ["127.0.0.1\nnonsense\n", "127.0.0.1/33\n", "\0" * 100, "1.2.3.4\n" + "x" * 100000])
def test_malformed_list_keeps_the_last(content, origin):
    with Sallyport(with_list(origin), files={"bad.txt": "127.0.0.1\n"}) as gateway:
        denied(gateway, True)
        version = eventually(lambda: list_status(gateway))["version"]
        gateway.write("bad.txt", content)
        eventually(lambda: "trouble" in (list_status(gateway) or {}))
        assert gateway.ask().status == 403 and list_status(gateway)["version"] == version


def test_a_list_too_large_keeps_the_last(origin):
    with Sallyport(with_list(origin), files={"bad.txt": "127.0.0.1\n"}) as gateway:
        with open(os.path.join(gateway.folder, "huge"), "w") as file:
            file.truncate(128 * 1024 * 1024 + 1)
        os.rename(os.path.join(gateway.folder, "huge"), os.path.join(gateway.folder, "bad.txt"))
        eventually(lambda: "too long" in (list_status(gateway) or {}).get("trouble", ""))
        assert gateway.ask().status == 403


def test_a_fifo_in_its_place_stalls_nobody(origin):
    with Sallyport(with_list(origin), files={"bad.txt": "127.0.0.1\n"}) as gateway:
        path = os.path.join(gateway.folder, "bad.txt")
        os.unlink(path)
        os.mkfifo(path)
        eventually(lambda: "regular" in (list_status(gateway) or {}).get("trouble", ""))
        assert gateway.ask().status == 403


def test_a_link_beside_it_is_switched(origin):
    """As orchestrators publish files: a link to a folder is renamed over another."""
    gateway = Sallyport(None, start=False)
    for name, content in (("one", "192.0.2.1\n"), ("two", "127.0.0.1\n")):
        os.mkdir(os.path.join(gateway.folder, name))
        gateway.write(f"{name}/bad.txt", content)
    os.symlink("one", os.path.join(gateway.folder, "data"))
    os.symlink("data/bad.txt", os.path.join(gateway.folder, "bad.txt"))
    gateway.configure(with_list(origin))
    gateway.replays = False  # the list is another one by then
    with gateway:
        gateway.start()
        assert gateway.ask().status == 200
        os.symlink("two", os.path.join(gateway.folder, "data.new"))
        os.rename(os.path.join(gateway.folder, "data.new"), os.path.join(gateway.folder, "data"))
        denied(gateway, True)


@pytest.mark.parametrize("role", ["worker", "steward", "generation"])
def test_replaced_processes_have_the_present_list(role, origin):
    """A worker forked from the old configuration gets what has been published since; so does a new steward's."""
    with Sallyport(with_list(origin), files={"bad.txt": "192.0.2.1\n"}) as gateway:
        gateway.write("bad.txt", "127.0.0.1\n")
        denied(gateway, True)
        before = gateway.one(role)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: gateway.role(role) and before not in gateway.role(role), 15)
        denied(gateway, True)
        gateway.write("bad.txt", "192.0.2.1\n")
        denied(gateway, False)


def test_list_survives_a_reload(origin):
    config = with_list(origin)
    with Sallyport(config, files={"bad.txt": "192.0.2.1\n"}) as gateway:
        gateway.write("bad.txt", "127.0.0.1\n")
        denied(gateway, True)
        assert gateway.reload().returncode == 0
        assert gateway.ask().status == 403
        gateway.write("bad.txt", "192.0.2.1\n")
        denied(gateway, False)
