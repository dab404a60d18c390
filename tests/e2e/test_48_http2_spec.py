"""HTTP/2 (RFC 9113) and HPACK (RFC 7541), section by section as h2spec has them: what is legal is served, what is
not ends the stream or the connection with the right code, and never the worker.

generic: 1 starting, 2 streams, 3.1-3.10 frames, 4 messages, 5 HPACK.
http2: 3.5 preface, 4.1 format, 4.2 size, 4.3 field sections, 5.1 states, 5.1.1 identifiers, 5.1.2 concurrency,
5.3.1 dependencies, 5.4.1 connection errors, 5.5 extensions, 6.1 DATA, 6.2 HEADERS, 6.3 PRIORITY, 6.4 RST_STREAM,
6.5 SETTINGS, 6.5.2 parameters, 6.5.3 synchronization, 6.7 PING, 6.8 GOAWAY, 6.9 WINDOW_UPDATE, 6.9.1 windows,
6.9.2 initial window, 6.10 CONTINUATION, 7 error codes, 8.1 exchange, 8.1.2 fields, 8.1.2.1 pseudo, 8.1.2.2 connection,
8.1.2.3 request, 8.1.2.6 malformed, 8.2 push. hpack: 2.3.3 index, 4.2 table size, 5.2 strings, 6.1 indexed, 6.3 updates.
"""
import struct

import hpack
import pytest

from harness import Sallyport, plain, response
from wire2 import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
                   FRAME_SIZE_ERROR, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY,
                   PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
                   Client2, frame, head, literal, reset, settings, window)

OPEN = END_HEADERS
CLOSED = END_HEADERS | END_STREAM


@pytest.fixture(scope="module")
def gateway(origin):
    with Sallyport(plain(origin)) as gateway:
        yield gateway
        with Client2(gateway.address()) as client:
            assert client.ask().status == 200  # the worker is the one that began
        assert "worker" not in " ".join(line for line in gateway.stderr if "died" in line or "signal" in line)


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


@pytest.fixture
def client(gateway):
    with Client2(gateway.address()) as client:
        yield client


# ---- legal: answered, and the connection lives ---------------------------------------------------

def dependency(on, weight=16, exclusive=False):
    return struct.pack(">IB", on | (1 << 31 if exclusive else 0), weight)


def huffman(name, value):
    return hpack.Encoder().encode([(name, value)], huffman=True)


HUFFMAN_X = b"\x81\xf3"  # "x"


SERVED = {
    "generic/2 half-closed": [frame(HEADERS, CLOSED, 1, head())],
    "generic/2 PRIORITY on an idle stream": [frame(PRIORITY, 0, 1, dependency(0)), frame(HEADERS, CLOSED, 3, head())],
    "generic/2 WINDOW_UPDATE when half-closed": [frame(HEADERS, CLOSED, 1, head()), window(1, 100)],
    "generic/2 PRIORITY when half-closed": [frame(HEADERS, CLOSED, 1, head()), frame(PRIORITY, 0, 1, dependency(0))],
    "generic/2 RST_STREAM when half-closed": [frame(HEADERS, CLOSED, 1, head()), reset(1, 8),
                                              frame(HEADERS, CLOSED, 3, head())],
    "generic/3.1 DATA": [frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, END_STREAM, 1, b"abc")],
    "generic/3.1 DATA in pieces": [frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, 0, 1, b"abc"),
                                   frame(DATA, END_STREAM, 1, b"def")],
    "generic/3.1 DATA padded": [frame(HEADERS, OPEN, 1, head("POST")),
                                frame(DATA, END_STREAM | PADDED, 1, b"\5abc" + bytes(5))],
    "generic/3.2 HEADERS padded": [frame(HEADERS, CLOSED | PADDED, 1, b"\5" + head() + bytes(5))],
    "generic/3.2 HEADERS with priority": [frame(HEADERS, CLOSED | PRIORITIZED, 1, dependency(0) + head())],
    "generic/3.3 PRIORITY before": [frame(PRIORITY, 0, 1, dependency(0)), frame(HEADERS, CLOSED, 1, head())],
    "generic/3.3 PRIORITY of the greatest weight": [frame(PRIORITY, 0, 1, dependency(0, 255)),
                                                    frame(HEADERS, CLOSED, 1, head())],
    "generic/3.3 PRIORITY on another stream": [frame(PRIORITY, 0, 3, dependency(1)), frame(HEADERS, CLOSED, 3, head())],
    "generic/3.3 PRIORITY exclusive": [frame(PRIORITY, 0, 1, dependency(0, 16, True)),
                                       frame(HEADERS, CLOSED, 1, head())],
    "generic/3.3 PRIORITY on an idle one": [frame(PRIORITY, 0, 3, dependency(5)), frame(HEADERS, CLOSED, 1, head())],
    "generic/3.4 RST_STREAM": [frame(HEADERS, OPEN, 1, head("POST")), reset(1), frame(HEADERS, CLOSED, 3, head())],
    "generic/3.8 GOAWAY": [frame(HEADERS, CLOSED, 1, head()), frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"h2spec")],
    "generic/3.5 SETTINGS": [settings((3, 100)), frame(HEADERS, CLOSED, 1, head())],
    "generic/3.7 PING": [frame(PING, 0, 0, b"h2spec!!"), frame(HEADERS, CLOSED, 1, head())],
    "generic/3.9 WINDOW_UPDATE of the connection": [window(0, 1), frame(HEADERS, CLOSED, 1, head())],
    "generic/3.9 WINDOW_UPDATE of a stream": [frame(HEADERS, OPEN, 1, head("POST")), window(1, 1),
                                              frame(DATA, END_STREAM, 1, b"")],
    "generic/3.10 CONTINUATION": [frame(HEADERS, END_STREAM, 1, head()),
                                  frame(CONTINUATION, END_HEADERS, 1, literal("x", "y"))],
    "generic/3.10 several": [frame(HEADERS, END_STREAM, 1, head()), frame(CONTINUATION, 0, 1, literal("x", "y")),
                             frame(CONTINUATION, END_HEADERS, 1, literal("z", "y"))],
    "generic/4 HEAD": [frame(HEADERS, CLOSED, 1, head("HEAD"))],
    "generic/4 trailers": [frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, 0, 1, b"abc"),
                           frame(HEADERS, CLOSED, 1, literal("x-t", "1"))],
    "generic/5 indexed": [frame(HEADERS, CLOSED, 1, b"\x82\x86\x84" + literal(":authority", "test"))],
    "generic/5 literal with indexing": [frame(HEADERS, CLOSED, 1, head() + b"\x40\1x\1y")],
    "generic/5 literal with an indexed name": [frame(HEADERS, CLOSED, 1, head() + b"\x7a\1y")],
    "generic/5 with indexing, an indexed name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\x7a" + HUFFMAN_X)],
    "generic/5 with indexing, a new name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\x40" + HUFFMAN_X + HUFFMAN_X)],
    "generic/5 without indexing": [frame(HEADERS, CLOSED, 1, head() + b"\0\1x\1y")],
    "generic/5 without indexing, an indexed name": [frame(HEADERS, CLOSED, 1, head() + b"\x0f\x2b\1y")],
    "generic/5 without indexing, an indexed name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\x0f\x2b" + HUFFMAN_X)],
    "generic/5 without indexing, a new name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\0" + HUFFMAN_X + HUFFMAN_X)],
    "generic/5 never indexed, an indexed name": [frame(HEADERS, CLOSED, 1, head() + b"\x1f\x2b\1y")],
    "generic/5 never indexed, an indexed name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\x1f\x2b" + HUFFMAN_X)],
    "generic/5 never indexed, a new name in Huffman": [frame(HEADERS, CLOSED, 1, head() + b"\x10" + HUFFMAN_X + HUFFMAN_X)],
    "generic/5 never indexed": [frame(HEADERS, CLOSED, 1, head() + b"\x10\1x\1y")],
    "generic/5 Huffman": [frame(HEADERS, CLOSED, 1, head() + huffman("x-huffman", "some value"))],
    "generic/5 from the dynamic table": [frame(HEADERS, CLOSED, 1, head() + b"\x40\1x\1y\xbe")],
    "generic/5 table size update": [frame(HEADERS, CLOSED, 1, b"\x3f\xe1\x1e" + head())],
    # RFC 9113 sections 5.3.2 and 6.3 have no dependencies any more, and so no error in them.
    "http2/5.3.1 PRIORITY on itself": [frame(PRIORITY, 0, 1, dependency(1)), frame(HEADERS, CLOSED, 1, head())],
    "http2/4.1 unknown type": [frame(0xbe, 0, 0, b"any"), frame(HEADERS, CLOSED, 1, head())],
    "http2/4.1 undefined flags": [frame(PING, 0x16, 0, b"h2spec!!"), frame(HEADERS, CLOSED, 1, head())],
    "http2/4.1 reserved bit": [frame(PING, 0, 1 << 31, b"h2spec!!"), frame(HEADERS, CLOSED | 0x80, 1 | 1 << 31, head())],
    "http2/4.2 a whole frame": [frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, END_STREAM, 1, b"x" * 16384)],
    "http2/5.5 unknown extension": [frame(0x16, 0, 0, bytes(8)), frame(HEADERS, CLOSED, 1, head())],
    "http2/6.5 unknown parameter": [settings((0xff, 1)), frame(HEADERS, CLOSED, 1, head())],
    "http2/6.5.3 values in their order": [settings((4, 100), (4, 70000)), frame(HEADERS, CLOSED, 1, head())],
    "http2/6.8 GOAWAY with an unknown code": [frame(HEADERS, CLOSED, 1, head()),
                                              frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xff))],
    "http2/7 RST_STREAM with an unknown code": [frame(HEADERS, OPEN, 3, head("POST")), reset(3, 0xff),
                                                frame(HEADERS, CLOSED, 5, head())],
    "hpack/4.2 two updates at the start": [frame(HEADERS, CLOSED, 1, b"\x20\x3f\xe1\x1e" + head())],
}


@pytest.mark.parametrize("name", SERVED)
def test_served(client, name):
    client.send(*SERVED[name])
    last = max(int.from_bytes(f[5:9], "big") & 0x7fffffff for f in SERVED[name] if f[3] == HEADERS)
    answer = client.answer(last)
    assert answer.status == 200 and answer.ended
    if "GOAWAY" not in name:
        client.next = last + 2
        assert client.ping() and client.ask().status == 200


# ---- connection errors ---------------------------------------------------------------------------

CONNECTION = {
    "http2/4.2 DATA too long": ([frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, END_STREAM, 1, b"x" * 16385)],
                                FRAME_SIZE_ERROR),
    "http2/4.2 HEADERS too long": ([frame(HEADERS, CLOSED, 1, head() + literal("x", "y" * 16384))], FRAME_SIZE_ERROR),
    "http2/4.3 section that does not decompress": ([frame(HEADERS, CLOSED, 1, b"\xff\xff\xff\xff\xff")],
                                                   COMPRESSION_ERROR),
    "http2/4.3 PRIORITY inside a section": ([frame(HEADERS, END_STREAM, 1, head()),
                                             frame(PRIORITY, 0, 1, dependency(0)),
                                             frame(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL_ERROR),
    "http2/4.3 HEADERS of another inside a section": ([frame(HEADERS, END_STREAM, 1, head()),
                                                       frame(HEADERS, CLOSED, 3, head())], PROTOCOL_ERROR),
    "http2/5.1 DATA while idle": ([frame(DATA, END_STREAM, 1, b"x")], PROTOCOL_ERROR, STREAM_CLOSED),
    "http2/5.1 RST_STREAM while idle": ([reset(1)], PROTOCOL_ERROR),
    "http2/5.1 WINDOW_UPDATE while idle": ([window(1, 100)], PROTOCOL_ERROR),
    "http2/5.1 CONTINUATION while idle": ([frame(CONTINUATION, END_HEADERS, 1, head())], PROTOCOL_ERROR),
    "http2/5.1.1 even number": ([frame(HEADERS, CLOSED, 2, head())], PROTOCOL_ERROR),
    "http2/5.1.1 number that goes back": ([frame(HEADERS, CLOSED, 5, head()), frame(HEADERS, CLOSED, 3, head())],
                                          PROTOCOL_ERROR, STREAM_CLOSED),
    "http2/5.4.1 broken frame": ([frame(PING, 0, 3, b"h2spec!!")], PROTOCOL_ERROR),
    "http2/5.5 extension inside a section": ([frame(HEADERS, END_STREAM, 1, head()), frame(0xff, 0, 0, b"x" * 8),
                                              frame(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL_ERROR),
    "http2/6.1 DATA on stream 0": ([frame(DATA, END_STREAM, 0, b"x")], PROTOCOL_ERROR),
    "http2/6.1 padding too long": ([frame(HEADERS, OPEN, 1, head("POST")),
                                    frame(DATA, END_STREAM | PADDED, 1, b"\x06abcd")], PROTOCOL_ERROR),
    "http2/6.2 PING inside a section": ([frame(HEADERS, END_STREAM, 1, head()), frame(PING, 0, 0, bytes(8))],
                                        PROTOCOL_ERROR),
    "http2/6.2 HEADERS on stream 0": ([frame(HEADERS, CLOSED, 0, head())], PROTOCOL_ERROR),
    "http2/6.2 padding too long": ([frame(HEADERS, CLOSED | PADDED, 1, b"\xff" + head())], PROTOCOL_ERROR),
    "http2/6.3 PRIORITY on stream 0": ([frame(PRIORITY, 0, 0, dependency(1))], PROTOCOL_ERROR),
    "http2/6.4 RST_STREAM on stream 0": ([reset(0)], PROTOCOL_ERROR),
    "http2/6.4 RST_STREAM of a wrong length": ([frame(HEADERS, OPEN, 1, head("POST")),
                                                frame(RST_STREAM, 0, 1, b"abc")], FRAME_SIZE_ERROR),
    "http2/6.5 SETTINGS ACK with a payload": ([frame(SETTINGS, ACK, 0, bytes(6))], FRAME_SIZE_ERROR),
    "http2/6.5 SETTINGS on a stream": ([frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 100))], PROTOCOL_ERROR),
    "http2/6.5 SETTINGS of a wrong length": ([frame(SETTINGS, 0, 0, b"abc")], FRAME_SIZE_ERROR),
    "http2/6.5.2 ENABLE_PUSH of 2": ([settings((2, 2))], PROTOCOL_ERROR),
    "http2/6.5.2 window of 2^31": ([settings((4, 1 << 31))], FLOW_CONTROL_ERROR),
    "http2/6.5.2 frame size of 16383": ([settings((5, 16383))], PROTOCOL_ERROR),
    "http2/6.5.2 frame size of 2^24": ([settings((5, 1 << 24))], PROTOCOL_ERROR),
    "http2/6.5.2 NO_RFC7540_PRIORITIES of 2": ([settings((9, 2))], PROTOCOL_ERROR),
    "http2/6.7 PING on a stream": ([frame(PING, 0, 1, bytes(8))], PROTOCOL_ERROR),
    "http2/6.7 PING of a wrong length": ([frame(PING, 0, 0, b"abc")], FRAME_SIZE_ERROR),
    "http2/6.8 GOAWAY on a stream": ([frame(GOAWAY, 0, 1, bytes(8))], PROTOCOL_ERROR),
    "http2/6.9 WINDOW_UPDATE of 0": ([window(0, 0)], PROTOCOL_ERROR),
    "http2/6.9 WINDOW_UPDATE of a wrong length": ([frame(WINDOW_UPDATE, 0, 0, b"abc")], FRAME_SIZE_ERROR),
    "http2/6.9.1 window above 2^31-1": ([window(0, 0x7fffffff), window(0, 0x7fffffff)], FLOW_CONTROL_ERROR),
    "http2/6.9.2 initial window above 2^31-1": ([settings((4, 0xffffffff))], FLOW_CONTROL_ERROR),
    "http2/6.10 CONTINUATION after the end": ([frame(HEADERS, CLOSED, 1, head()),
                                               frame(CONTINUATION, END_HEADERS, 1, literal("x", "y"))],
                                              PROTOCOL_ERROR, STREAM_CLOSED),
    "http2/6.10 CONTINUATION on stream 0": ([frame(HEADERS, END_STREAM, 1, head()),
                                             frame(CONTINUATION, END_HEADERS, 0, b"")], PROTOCOL_ERROR),
    "http2/6.10 CONTINUATION of another": ([frame(HEADERS, END_STREAM, 1, head()),
                                            frame(CONTINUATION, END_HEADERS, 3, b"")], PROTOCOL_ERROR),
    "http2/6.10 CONTINUATION after DATA": ([frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, END_STREAM, 1, b"x"),
                                            frame(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL_ERROR),
    "http2/6.10 CONTINUATION behind the last one": ([frame(HEADERS, 0, 1, head("POST")),
                                                     frame(CONTINUATION, END_HEADERS, 1, literal("x", "y")),
                                                     frame(CONTINUATION, END_HEADERS, 1, literal("z", "y"))],
                                                    PROTOCOL_ERROR),
    "http2/5.1 CONTINUATION after RST_STREAM": ([frame(HEADERS, OPEN, 1, head("POST")), reset(1),
                                                 frame(CONTINUATION, END_HEADERS, 1, literal("x", "y"))],
                                                PROTOCOL_ERROR, STREAM_CLOSED),
    "http2/8.2 PUSH_PROMISE of a client": ([frame(HEADERS, OPEN, 1, head("POST")),
                                            frame(PUSH_PROMISE, END_HEADERS, 1, bytes((0, 0, 0, 2)) + head())],
                                           PROTOCOL_ERROR),
    "hpack/2.3.3 index that is not there": ([frame(HEADERS, CLOSED, 1, head() + b"\xc6")], COMPRESSION_ERROR),
    "hpack/2.3.3 name index that is not there": ([frame(HEADERS, CLOSED, 1, head() + b"\x7f\x07\1y")],
                                                 COMPRESSION_ERROR),
    "hpack/4.2 update at the end": ([frame(HEADERS, CLOSED, 1, head() + b"\x20")], COMPRESSION_ERROR),
    "hpack/5.2 Huffman padding too long": ([frame(HEADERS, CLOSED, 1, head() + b"\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")],
                                           COMPRESSION_ERROR),
    "hpack/5.2 Huffman padding of zeros": ([frame(HEADERS, CLOSED, 1, head() + b"\0\x82\xf2\x00\x81\x00")],
                                           COMPRESSION_ERROR),
    "hpack/5.2 Huffman with EOS": ([frame(HEADERS, CLOSED, 1, head() + b"\0\x84\xff\xff\xff\xff\x81\x1f")],
                                   COMPRESSION_ERROR),
    "hpack/6.1 index 0": ([frame(HEADERS, CLOSED, 1, head() + b"\x80")], COMPRESSION_ERROR),
    "hpack/6.3 table size above the limit": ([frame(HEADERS, CLOSED, 1, b"\x3f\xe1\xff\x03" + head())],
                                             COMPRESSION_ERROR),
}


@pytest.mark.parametrize("name", CONNECTION)
def test_connection_error(client, name):
    sent, *codes = CONNECTION[name]
    client.send(*sent)
    client.connection_error(*codes)


# ---- stream errors -------------------------------------------------------------------------------

STREAM = {
    "http2/5.1 DATA when half-closed": ([frame(HEADERS, CLOSED, 1, head()), frame(DATA, END_STREAM, 1, b"x")],
                                        STREAM_CLOSED),
    "http2/5.1 HEADERS when half-closed": ([frame(HEADERS, CLOSED, 1, head()), frame(HEADERS, CLOSED, 1, head())],
                                           STREAM_CLOSED, PROTOCOL_ERROR),
    "http2/5.1 CONTINUATION when half-closed": ([frame(HEADERS, CLOSED, 1, head()),
                                                 frame(CONTINUATION, END_HEADERS, 1, b"")],
                                                STREAM_CLOSED, PROTOCOL_ERROR),
    "http2/5.1 HEADERS after RST_STREAM": ([frame(HEADERS, OPEN, 1, head("POST")), reset(1),
                                            frame(HEADERS, CLOSED, 1, head())], STREAM_CLOSED),
    "http2/5.3.1 HEADERS on itself": ([frame(HEADERS, CLOSED | PRIORITIZED, 1, dependency(1) + head())],
                                      PROTOCOL_ERROR),
    "http2/6.3 PRIORITY of a wrong length": ([frame(HEADERS, OPEN, 1, head("POST")), frame(PRIORITY, 0, 1, b"abc")],
                                             FRAME_SIZE_ERROR),
    "http2/6.9 WINDOW_UPDATE of 0": ([frame(HEADERS, OPEN, 1, head("POST")), window(1, 0)], PROTOCOL_ERROR),
    "http2/6.9.1 window above 2^31-1": ([frame(HEADERS, OPEN, 1, head("POST")), window(1, 0x7fffffff)],
                                        FLOW_CONTROL_ERROR),
    "http2/8.1 HEADERS without END_STREAM behind DATA": ([frame(HEADERS, OPEN, 1, head("POST")),
                                                          frame(DATA, 0, 1, b"x"),
                                                          frame(HEADERS, OPEN, 1, literal("x", "y"))], PROTOCOL_ERROR),
    "http2/8.1.2.1 pseudo-field in trailers": ([frame(HEADERS, OPEN, 1, head("POST")), frame(DATA, 0, 1, b"x"),
                                                frame(HEADERS, CLOSED, 1, literal(":method", "POST"))],
                                               PROTOCOL_ERROR),
    "http2/8.1.2.6 length of one DATA frame": ([frame(HEADERS, OPEN, 1, head("POST", fields=[("content-length", "1")])),
                                                frame(DATA, END_STREAM, 1, b"test")], PROTOCOL_ERROR),
    "http2/8.1.2.6 length of several": ([frame(HEADERS, OPEN, 1, head("POST", fields=[("content-length", "1")])),
                                         frame(DATA, 0, 1, b"test"), frame(DATA, END_STREAM, 1, b"test")],
                                        PROTOCOL_ERROR),
}
for section, how in {
        "8.1.2 upper case": dict(fields=[("X-TEST", "ok")]),
        "8.1.2.1 unknown pseudo-field": dict(fields=[(":test", "ok")]),
        "8.1.2.1 pseudo-field of answers": dict(before=[(":status", "200")]),
        "8.1.2.1 pseudo-field behind a field": dict(before=[("x-test", "ok")]),
        "8.1.2.2 Connection": dict(fields=[("connection", "keep-alive")]),
        "8.1.2.2 TE": dict(fields=[("trailers", "test"), ("te", "trailers, deflate")]),
        "8.1.2.3 empty :path": dict(path=""),
        "8.1.2.3 no :method": dict(drop=[":method"]),
        "8.1.2.3 no :scheme": dict(drop=[":scheme"]),
        "8.1.2.3 no :path": dict(drop=[":path"]),
        "8.1.2.3 two :method": dict(before=[(":method", "GET")]),
        "8.1.2.3 two :scheme": dict(before=[(":scheme", "http")]),
        "8.1.2.3 two :path": dict(before=[(":path", "/")])}.items():
    STREAM["http2/" + section] = ([frame(HEADERS, CLOSED, 1, head(**how))], PROTOCOL_ERROR)


@pytest.mark.parametrize("name", STREAM)
def test_stream_error(client, name):
    sent, *codes = STREAM[name]
    client.send(*sent)
    client.stream_error(1, *codes)


# ---- the rest ------------------------------------------------------------------------------------

@pytest.mark.parametrize("start", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nXXXXXXXXX", PREFACE + frame(PING, 0, 0, bytes(8)),
                                   PREFACE + frame(HEADERS, CLOSED, 1, head())])
def test_3_5_preface(gateway, start):
    """SETTINGS come first."""
    with Client2(gateway.address(), greet=False) as client:
        client.send(start)
        client.connection_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR)


def test_3_5_our_preface(client):
    assert client.frames[0].type == SETTINGS and not client.frames[0].flags & ACK


def test_5_1_closed_by_an_answer(client):
    """Frames on a stream that is over: ignored for a while, or an error; never an answer."""
    assert client.ask().status == 200
    client.send(reset(1), window(1, 10), frame(PRIORITY, 0, 1, dependency(0)))
    assert client.ping()
    client.send(frame(DATA, END_STREAM, 1, b"x"))
    client.until(lambda: client.goaway is not None or client.answers[1].reset is not None, 0.5)
    assert client.goaway in (None, STREAM_CLOSED, PROTOCOL_ERROR)


def test_5_1_DATA_after_RST_STREAM(origin, client):
    """RFC 9113 section 5.1 leaves it to us: an error, or nothing at all; upstream never sees it."""
    client.send(frame(HEADERS, OPEN, 1, head("POST", "/taken-back")), reset(1), frame(DATA, END_STREAM, 1, b"x"))
    assert client.ping() or client.goaway == STREAM_CLOSED
    assert client.answers[1].status is None and "/taken-back" not in [h.target for h in origin.heads]


@pytest.mark.parametrize("what", ["HEADERS", "CONTINUATION"])
def test_5_1_closed_on_both_sides(client, what):
    assert client.ask().status == 200
    client.send(frame(HEADERS if what == "HEADERS" else CONTINUATION, CLOSED, 1, head()))
    client.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


def test_5_4_1_the_last_stream_is_named(client):
    """An error of the connection says which requests were looked at."""
    assert client.ask().status == 200 and client.ask().status == 200
    client.send(frame(PING, 0, 3, b"h2spec!!"))
    client.connection_error(PROTOCOL_ERROR)
    assert [int.from_bytes(f.payload[:4], "big") for f in client.frames if f.type == GOAWAY] == [3]


def test_5_1_2_more_streams_than_agreed(gateway, client):
    limit = client.theirs[3]
    for i in range(limit + 1):
        client.open(method="POST", end=False)
    last = client.next - 2
    client.stream_error(last, PROTOCOL_ERROR, REFUSED_STREAM)


def test_6_5_settings_are_acknowledged(client):
    had = client.acks
    client.send(settings((3, 10)))
    assert client.until(lambda: client.acks == had + 1)


def test_6_5_3_window_then_data(gateway, origin):
    with Client2(gateway.address(), own=[(4, 1)]) as client:
        client.answering = False
        stream = client.open()
        assert client.until(lambda: client.answers[stream].body)
        assert client.answers[stream].body == b"o"


def test_6_7_ping(client):
    client.send(frame(PING, 0, 0, b"h2spec!!"))
    assert client.until(lambda: client.pongs == [b"h2spec!!"])
    client.send(frame(PING, ACK, 0, b"unasked!"), frame(PING, 0, 0, b"h2spec!2"))
    assert client.until(lambda: b"h2spec!2" in client.pongs) and b"unasked!" not in client.pongs


def test_6_9_1_one_octet_at_a_time(gateway, origin):
    with Client2(gateway.address(), own=[(4, 0)]) as client:
        client.answering = False
        stream = client.open()
        assert client.until(lambda: client.answers[stream].status == 200)
        for count in range(1, 7):
            client.send(window(stream, 1))
            assert client.until(lambda: len(client.answers[stream].body) == count)
        assert client.answers[stream].body == b"origin"


def test_6_9_2_window_that_grows_later(gateway, origin):
    """A stream that waits for its window goes on when SETTINGS open it."""
    with Client2(gateway.address(), own=[(4, 0)]) as client:
        client.answering = False
        stream = client.open()
        assert client.until(lambda: client.answers[stream].status == 200) and not client.answers[stream].body
        client.send(settings((4, 1)))
        assert client.until(lambda: client.answers[stream].body == b"o")


def test_6_9_2_window_that_becomes_negative(gateway, origin):
    origin.script(response(200, b"0123456789"))
    with Client2(gateway.address(), own=[(4, 3)]) as client:
        client.answering = False
        stream = client.open()
        assert client.until(lambda: len(client.answers[stream].body) == 3)
        client.send(settings((4, 2)), window(stream, 1))
        assert not client.until(lambda: len(client.answers[stream].body) > 3, 0.3)
        client.send(window(stream, 1))
        assert client.until(lambda: len(client.answers[stream].body) == 4)


def test_6_9_flow_control_is_held(gateway, origin, client):
    """A client that sends more than its window."""
    stream = client.open(method="POST", end=False, path="/over")
    origin.script(lambda x: x.sock.settimeout(5) or x.reader.exactly(1))
    client.try_send(*[frame(DATA, 0, stream, b"x" * 16384) for _ in range(400)])
    client.until(lambda: client.over or client.goaway is not None or client.answers[stream].reset is not None, 5)
    assert client.goaway in (None, FLOW_CONTROL_ERROR) and \
        client.answers[stream].reset in (None, FLOW_CONTROL_ERROR, NO_ERROR)


def test_every_frame_in_pieces(client):
    """Nothing depends on how the bytes arrive."""
    hello = frame(HEADERS, END_STREAM | PADDED, 1, b"\3" + head("GET", "/pieces")[:10] + bytes(3)) + \
        frame(CONTINUATION, END_HEADERS, 1, head("GET", "/pieces")[10:])
    for at in range(len(hello)):
        client.send(hello[at:at + 1])
    assert client.answer(1).status == 200
