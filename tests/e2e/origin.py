"""A scripted upstream server: it records every byte and answers what the test says.

A behaviour is bytes (sent as the answer as they are), or a function (exchange) that does with the
connection what it likes. Behaviours queued by `script` are used up first, then `default`.
"""
import os
import select
import socket
import ssl
import threading
import time

import wire


class Exchange:
    """One request as it arrived, and the connection it came on."""

    def __init__(self, origin, sock, reader, message, number, connection):
        self.origin, self.sock, self.reader, self.message = origin, sock, reader, message
        self.number, self.connection = number, connection
        self.body = b""
        self.error = None

    @property
    def raw(self):
        return self.message.raw

    def read_body(self, sink=None):
        self.body = wire.body_of(self.reader, self.message, sink) or b""
        return self.body

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


class Origin:
    def __init__(self, default=None, path=None, tls=None, port=0, name="origin"):
        self.default = default or wire.response(200, name.encode())
        self.name, self.path, self.tls = name, path, tls
        self.queue, self.exchanges, self.heads = [], [], []
        self.lock = threading.Condition()
        self.bytes_seen = self.connections = self.garbled = 0
        self.open = set()
        self.stopped = False
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", port))
        self.listener.listen(256)
        self.port = None if path else self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        if self.path:
            return f"unix:{self.path}"
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopped = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def drop(self):
        """Closes every connection that is open."""
        with self.lock:
            socks, self.open = list(self.open), set()
        for sock in socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def script(self, *behaviours):
        with self.lock:
            self.queue.extend(behaviours)
        return self

    def _behind(self):
        """Whether something that was sent to us is still unread."""
        with self.lock:
            files = [self.listener, *self.open]
        try:
            return bool(select.select(files, [], [], 0)[0])
        except (OSError, ValueError):
            return True  # one was closed just now

    def forget(self):
        """What comes later belongs to the next test; what was sent by now does not."""
        end, quiet = time.monotonic() + 0.2, 0
        while quiet < 2 and time.monotonic() < end:
            quiet = 0 if self._behind() else quiet + 1
            time.sleep(0.001)
        with self.lock:
            self.exchanges, self.heads, self.queue = [], [], []
            self.bytes_seen = self.garbled = 0
        return self

    @property
    def count(self):
        return len(self.heads)

    def wait(self, count, seconds=20.0):
        """The exchanges, once there are `count` of them."""
        end = time.monotonic() + seconds
        with self.lock:
            while len(self.exchanges) < count:
                left = end - time.monotonic()
                assert left > 0, f"{len(self.exchanges)} of {count} requests reached the origin"
                self.lock.wait(left)
            return list(self.exchanges)

    def _accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.open.add(sock)
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock, number):
        raw = sock
        try:
            if not self.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self._requests(sock, number)
        except (OSError, ssl.SSLError, wire.Cut):
            pass
        except wire.Fault:
            with self.lock:
                self.garbled += 1
        finally:
            with self.lock:
                self.open.discard(raw)
            try:
                sock.close()
            except OSError:
                pass

    def _requests(self, sock, number):
        reader = _Counting(sock, self)
        while not self.stopped:
            message = wire.parse_head(reader.until(b"\r\n\r\n"))
            with self.lock:
                self.heads.append(message)
                behaviour = self.queue.pop(0) if self.queue else self.default
                exchange = Exchange(self, sock, reader, message, len(self.heads), number)
            if callable(behaviour):
                with self.lock:
                    self.exchanges.append(exchange)
                    self.lock.notify_all()
                again = behaviour(exchange)
                if again is False:
                    return
                continue
            exchange.read_body()
            with self.lock:
                self.exchanges.append(exchange)
                self.lock.notify_all()
            if message.method == "HEAD":
                behaviour = behaviour[:behaviour.index(b"\r\n\r\n") + 4]
            sock.sendall(behaviour)


class _Counting(wire.Reader):
    def __init__(self, sock, origin):
        super().__init__(sock)
        self.origin = origin

    def fill(self):
        before = self.total
        more = super().fill()
        with self.origin.lock:
            self.origin.bytes_seen += self.total - before
        return more


def says(data, then_close=False):
    """Reads the request whole, sends `data` as it is, and perhaps closes."""
    def behave(exchange):
        exchange.read_body()
        exchange.send(data)
        return not then_close
    return behave


def silent(seconds=60):
    """Reads the request and says nothing until the other side is gone."""
    def behave(exchange):
        exchange.read_body()
        exchange.sock.settimeout(seconds)
        try:
            while exchange.sock.recv(4096):
                pass
        except OSError:
            pass
        return False
    return behave


def echo(exchange):
    """Answers with the request's body."""
    exchange.send(wire.response(200, exchange.read_body()))
