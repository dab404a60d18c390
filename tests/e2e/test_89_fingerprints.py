"""JA4 of real clients, against the published algorithm on the bytes that they sent; the order of fields."""
import hashlib
import json
import os
import shutil
import socket
import subprocess
import ssl
import threading

import pytest

from harness import Sallyport, eventually, merge, plain


# ---- the algorithm, once more, from raw bytes -----------------------------------------------------


def numbers(data):
    return [int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2)]


def grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def extensions_of(data):
    while data:
        length = int.from_bytes(data[2:4], "big")
        yield int.from_bytes(data[:2], "big"), data[4:4 + length]
        data = data[4 + length:]


def half(values):
    return hashlib.sha256(values.encode()).hexdigest()[:12] if values else "0" * 12


def spelled(values):
    return ",".join(f"{value:04x}" for value in values)


def reference(message):
    """`message`: a handshake message of type ClientHello."""
    assert message[0] == 1
    version, at = int.from_bytes(message[4:6], "big"), 4 + 2 + 32
    at += 1 + message[at]
    length = int.from_bytes(message[at:at + 2], "big")
    ciphers = [c for c in numbers(message[at + 2:at + 2 + length]) if not grease(c)]
    at += 2 + length
    at += 1 + message[at]
    found = [(kind, body) for kind, body in extensions_of(message[at + 2:]) if not grease(kind)]
    bodies = dict(found)
    if 43 in bodies:
        version = max(v for v in numbers(bodies[43][1:]) if not grease(v))
    alpn = bodies[16][3:3 + bodies[16][2]] if 16 in bodies else b""
    shown = "00"
    if alpn:
        ends = alpn[:1] + alpn[-1:]
        shown = ends.decode() if ends.isalnum() and ends.isascii() else alpn.hex()[0] + alpn.hex()[-1]
    algorithms = [a for a in numbers(bodies[13][2:]) if not grease(a)] if 13 in bodies else []
    kinds = spelled(sorted(kind for kind, _ in found if kind not in (0, 16)))
    name = {0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10"}[version]
    return (f"t{name}{'d' if 0 in bodies else 'i'}{min(len(ciphers), 99):02}{min(len(found), 99):02}{shown}_"
            f"{half(spelled(sorted(ciphers)))}_{half(kinds + ('_' + spelled(algorithms) if algorithms else ''))}")


def hello_in(stream):
    """The first handshake message of a TLS connection, out of its records; None: not whole yet."""
    message = b""
    while len(stream) >= 5 and stream[0] == 22:
        length = int.from_bytes(stream[3:5], "big")
        message += stream[5:5 + length]
        stream = stream[5 + length:]
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return message[:4 + int.from_bytes(message[1:4], "big")]
    return None


class Tap:
    """Passes connections on to the gateway, and keeps what clients sent first."""

    def __init__(self, address):
        self.to = address
        self.sent = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.to)
            record = []
            self.sent.append(record)
            threading.Thread(target=self._pump, args=(client, server, record), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    @staticmethod
    def _pump(source, target, record):
        try:
            while data := source.recv(65536):
                if record is not None and sum(map(len, record)) < 65536:
                    record.append(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def hellos(self):
        found = [hello_in(b"".join(record)) for record in self.sent]
        return [hello for hello in found if hello]

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def gateway(origin, authority):
    base = plain(origin, server={"listen": {"https": "127.0.0.1:0"}})
    pair = authority.issue("a.test", "a.test")
    base["sites"] = [merge(base["sites"][0], {"host": "*", "tls": {"cert": pair.cert, "key": pair.key}})]
    with Sallyport(base) as gateway:
        yield gateway


@pytest.fixture
def tap(gateway):
    host, port = gateway.address("https")
    tap = Tap((host, port))
    yield tap
    tap.close()


def by_curl(port, folder):
    return ["curl", "-sk", "--resolve", f"a.test:{port}:127.0.0.1", f"https://a.test:{port}/"]


def by_curl_to_an_address(port, folder):
    return ["curl", "-sk", "--http1.1", f"https://127.0.0.1:{port}/"]


def by_openssl(port, folder):
    return ["sh", "-c", f"printf 'GET / HTTP/1.1\\r\\nHost: a.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client "
            f"-quiet -connect 127.0.0.1:{port} -servername a.test -alpn http/1.1 -status"]


def by_openssl_12(port, folder):
    return ["sh", "-c", f"printf 'GET / HTTP/1.1\\r\\nHost: a.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client "
            f"-quiet -connect 127.0.0.1:{port} -tls1_2 -noservername -cipher ECDHE+AESGCM"]


def by_python(port, folder):
    return ["/usr/bin/python3", "-c", "import ssl,urllib.request as u;c=ssl._create_unverified_context();"
            f"u.urlopen('https://127.0.0.1:{port}/',context=c).read()"]


def by_chromium(port, folder):
    return ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            f"--user-data-dir={folder}", "--ignore-certificate-errors", "--dump-dom",
            f"--host-resolver-rules=MAP a.test 127.0.0.1", f"https://a.test:{port}/"]


@pytest.mark.parametrize("client", [by_curl, by_curl_to_an_address, by_openssl, by_openssl_12, by_python, by_chromium])
def test_ja4_is_the_published_one(gateway, tap, tmp_path, client):
    command = client(tap.port, tmp_path)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    before = len(gateway.records())
    environment = {**os.environ, "HOME": str(tmp_path)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=environment, start_new_session=True)
    try:
        records = eventually(lambda: gateway.records()[before:], 60, "a request came")
    finally:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
    wanted = {reference(hello) for hello in tap.hellos()}
    assert {record["sallyport"]["client"]["ja4"] for record in records} <= wanted
    if client is by_chromium:
        assert any(grease(kind) for hello in tap.hellos() for kind, _ in all_extensions(hello))


def all_extensions(message):
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    return list(extensions_of(message[at + 2:]))


# ---- in conditions, limits and records -------------------------------------------------------------


def test_a_condition_by_ja4(origin, authority):
    base = plain(origin, server={"listen": {"https": "127.0.0.1:0"}})
    pair = authority.issue("b.test", "b.test")
    base["sites"] = [merge(base["sites"][0], {
        "host": "*", "tls": {"cert": pair.cert, "key": pair.key}, "deny": {"ips": ["127.0.0.0/8"],
                                                                          "unless": 'client.ja4 matches "^t12i"'}})]
    with Sallyport(base) as gateway:
        def ask(version):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = version
            with socket.create_connection(gateway.address("https")) as plain_socket:
                with context.wrap_socket(plain_socket) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    return sock.recv(100).split()[1]
        assert ask(ssl.TLSVersion.TLSv1_2) == b"200"
        assert ask(ssl.TLSVersion.TLSv1_3) == b"403"
        assert gateway.ask().status == 403, "a plain connection has no fingerprint"
        first, second, third = [r["sallyport"]["client"] for r in eventually(lambda: len(gateway.records()) == 3 and gateway.records())]
        assert first["ja4"].startswith("t12i") and second["ja4"].startswith("t13i") and "ja4" not in third
        digest = hashlib.sha256(b"host,connection,").hexdigest()[:12]
        assert second["field_order"] == f"h1-02-{digest}"


def test_the_order_of_fields(origin):
    """Names in their order, small; what comes and goes with a request does not count."""
    config = plain(origin, deny={"ips": ["127.0.0.0/8"], "unless": 'client.field_order == ""'})
    with Sallyport(config) as gateway:
        def order(fields):
            gateway.forget_records()
            gateway.ask(fields=fields)
            return gateway.new_records()[0]["sallyport"]["client"]["field_order"]
        base = order([("Accept", "*/*"), ("User-Agent", "x")])
        digest = hashlib.sha256(b"host,accept,user-agent,").hexdigest()[:12]
        assert base == f"h1-03-{digest}"
        assert order([("accept", "text/html"), ("Cookie", "a=b"), ("user-agent", "y"), ("If-None-Match", "z")]) == base
        assert order([("User-Agent", "x"), ("Accept", "*/*")]) != base


def test_a_limit_by_field_order(origin):
    config = plain(origin, limits=[{"rate": "2/m", "per": "client.field_order"}])
    with Sallyport(config) as gateway:
        assert [gateway.ask(fields=[("One", "x"), ("Two", "y")]).status for _ in range(3)] == [200, 200, 429]
        assert gateway.ask(fields=[("Two", "x"), ("One", "y")]).status == 200
