"""HTTP/2 on raw sockets: frames as the test says, right or wrong. Only HPACK comes from a library."""
import collections
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)

Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def window(stream, by):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def literal(name, value):
    """A field without compression, so that nothing is repaired: any bytes."""
    name, value = (x.encode("latin-1") if isinstance(x, str) else x for x in (name, value))

    def string(s):
        if len(s) < 127:
            return bytes((len(s),)) + s
        rest, out = len(s) - 127, b"\x7f"
        while rest >= 128:
            out, rest = out + bytes((rest % 128 + 128,)), rest // 128
        return out + bytes((rest,)) + s
    return b"\0" + string(name) + string(value)


def head(method="GET", path="/", authority="test", scheme="http", fields=(), drop=(), before=()):
    """A field section; `before` comes first, `drop` names pseudo-fields that are left out."""
    pseudo = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    rows = list(before) + [p for p in pseudo if p[0] not in drop and p[1] is not None] + list(fields)
    return b"".join(literal(n, v) for n, v in rows)


class Answer:
    def __init__(self):
        self.fields, self.trailers, self.body = [], [], b""
        self.reset = self.ended = None
        self.interim = []

    @property
    def status(self):
        return int(dict(self.fields)[":status"]) if self.fields else None

    def get(self, name):
        return next((v for n, v in self.fields if n == name), None)


class Client2:
    """One connection. Reads frames strictly; `greet=False` leaves the preface to the test."""

    def __init__(self, address, tls=None, name="test", greet=True, own=(), timeout=10.0, rcvbuf=None,
                 source=None):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
        self.scheme = "https" if tls is not None else "http"
        self.buffer, self.decoder = b"", hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.answers = collections.defaultdict(Answer)
        self.goaway, self.over = None, False
        self.next = 1
        self.theirs, self.pongs, self.acks, self.windows = {}, [], 0, collections.Counter()
        self.frames, self.sent = [], collections.Counter()
        self.answering = True  # acknowledges SETTINGS, opens windows
        if greet:
            self.send(PREFACE + settings(*own))
            self.until(lambda: self.theirs and self.acks)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))
        return self

    def try_send(self, *parts):
        """The other side may have gone."""
        try:
            self.sock.sendall(b"".join(parts))
            return True
        except (ConnectionError, TimeoutError):
            return False

    # ---- reading ---------------------------------------------------------------------------------

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.over = True
        self.buffer += data

    def read(self):
        """The next frame, or None at the end of the connection."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            self._fill()
            if self.over:
                return None
        length = int.from_bytes(self.buffer[:3], "big")
        assert length <= 16384, "frame too long"
        got = Frame(self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big"), self.buffer[9:9 + length])
        self.buffer = self.buffer[9 + length:]
        self.frames.append(got)
        self._note(got)
        return got

    def _note(self, got):
        answer = self.answers[got.stream]
        if got.type == SETTINGS and got.flags & ACK:
            self.acks += 1
        elif got.type == SETTINGS:
            for at in range(0, len(got.payload), 6):
                key, value = struct.unpack(">HI", got.payload[at:at + 6])
                self.theirs[key] = value
            self.theirs[0] = 1
            self.try_send(frame(SETTINGS, ACK))
        elif got.type == PING and got.flags & ACK:
            self.pongs.append(got.payload)
        elif got.type == GOAWAY:
            self.goaway = struct.unpack(">I", got.payload[4:8])[0]
            self.last = struct.unpack(">I", got.payload[:4])[0]
        elif got.type == RST_STREAM:
            answer.reset = struct.unpack(">I", got.payload)[0]
        elif got.type == WINDOW_UPDATE:
            self.windows[got.stream] += struct.unpack(">I", got.payload)[0]
        elif got.type == HEADERS:
            assert got.flags & END_HEADERS, "answers here are short"
            fields = self.decoder.decode(got.payload)
            if not answer.fields and int(dict(fields)[":status"]) < 200:
                answer.interim.append(int(dict(fields)[":status"]))
            elif answer.fields:
                answer.trailers = fields
            else:
                answer.fields = fields
        elif got.type == DATA:
            answer.body += got.payload
            if self.answering and got.payload:
                self.try_send(window(0, len(got.payload)), window(got.stream, len(got.payload)))
        if got.type in (DATA, HEADERS) and got.flags & END_STREAM:
            answer.ended = True

    def until(self, done, seconds=10.0):
        """Reads until done(), or the end. Answers done()."""
        end = time.monotonic() + seconds
        while not done() and not self.over:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.read()
            except TimeoutError:
                break
        return done()

    # ---- asking ----------------------------------------------------------------------------------

    def open(self, section=None, end=True, flags=0, **how):
        """HEADERS on a new stream; its number."""
        stream, self.next = self.next, self.next + 2
        how.setdefault("scheme", self.scheme)
        section = head(**how) if section is None else section
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0) | flags, stream, section))
        return stream

    def answer(self, stream, seconds=10.0):
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None, seconds)
        return answer

    def ask(self, method="GET", path="/", authority="test", fields=(), body=None, seconds=10.0):
        stream = self.open(method=method, path=path, authority=authority, fields=fields, end=body is None)
        if body is not None:
            self.send_body(stream, body)
        answer = self.answer(stream, seconds)
        assert answer.ended, f"no answer: reset={answer.reset} goaway={self.goaway} over={self.over}"
        return answer

    def send_body(self, stream, body, end=True):
        """Within the windows that are open."""
        first, at = self.theirs.get(4, 65535), 0

        def room():
            return min(first + self.windows[stream] - self.sent[stream], 65535 + self.windows[0] - self.sent[0], 16384)
        while True:
            answer = self.answers[stream]
            assert self.until(lambda: room() > 0 or answer.ended, 10), "the windows stay shut"
            if answer.ended:  # before all was sent: the rest is not wanted
                return
            piece = body[at:at + room()]
            at += len(piece)
            self.sent[0] += len(piece)
            self.sent[stream] += len(piece)
            last = at == len(body)
            self.send(frame(DATA, END_STREAM if last and end else 0, stream, piece))
            if last:
                return

    # ---- how it ended ----------------------------------------------------------------------------

    def ping(self, seconds=5.0):
        """Whether the connection still answers."""
        had = len(self.pongs)
        return self.try_send(frame(PING, payload=b"are-you?")) and \
            bool(self.until(lambda: len(self.pongs) > had, seconds)) and self.goaway is None

    def connection_error(self, *codes, seconds=5.0):
        """GOAWAY with one of the codes (or none at all), and the end of the connection."""
        self.until(lambda: self.over, seconds)
        assert self.over, f"still open; goaway={self.goaway}"
        assert self.goaway is None or self.goaway in codes, self.goaway

    def stream_error(self, stream, *codes, seconds=5.0):
        """RST_STREAM with one of the codes, or a connection error with one."""
        answer = self.answers[stream]
        self.until(lambda: answer.reset is not None or self.goaway is not None, seconds)
        if answer.reset is not None:
            assert answer.reset in codes, answer.reset
        else:
            assert self.goaway is not None and self.goaway in codes, (self.goaway, self.over, answer.fields)
