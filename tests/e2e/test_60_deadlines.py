"""Nobody keeps us waiting: each phase has a deadline, and those who are in time are not cut."""
import socket
import time

import pytest

from harness import Client, Cut, Origin, Sallyport, plain, request, response, says, silent, soon

LIMITS = {"header_timeout": "400ms", "body_timeout": "400ms", "body_min_rate": "500B", "send_timeout": "500ms",
          "idle": "500ms", "conns_per_ip": 50}


@pytest.fixture(scope="module")
def gateway(origin):
    upstream = {"servers": [origin.url], "passive": "off",
                "timeout": {"connect": "300ms", "response": "400ms", "idle": "400ms"}}
    with Sallyport(plain(upstream, server={"limits": LIMITS})) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


class Took:
    """Measures, and holds what it measured to bounds."""

    def __init__(self, least, most):
        self.least, self.most = least, most

    def __enter__(self):
        self.began = time.monotonic()

    def __exit__(self, kind, *_):
        took = time.monotonic() - self.began
        assert kind or self.least <= took <= soon(self.most), f"took {took:.2f} s"


def slowly(client, data, pause):
    """Byte by byte until the other side has had enough; True when it had."""
    client.sock.settimeout(0.001)
    for byte in data:
        try:
            client.sock.sendall(bytes([byte]))
            time.sleep(pause)
            client.reader.buffer += client.sock.recv(4096) or b""
            if client.reader.buffer:
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    client.sock.settimeout(5)


def test_slowloris(gateway, origin):
    with gateway.client() as client, Took(0.3, 2):
        slowly(client, b"GET / HTTP/1.1\r\nHost: test\r\n" + b"X-A: b\r\n" * 100, 0.03)
        answer = client.answer()
        assert answer.status == 408 and client.closed()
    assert origin.count == 0


def test_silent_client(gateway):
    with gateway.client() as client, Took(0.3, 2):
        assert client.closed()


def test_half_a_head(gateway):
    with gateway.client() as client, Took(0.3, 2):
        client.send(b"GET / HTT")
        assert client.answer().status == 408 and client.closed()


def test_second_head_has_its_own_deadline(gateway):
    with gateway.client() as client:
        assert client.ask().status == 200
        time.sleep(0.3)
        client.send(b"GET / HTTP/1.1\r\n")
        time.sleep(0.3)
        client.send(b"Host: test\r\n\r\n")
        assert client.answer().status == 200


def test_idle(gateway):
    with gateway.client() as client:
        assert client.ask().status == 200
        time.sleep(0.3)
        assert client.ask().status == 200
        with Took(0.4, 2):
            assert client.closed()


def test_slow_body(gateway, origin):
    """Under body_min_rate: one byte every now and then holds nothing for long."""
    with gateway.client() as client, Took(0.3, 3):
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n")
        slowly(client, b"x" * 200, 0.03)
        assert client.answer().status == 408 and client.closed()
    assert origin.exchanges == [] or origin.exchanges[0].body != b"x" * 10000


def test_body_that_stops(gateway):
    with gateway.client() as client, Took(0.3, 3):
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000\r\n\r\n" + b"x" * 5000)
        assert client.answer().status == 408


def test_slow_chunks(gateway):
    with gateway.client() as client, Took(0.3, 3):
        client.send(request("POST", fields=["Transfer-Encoding: chunked"]))
        slowly(client, b"1\r\nx\r\n" * 50, 0.03)
        assert client.answer().status == 408


def test_body_in_time(gateway, origin):
    """Slow, but above the rate, for longer than the timeout."""
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3000\r\n\r\n")
        for _ in range(30):
            client.send(b"x" * 100)
            time.sleep(0.03)
        assert client.answer().status == 200
    assert len(origin.wait(1)[0].body) == 3000


def test_slow_reader(gateway, origin):
    """A client that takes nothing is cut, and upstream is let go."""
    total, gone = 32 << 20, []

    def send(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        try:
            for _ in range(total >> 16):
                exchange.send(bytes(1 << 16))
        except OSError:
            gone.append(time.monotonic())
            return False
    origin.script(send)
    with gateway.client(rcvbuf=8192) as client:
        began = time.monotonic()
        client.send(request())
        while not gone and time.monotonic() - began < soon(5):
            time.sleep(0.02)
        assert gone and 0.3 <= gone[0] - began < soon(4)
        with pytest.raises((Cut, ConnectionError)):
            client.answer()


def test_reader_in_time(gateway, origin):
    """Slow, but never still for as long as the timeout."""
    total = 16 << 20
    origin.script(says(response(200, bytes(total))))
    with gateway.client(rcvbuf=8192) as client:
        client.send(request())
        client.head()
        left = total - len(client.reader.buffer)
        end = time.monotonic() + 1.2
        while left > 0:
            slow = time.monotonic() < end
            taken = len(client.sock.recv(min(left, 30000 if slow else 1 << 20)))
            assert taken, f"cut with {left} bytes to come"
            left -= taken
            time.sleep(0.03 if slow else 0)


def test_reader_by_drops(gateway, origin):
    """A byte now and then keeps nobody's answer in memory: below body_min_rate it is cut."""
    total = 16 << 20
    origin.script(says(response(200, bytes(total))))
    with gateway.client(rcvbuf=8192) as client:
        client.send(request())
        client.head()
        end = time.monotonic() + 2.5
        with pytest.raises((Cut, ConnectionError)):
            while time.monotonic() < end:
                client.sock.recv(10)
                time.sleep(0.1)
            left = total
            while left > 0:
                taken = len(client.sock.recv(1 << 20))
                if not taken:
                    raise ConnectionResetError
                left -= taken


def test_response_timeout(gateway, origin):
    origin.script(silent())
    with Took(0.3, 2):
        assert gateway.ask("POST", body=b"x").status == 504


def test_upload_is_no_upstream_delay(gateway, origin):
    """The wait for the answer begins when the request is complete."""
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * 100)
            time.sleep(0.04)
        assert client.answer().status == 200


def test_upstream_that_stops_in_its_body(gateway, origin):
    def stall(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        time.sleep(3)
    origin.script(stall)
    with gateway.client() as client, Took(0.3, 2):
        with pytest.raises((Cut, ConnectionError)):
            client.ask()


def test_upstream_that_drips_its_head(gateway, origin):
    def drip(exchange):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100:
            exchange.send(bytes([byte]))
            time.sleep(0.05)
    origin.script(drip)
    with Took(0.3, 3):
        assert gateway.ask("POST", body=b"x").status in (502, 504)


def test_connect_timeout(origin):
    """A listener whose queue is full never answers a SYN."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address, fillers = full.getsockname(), []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        time.sleep(0.05)
        upstream = {"servers": [f"http://127.0.0.1:{address[1]}"], "timeout": {"connect": "300ms"}, "passive": "off"}
        with Sallyport(plain(upstream)) as gateway, Took(0.2, 5):
            assert gateway.ask().status in (502, 504)
        for filler in fillers:
            filler.close()


def test_total(origin):
    def drip(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(60):
                exchange.send(b"x")
                time.sleep(0.05)
        except OSError:
            pass
        return False
    origin.script(drip)
    upstream = {"servers": [origin.url], "timeout": {"total": "600ms"}}
    with Sallyport(plain(upstream)) as gateway, gateway.client() as client, Took(0.4, 2.5):
        with pytest.raises((Cut, ConnectionError)):
            client.ask()


def test_connections_of_one_address(origin):
    with Sallyport(plain(origin, server={"limits": {"conns_per_ip": 5}, "workers": 2})) as gateway:
        clients = [gateway.client() for _ in range(5)]
        for client in clients:
            assert client.ask().status == 200
        with gateway.client() as sixth:
            try:
                sixth.send(request())
                refused = sixth.closed(3)
            except ConnectionError:
                refused = True
            assert refused
        clients.pop().close()
        end = time.monotonic() + 3
        while True:
            try:
                assert gateway.ask().status == 200
                break
            except (ConnectionError, Cut):
                assert time.monotonic() < end
        for client in clients:
            client.close()


def test_connections_in_all(origin):
    """At the limit the oldest idle connection goes; those in use stay."""
    with Sallyport(plain(origin, server={"limits": {"connections": 10, "conns_per_ip": 0}})) as gateway:
        clients = []
        for _ in range(15):
            clients.append(gateway.client())
            assert clients[-1].ask().status == 200
        assert clients[0].closed(2) and clients[4].closed(2)
        assert clients[14].ask().status == 200
        for client in clients:
            client.close()


def test_aborts_leave_nothing_behind(gateway, origin):
    """Descriptors are given back at once when clients go away."""
    import os

    def descriptors():
        return len(os.listdir(f"/proc/{gateway.one('worker')}/fd"))
    gateway.ask()
    before = descriptors()
    for _ in range(8):
        clients = [Client(gateway.address()) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(request()[:10 + number * 2])
        for client in clients:
            client.reset()
    end = time.monotonic() + 3
    while descriptors() > before + 4:
        assert time.monotonic() < end, f"{before} before, {descriptors()} now"
        time.sleep(0.02)
