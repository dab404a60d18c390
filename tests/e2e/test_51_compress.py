"""Answers in a content coding: which ones, what their heads say, and that nothing is lost or held up."""
import ctypes
import gzip
import threading
import time
import zlib

import pytest

from harness import Origin, Sallyport, plain, response
from wire import Cut
from wire2 import Client2

TEXT = b"".join(b"line %d of a text that repeats itself\n" % i for i in range(200))


def unzstd(data):
    room = ctypes.create_string_buffer(1 << 23)
    stream = ctypes.CDLL("libzstd.so.1")
    stream.ZSTD_createDStream.restype = ctypes.c_void_p

    class Buffer(ctypes.Structure):
        _fields_ = [("p", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]

    context = ctypes.c_void_p(stream.ZSTD_createDStream())
    given = ctypes.create_string_buffer(data, len(data))
    into = Buffer(ctypes.addressof(room), len(room), 0)
    out_of = Buffer(ctypes.addressof(given), len(data), 0)
    stream.ZSTD_decompressStream.restype = ctypes.c_size_t
    left = stream.ZSTD_decompressStream(context, ctypes.byref(into), ctypes.byref(out_of))
    assert left == 0 and out_of.pos == len(data)
    stream.ZSTD_freeDStream(context)
    return room.raw[:into.pos]


def unbrotli(data):
    library = ctypes.CDLL("libbrotlidec.so.1")
    room = ctypes.create_string_buffer(1 << 23)
    size = ctypes.c_size_t(len(room))
    assert library.BrotliDecoderDecompress(ctypes.c_size_t(len(data)), data, ctypes.byref(size), room) == 1
    return room.raw[:size.value]


DECODERS = {"gzip": gzip.decompress, "br": unbrotli, "zstd": unzstd, None: bytes}


def plain_text(answer):
    return DECODERS[answer.get("content-encoding")](answer.body)


@pytest.fixture(scope="module")
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, compress={"codings": ["br", "zstd", "gzip"], "min": "100B"}, routes=[
        {"path": "/off/**", "compress": "off"},
        {"path": "/gzip/**", "compress": ["gzip"]},
        {"path": "/open/**", "compress": {"breach_guard": False}}])
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def ask(gateway, origin, answer, *fields, method="GET", path="/", accept="gzip, br, zstd"):
    origin.script(answer)
    fields = [*fields, f"Accept-Encoding: {accept}"] if accept else list(fields)
    return gateway.ask(method, path, fields=fields)


def said(body=TEXT, kind="text/html", *fields, status=200):
    return response(status, body, [*([("Content-Type", kind)] if kind else []), *fields])


@pytest.mark.parametrize("accept, path, coding", [
    ("gzip, br, zstd", "/", "br"), ("gzip, zstd", "/", "zstd"), ("gzip", "/", "gzip"), ("br;q=0.1, gzip", "/", "gzip"),
    ("*", "/", "br"), ("identity", "/", None), ("deflate", "/", None), (None, "/", None),
    ("br, gzip", "/gzip/x", "gzip"), ("br", "/gzip/x", None)])
def test_the_coding_that_the_client_takes(gateway, origin, accept, path, coding):
    answer = ask(gateway, origin, said(), accept=accept, path=path)
    assert answer.get("content-encoding") == coding and plain_text(answer) == TEXT
    assert answer.all("vary") == ["Accept-Encoding"]
    assert (answer.get("content-length") is None) == (coding is not None)
    if coding:
        assert len(answer.body) < len(TEXT) / 2
        assert answer.get("transfer-encoding") == "chunked"


@pytest.mark.parametrize("kind, fields, status, vary", [
    ("image/png", [], 200, False), (None, [], 200, False), ("text/event-stream", [], 200, False),
    ("text/html", [("Cache-Control", "max-age=1, no-transform")], 200, False),
    ("text/html", [("Content-Digest", "sha-256=:AAAA:")], 200, False),
    ("text/html", [("Content-Range", "bytes 0-9/100")], 206, False),
    ("text/html", [("Content-Range", "bytes 0-9/100")], 200, False)])
def test_what_is_left_as_it_is(gateway, origin, kind, fields, status, vary):
    answer = ask(gateway, origin, said(TEXT, kind, *fields, status=status))
    assert answer.get("content-encoding") is None and answer.body == TEXT and answer.all("vary") == []
    assert answer.get("content-length") == str(len(TEXT))


def test_no_more_where_it_is_off_or_the_client_forbids(gateway, origin):
    assert ask(gateway, origin, said(), path="/off/x").body == TEXT
    assert ask(gateway, origin, said(), "Cache-Control: no-transform").body == TEXT


def test_the_least_length_is_exact(gateway, origin):
    assert ask(gateway, origin, said(b"x" * 99)).get("content-encoding") is None
    assert ask(gateway, origin, said(b"x" * 100)).get("content-encoding") == "br"


def test_what_is_coded_already_passes(gateway, origin):
    coded = gzip.compress(TEXT)
    answer = ask(gateway, origin, said(coded, "text/html", ("Content-Encoding", "gzip"), ("ETag", '"a"')))
    assert answer.body == coded and answer.all("content-encoding") == ["gzip"] and answer.get("etag") == '"a"'
    answer = ask(gateway, origin, said(TEXT, "text/html", ("Content-Encoding", "identity")))
    assert answer.all("content-encoding") == ["br"] and plain_text(answer) == TEXT
    assert origin.wait(2)[0].message.get("accept-encoding") == "gzip, br, zstd"  # upstream may do it itself


def test_etag_ranges_and_vary(gateway, origin):
    answer = ask(gateway, origin, said(TEXT, "text/css", ("ETag", '"v1"'), ("Accept-Ranges", "bytes"),
                                       ("Vary", "Origin, accept-encoding")))
    assert answer.all("etag") == ['W/"v1"'] and answer.all("accept-ranges") == []
    assert answer.all("vary") == ["Origin, accept-encoding"]
    answer = ask(gateway, origin, said(TEXT, "text/css", ("ETag", 'W/"v2"'), ("Vary", "Origin")))
    assert answer.all("etag") == ['W/"v2"'] and answer.all("vary") == ["Origin", "Accept-Encoding"]
    answer = ask(gateway, origin, said(TEXT, "text/css", ("ETag", '"v1"'), ("Accept-Ranges", "bytes")), accept=None)
    assert answer.all("etag") == ['"v1"'] and answer.all("accept-ranges") == ["bytes"]
    # What the client has is the coded one, and the 304 is about that.
    unchanged = b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n'
    answer = ask(gateway, origin, unchanged, 'If-None-Match: W/"v1"')
    assert answer.status == 304 and answer.all("etag") == ['W/"v1"'] and answer.all("vary") == ["Accept-Encoding"]
    assert ask(gateway, origin, unchanged, 'If-None-Match: "v1"').all("etag") == ['"v1"']


def test_parts_of_what_was_asked_for_in_parts(gateway, origin):
    part = b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nContent-Range: bytes 0-199/400\r\n" \
           b"Content-Length: 200\r\n\r\n" + b"y" * 200
    answer = ask(gateway, origin, part, "Range: bytes=0-199")
    assert answer.status == 206 and answer.body == b"y" * 200 and answer.get("content-encoding") is None
    assert plain_text(ask(gateway, origin, said(), "Range: bytes=0-199")) == TEXT  # upstream knows no ranges


def test_head_tells_what_get_would(gateway, origin):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nContent-Length: %d\r\n\r\n"
    with gateway.client() as client:
        for length, coding in ((len(TEXT), "br"), (99, None)):
            origin.script(head % length)
            client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: br\r\n\r\n")
            answer = client.answer("HEAD")
            assert answer.get("content-encoding") == coding
            assert answer.get("etag") == ('W/"v1"' if coding else '"v1"')
            assert answer.get("content-length") == (None if coding else str(length))
        origin.script(said())
        assert client.ask(fields=["Accept-Encoding: br"]).status == 200  # the connection is whole


@pytest.mark.parametrize("fields, answer_fields, kind, coded", [
    ([], [], "text/html", True),
    (["Cookie: s=1"], [], "text/html", False),
    (["Cookie: s=1", "Sec-Fetch-Site: cross-site"], [], "text/html", False),
    (["Cookie: s=1", "Sec-Fetch-Site: same-site"], [], "text/html", False),
    (["Cookie: s=1", "Sec-Fetch-Site: same-origin"], [], "text/html", True),
    (["Cookie: s=1", "Sec-Fetch-Site: none"], [], "text/html", True),
    (["Cookie: s=1", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"], [], "text/html", False),
    (["Authorization: Basic eDp5"], [], "application/json", False),
    (["Authorization: Bearer x"], [], "application/json", True),
    ([], [("Set-Cookie", "s=1")], "text/html", False),
    (["Cookie: s=1"], [("Cache-Control", "public, max-age=60")], "text/html", True),
    (["Cookie: s=1"], [], "text/css", True),
    (["Cookie: s=1"], [("Cache-Control", "private")], "text/javascript", False)])
def test_the_length_of_a_secret_is_not_told(gateway, origin, fields, answer_fields, kind, coded):
    answer = ask(gateway, origin, said(TEXT, kind, *answer_fields), *fields)
    assert (answer.get("content-encoding") is not None) == coded and plain_text(answer) == TEXT
    assert answer.all("vary") == ["Accept-Encoding"]
    assert ask(gateway, origin, said(TEXT, kind, *answer_fields), *fields, path="/open/x").get("content-encoding")


def test_http2_and_http10(gateway, origin):
    with Client2(gateway.address()) as client:
        origin.script(said())
        answer = client.ask(fields=[("accept-encoding", "gzip")])
        assert answer.get("content-encoding") == "gzip" and gzip.decompress(answer.body) == TEXT
        assert answer.get("content-length") is None and answer.get("vary") == "Accept-Encoding"
        origin.script(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999\r\n\r\n")
        answer = client.ask("HEAD", fields=[("accept-encoding", "gzip")])
        assert answer.get("content-encoding") == "gzip" and answer.body == b""
    origin.script(said())
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
        answer = client.answer()
        assert gzip.decompress(answer.body) == TEXT and answer.get("connection") == "close"


def test_chunks_and_trailers(gateway, origin):
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(TEXT), TEXT) for _ in range(3))
    answer = ask(gateway, origin, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n"
                 b"Trailer: X-Sum\r\n\r\n" + pieces + b"0\r\nX-Sum: 1\r\n\r\n")
    assert plain_text(answer) == TEXT * 3 and ("X-Sum", "1") in answer.trailers


def test_what_comes_by_and_by_arrives_by_and_by(gateway, origin):
    go_on = threading.Event()

    def slowly(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5\r\nfirst\r\n")
        assert go_on.wait(20)
        exchange.send(b"6\r\nsecond\r\n0\r\n\r\n")

    origin.script(slowly)
    with gateway.client(timeout=20) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
        assert b"gzip" in client.head().raw
        decoder, got = zlib.decompressobj(31), b""
        while got != b"first":
            size = int(client.reader.until(b"\r\n"), 16)
            got += decoder.decompress(client.reader.exactly(size))
            client.reader.exactly(2)
        go_on.set()
        while got != b"firstsecond":
            size = int(client.reader.until(b"\r\n"), 16)
            got += decoder.decompress(client.reader.exactly(size))
            client.reader.exactly(2)


@pytest.mark.parametrize("accept", ["gzip", "br", "zstd"])
def test_large_answers_to_slow_clients(gateway, origin, accept):
    body = b"".join(b"%d:%d\n" % (i, i * 2654435761 % 1000003) for i in range(200000))
    origin.script(said(body, "text/plain"))
    with gateway.client(rcvbuf=8192, timeout=30) as client:
        client.send(f"GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: {accept}\r\n\r\n".encode())
        time.sleep(0.3)
        answer = client.answer()
    assert answer.get("content-encoding") == accept and plain_text(answer) == body


def test_who_leaves_costs_nothing(gateway, origin):
    body = b"".join(b"%d:%d\n" % (i, i * 2654435761 % 1000003) for i in range(300000))
    for _ in range(20):
        origin.script(said(body, "text/plain"))
        with gateway.client(rcvbuf=8192) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
            client.head()
            client.reset()
    origin.forget()
    assert plain_text(ask(gateway, origin, said())) == TEXT


def test_upstream_that_breaks_off_is_seen(gateway, origin):
    def broken(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
        exchange.reset()

    origin.script(broken)
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
        with pytest.raises((Cut, ConnectionError)):
            client.answer()


@pytest.mark.parametrize("share,room", [(100, 2), (12, 1)])
def test_memory_has_a_ceiling_and_beyond_it_answers_are_plain(origin, share, room):
    """And one client does not take all of it: a quarter, or one encoder."""
    started, go_on = [], threading.Event()

    def slowly(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5\r\nfirst\r\n")
        started.append(1)
        go_on.wait(20)
        exchange.send(b"0\r\n\r\n")

    config = plain(origin, server={"limits": {"compress": "600KiB", "client_share": share}}, compress=["gzip"])
    with Sallyport(config) as gateway:
        origin.script(*[slowly] * 4)
        clients = [gateway.client(timeout=20) for _ in range(4)]
        coded = 0
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
            coded += b"Content-Encoding: gzip" in client.head().raw
        assert coded == room  # 288 KiB each
        go_on.set()
        for client in clients:
            client.close()
        origin.forget()
        assert plain_text(ask(gateway, origin, said())) == TEXT


def test_held_and_judged_answers_are_compressed_after_that(origin):
    body = b"<p>%s</p>" % b"".join(b"word%d " % (i * 7919 % 10007) for i in range(60000))
    rule = 'SecRule RESPONSE_BODY "@contains secret-word" "id:1,phase:4,deny"\n'
    waf = {"mode": "block", "ruleset": "none", "response": True, "seclang": {"after": ["a.conf"]}}
    with Sallyport(plain(origin, compress="on", waf=waf), files={"a.conf": rule}) as gateway:
        assert ask(gateway, origin, said(TEXT + b"secret-word")).status == 403
        for length in (5000, 300000, len(body)):
            answer = ask(gateway, origin, said(body[:length]))
            assert answer.get("content-encoding") == "br" and plain_text(answer) == body[:length]
