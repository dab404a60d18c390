"""`doctor` sees what no check of the configuration can."""
import json
import os
import socket
import stat
import subprocess
import threading

import pytest

from harness import Origin, Sallyport, command, merge, plain
from redis_server import Redis
from wire import response


def examine(folder, config, code=None):
    path = os.path.join(folder, "doctor.yaml")
    with open(path, "w") as file:
        json.dump(config, file)
    done = command("doctor", "-c", path, "-o", "json", cwd=folder, timeout=60)
    assert "Sanitizer" not in done.stderr, done.stderr
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout)
    if code is not None:
        assert done.returncode == code, done.stdout
    return found


def of(found, check):
    return [(one["health"], one["what"]) for one in found if one["check"] == check]


def outward():
    """An address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def base(tmp_path, upstream, **more):
    os.chmod(tmp_path, 0o755)
    return merge(plain(upstream, **more), {"audit": {"file": str(tmp_path / "audit.jsonl")}})


def test_a_healthy_one(tmp_path, origin):
    found = examine(tmp_path, base(tmp_path, origin), 0)
    assert ("ok", "*: " + origin.url + " answers") in of(found, "origin")
    assert {one["check"] for one in found} >= {"kernel", "limits", "clock", "permissions", "cache", "origin"}
    human = command("doctor", "-c", str(tmp_path / "doctor.yaml"))
    assert human.returncode == 0 and " 0 bad" in human.stdout


def test_an_origin_that_is_not_there(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = examine(tmp_path, base(tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}"), 1)
    assert any(health == "bad" and "refused" in what.lower() for health, what in of(found, "origin"))


def test_an_origin_that_answers_around_the_gateway(tmp_path):
    if outward() is None:
        pytest.skip("no address but loopback")
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen(8)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

        def serve():
            while True:
                try:
                    one, _ = listening.accept()
                    one.settimeout(10)
                    if one.recv(4096):
                        one.sendall(answer)
                    one.close()
                except OSError:
                    return
        threading.Thread(target=serve, daemon=True).start()
        found = examine(tmp_path, base(tmp_path, f"http://127.0.0.1:{listening.getsockname()[1]}"), 1)
        listening.shutdown(socket.SHUT_RDWR)
    assert any(health == "bad" and "around the gateway" in what for health, what in of(found, "origin"))


@pytest.mark.parametrize("location,circle", [("http://shop.test/", True), ("http://shop.test", True),
                                             ("http://shop.test/login", False), ("https://shop.test/", False)])
def test_circles(tmp_path, location, circle):
    with Origin() as origin:
        origin.script(lambda exchange: exchange.send(
            b"HTTP/1.1 301 Moved\r\nLocation: " + location.encode() + b"\r\nContent-Length: 0\r\n\r\n"))
        found = examine(tmp_path, base(tmp_path, origin, host="shop.test"), 1 if circle else 0)
    assert bool(of(found, "redirects")) == circle


def test_certificates_and_files(tmp_path, authority, origin):
    pair = authority.issue("doctor", "doctor.test")
    old = tmp_path / "old.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", str(tmp_path / "old.key"), "-out", str(old), "-days", "5", "-subj", "/CN=old.test"],
                   check=True, capture_output=True)
    os.chmod(tmp_path / "old.key", 0o600)
    config = base(tmp_path, origin)
    config["sites"] = [merge(config["sites"][0], {"host": host, "tls": {"cert": str(cert), "key": str(key)}})
                       for host, cert, key in (("a.test", pair.cert, pair.key), ("b.test", old, tmp_path / "old.key"))]
    config["server"]["listen"]["https"] = "127.0.0.1:0"
    found = examine(tmp_path, config, 1)
    assert sorted(health for health, _ in of(found, "certificate")) == ["ok", "warn"]
    assert any(health == "bad" and "open to everybody" in what for health, what in of(found, "permissions"))  # 0644
    assert any(health == "ok" and "old.key" in what for health, what in of(found, "permissions"))


def test_redis(tmp_path, origin):
    with Redis() as redis:
        config = base(tmp_path, origin)
        config["store"] = {"redis": f"unix:{redis.socket}", "secret": "$(env:PATH)"}
        assert [health for health, _ in of(examine(tmp_path, config), "store")] == ["ok"]
    assert [health for health, _ in of(examine(tmp_path, config, 1), "store")] == ["bad"]


def test_an_unusable_cache(tmp_path, origin):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o777)
    os.chmod(folder, stat.S_IRWXU | stat.S_IRWXO)
    config = base(tmp_path, origin)
    config["server"]["cache"] = {"folder": str(folder)}
    assert [health for health, _ in of(examine(tmp_path, config, 0), "cache")] == ["warn"]
    config["server"]["cache"] = "off"
    assert "not kept" in of(examine(tmp_path, config), "cache")[0][1]


def test_misuse_is_said(tmp_path):
    assert command("doctor").returncode == 2
    (tmp_path / "bad.yaml").write_text("sites: 3")
    assert command("doctor", "-c", str(tmp_path / "bad.yaml")).returncode == 2
