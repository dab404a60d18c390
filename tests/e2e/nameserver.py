"""A name server on loopback that says what the test says: A, AAAA and SRV over UDP and TCP.

`zone` maps (name, type) to (ttl, [data]); what is not there does not exist. `how` is a function (query, socket kind)
that may answer in its place: bytes as they are, None for silence.
"""
import socket
import struct
import threading

A, CNAME, AAAA, SRV = 1, 5, 28, 33


def wire_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def service(priority, weight, port, target):
    return struct.pack(">HHH", priority, weight, port) + wire_name(target)


class Query:
    def __init__(self, data):
        self.data, self.id = data, data[:2]
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1").lower())
            at += 1 + data[at]
        self.name = ".".join(labels)
        self.type = int.from_bytes(data[at + 1:at + 3], "big")
        self.question = data[12:at + 5]

    def answer(self, records=(), code=0, flags=0x8180):
        """`records`: (owner or None, type, ttl, data)."""
        head = self.id + struct.pack(">HHHHH", flags | code, 1, len(records), 0, 0)
        body = b"".join((b"\xc0\x0c" if owner is None else wire_name(owner)) + struct.pack(">HHIH", kind, 1, ttl, len(data))
                        + data for owner, kind, ttl, data in records)
        return head + self.question + body


class NameServer:
    def __init__(self, zone=None):
        self.zone, self.how = dict(zone or {}), None
        self.asked, self.lock = [], threading.Lock()
        self.tcp = socket.socket()
        self.tcp.bind(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.tcp.listen(16)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tcp.close()
        self.udp.close()

    def point(self, name, *addresses, ttl=0):
        """From now on `name` has these addresses, of both families."""
        with self.lock:
            for kind, v6 in ((A, False), (AAAA, True)):
                data = [address(a) for a in addresses if (":" in a) == v6]
                self.zone[name, kind] = (ttl, data)

    def count(self, name):
        with self.lock:
            return sum(1 for asked in self.asked if asked[0] == name)

    def _answer(self, data, kind):
        query = Query(data)
        with self.lock:
            self.asked.append((query.name, query.type, kind))
            how = self.how
        if how is not None:
            return how(query, kind)
        with self.lock:
            if (query.name, query.type) in self.zone:
                ttl, data = self.zone[query.name, query.type]
                return query.answer([(None, query.type, ttl, d) for d in data])
            known = any(name == query.name for name, _ in self.zone)
        return query.answer(code=0 if known else 3)

    def _serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
                answer = self._answer(data, "udp")
                if answer is not None:
                    self.udp.sendto(answer, peer)
            except OSError:
                if self.udp.fileno() < 0:
                    return

    def _serve_tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(sock,), daemon=True).start()

    def _serve_one(self, sock):
        with sock:
            try:
                while True:
                    size = sock.recv(2, socket.MSG_WAITALL)
                    if len(size) < 2:
                        return
                    answer = self._answer(sock.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL), "tcp")
                    if answer is None:
                        return
                    sock.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                return
