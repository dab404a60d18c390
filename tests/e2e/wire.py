"""HTTP/1.1 on raw sockets. The client never repairs: an answer with a fault is a test failure.

HTTP libraries normalise away just what these tests look for, so none is used.
"""
import socket
import ssl
import struct
import time


class Fault(AssertionError):
    """The answer is not strict HTTP/1.1."""


class Cut(Exception):
    """The connection ended inside an answer."""


class Message:
    """A parsed head and its body. Field names are compared without case."""

    def __init__(self, start, fields, raw):
        self.start, self.fields, self.raw = start, fields, raw
        self.body = b""
        self.trailers = []
        self.wire_body = b""

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    def names(self):
        return [n.lower() for n, _ in self.fields]

    @property
    def status(self):
        return int(self.start.split(b" ", 2)[1])

    @property
    def method(self):
        return self.start.split(b" ")[0].decode()

    @property
    def target(self):
        return self.start.split(b" ")[1].decode("latin-1")


TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                  b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not TOKEN.issuperset(name):
            raise Fault(f"bad field line {line!r}")
        if any(c < 0x20 and c != 9 or c == 0x7f for c in value):
            raise Fault(f"control byte in {line!r}")
        fields.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return fields


def parse_head(head):
    if not head.endswith(b"\r\n\r\n"):
        raise Fault(f"head without end: {head!r}")
    lines = head[:-4].split(b"\r\n")
    if b"\n" in b"".join(lines) or b"\r" in b"".join(lines):
        raise Fault(f"bare CR or LF in {head!r}")
    return Message(lines[0], parse_fields(lines[1:]), head)


class Reader:
    """Buffered reading from a socket, with a deadline for each call."""

    def __init__(self, sock):
        self.sock, self.buffer, self.total = sock, b"", 0

    def fill(self):
        data = self.sock.recv(65536)
        self.buffer += data
        self.total += len(data)
        return bool(data)

    def until(self, mark, limit=1 << 20):
        while mark not in self.buffer:
            if len(self.buffer) > limit:
                raise Fault("no end in sight: " + repr(self.buffer[:200]))
            if not self.fill():
                raise Cut(self.buffer)
        at = self.buffer.index(mark) + len(mark)
        taken, self.buffer = self.buffer[:at], self.buffer[at:]
        return taken

    def exactly(self, count, sink=None):
        """`count` bytes; given to `sink` in pieces instead of kept when there is one."""
        kept = []
        while count > 0:
            if not self.buffer and not self.fill():
                raise Cut(b"".join(kept))
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            (sink or kept.append)(piece)
        return b"".join(kept)

    def rest(self, sink=None):
        kept = []
        while True:
            if self.buffer:
                (sink or kept.append)(self.buffer)
                self.buffer = b""
            if not self.fill():
                return b"".join(kept)

    def chunked(self, message, sink=None):
        raw, body = [], []
        take = sink or body.append
        while True:
            line = self.until(b"\r\n", 4096)
            raw.append(line)
            size = line[:-2].split(b";")[0]
            if not size or len(size) > 16 or any(c not in b"0123456789abcdefABCDEF" for c in size):
                raise Fault(f"bad chunk size {line!r}")
            if int(size, 16) == 0:
                break
            self.exactly(int(size, 16), take)
            if self.exactly(2) != b"\r\n":
                raise Fault("chunk without CR LF")
        lines = []
        while (line := self.until(b"\r\n")) != b"\r\n":
            lines.append(line[:-2])
        message.trailers = parse_fields(lines)
        return b"".join(body)


def body_of(reader, message, sink=None):
    """Reads the body that the head of a request or an answer announces."""
    lengths, codings = message.all("content-length"), message.all("transfer-encoding")
    if codings:
        if lengths or codings != ["chunked"]:
            raise Fault(f"framing: {message.fields}")
        return reader.chunked(message, sink)
    if lengths:
        if len(lengths) > 1 or not lengths[0].isdigit():
            raise Fault(f"framing: {message.fields}")
        return reader.exactly(int(lengths[0]), sink)
    return None


class Client:
    """One connection. `send` takes bytes; `answer` reads one strict answer."""

    def __init__(self, address, tls=None, name=None, timeout=10.0, rcvbuf=None, source=None, session=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name, session=session)
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a RST in place of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def trickle(self, data, step=1, pause=0.0):
        """In pieces of `step` bytes, each a segment of its own."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        for at in range(0, len(data), step):
            self.sock.sendall(data[at:at + step])
            if pause:
                time.sleep(pause)
        return self

    def head(self):
        return parse_head(self.reader.until(b"\r\n\r\n"))

    def answer(self, method="GET", sink=None, interim=None):
        """The next final answer; interim ones go to the list `interim`, or are a fault."""
        while True:
            message = self.head()
            line = message.start.split(b" ", 2)
            if len(line) != 3 or line[0] != b"HTTP/1.1" or len(line[1]) != 3:
                raise Fault(f"status line {message.start!r}")
            if message.status >= 200 or message.status == 101:
                break
            if interim is None:
                raise Fault(f"interim answer {message.start!r}")
            interim.append(message.status)
        if message.status in (101, 204, 304) or method == "HEAD":
            return message
        body = body_of(self.reader, message, sink)
        if body is None:
            if message.get("connection", "").lower() != "close":
                raise Fault(f"an answer without an end: {message.raw!r}")
            body = self.reader.rest(sink)
        message.body = body
        return message

    def ask(self, method="GET", path="/", host="test", fields=(), body=None, **more):
        return self.send(request(method, path, host, fields, body)).answer(method, **more)

    def closed(self, timeout=5.0):
        """True when the other side has ended the connection and nothing more came before."""
        self.sock.settimeout(timeout)
        try:
            return self.reader.buffer == b"" and self.sock.recv(1) == b""
        except (ConnectionError, ssl.SSLError) as error:
            return not isinstance(error, TimeoutError)
        except TimeoutError:
            return False


def request(method="GET", path="/", host="test", fields=(), body=None):
    """A well-formed request; `fields` are lines or pairs."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f if isinstance(f, str) else f"{f[0]}: {f[1]}" for f in fields]
    if body is not None and not any(x.lower().startswith("transfer-encoding") for x in lines):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(*pieces, trailers=()):
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p)
    return out + b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


def response(status=200, body=b"", fields=(), reason="Said"):
    head = f"HTTP/1.1 {status} {reason}\r\n"
    head += "".join(f"{n}: {v}\r\n" for n, v in fields)
    if status >= 200 and status not in (204, 304):
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode("latin-1") + b"\r\n" + body
