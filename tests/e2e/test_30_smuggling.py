"""One reading or none: what any other server might read in another way is refused, or written anew.

Each case is bytes and what must come of them. Refused: this status, then the connection is closed, and no
byte of it reached upstream. Forwarded: upstream saw one request, and it is the canonical one. After each
case a request on a new connection shows that nothing else is on its way.
"""
import itertools

import pytest

from harness import Origin, Sallyport, plain, request, response

BIG = "9223372036854775813"  # 2^63 + 5: a small negative number to some


def get(line="GET / HTTP/1.1", *fields, host="Host: test", body=b""):
    lines = [line] + ([host] if host else []) + list(fields)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def post(*fields, body=b"", line="POST / HTTP/1.1"):
    return get(line, *fields, body=body)


def coded(body):
    return post("Transfer-Encoding: chunked", body=body)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"

REQUEST_LINES = {
    "bare LF": (b"GET / HTTP/1.1\nHost: test\n\n", 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: test\r\n\r\n", 400),
    "bare CR as line end": (b"GET / HTTP/1.1\rHost: test\r\n\r\n", 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\r\nHost: test\r\n\r\n", 400),
    "empty line first": (b"\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    "LF first": (b"\nGET / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    "space first": (b" GET / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    "two spaces": (get("GET  / HTTP/1.1"), 400),
    "two spaces before the version": (get("GET /  HTTP/1.1"), 400),
    "tab": (get("GET\t/ HTTP/1.1"), 400),
    "tab before the version": (get("GET /\tHTTP/1.1"), 400),
    "vertical tab": (get("GET\x0b/ HTTP/1.1"), 400),
    "space after the version": (get("GET / HTTP/1.1 "), 400),
    "no version": (get("GET /"), 400),
    "no version, with a space": (get("GET / "), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9 by name": (get("GET / HTTP/0.9"), (400, 505)),
    "HTTP/1.2": (get("GET / HTTP/1.2"), (400, 505)),
    "HTTP/2.0": (get("GET / HTTP/2.0"), (400, 505)),
    "HTTP/1.10": (get("GET / HTTP/1.10"), (400, 505)),
    "HTTP/01.1": (get("GET / HTTP/01.1"), (400, 505)),
    "HTTP/1": (get("GET / HTTP/1"), (400, 505)),
    "HTTP/+1.1": (get("GET / HTTP/+1.1"), (400, 505)),
    "small letters": (get("GET / http/1.1"), (400, 505)),
    "other protocol": (get("GET / HTTPS/1.1"), (400, 505)),
    "TLS to the plain port": (bytes.fromhex("16030100050100000103") + b"\r\n\r\n", 400),
    "no method": (get(" / HTTP/1.1"), 400),
    "bracket in the method": (get("GE(T / HTTP/1.1"), 400),
    "method of 40 letters": (get("G" * 40 + " / HTTP/1.1"), 400),
    "high byte in the method": (get("G\xc3\xa9T / HTTP/1.1"), 400),
    "TRACE": (get("TRACE / HTTP/1.1"), 405),
    "CONNECT": (get("CONNECT test:443 HTTP/1.1"), (400, 405)),
    "CONNECT to a path": (get("CONNECT / HTTP/1.1"), (400, 405)),
}

TARGETS = {
    "space": (get("GET /a b HTTP/1.1"), 400),
    "NUL": (get("GET /a\0b HTTP/1.1"), 400),
    "DEL": (get("GET /a\x7fb HTTP/1.1"), 400),
    "control byte": (get("GET /a\x01b HTTP/1.1"), 400),
    "raw UTF-8": (get("GET /\xc3\xa9 HTTP/1.1"), 400),
    "fragment": (get("GET /a#b HTTP/1.1"), 400),
    "backslash": (get("GET /a\\b HTTP/1.1"), 400),
    "no slash": (get("GET a HTTP/1.1"), 400),
    "star for GET": (get("GET * HTTP/1.1"), 400),
    "authority-form for GET": (get("GET test:80 HTTP/1.1"), 400),
    "other scheme": (get("GET ftp://test/ HTTP/1.1"), 400),
    "no scheme": (get("GET ://test/ HTTP/1.1"), 400),
    "no authority": (get("GET http:///x HTTP/1.1"), 400),
    "user in the authority": (get("GET http://user@test/ HTTP/1.1"), 400),
    "authority unlike Host": (get("GET http://other/ HTTP/1.1"), 400),
    "port unlike Host": (get("GET http://test:81/ HTTP/1.1"), 400),
    "%00": (get("GET /a%00b HTTP/1.1"), 400),
    "%0d%0a": (get("GET /a%0d%0aX:%20b HTTP/1.1"), 400),
    "%7f": (get("GET /a%7f HTTP/1.1"), 400),
    "encoded slash": (get("GET /a%2fb HTTP/1.1"), 400),
    "encoded slash, large": (get("GET /a%2Fb HTTP/1.1"), 400),
    "encoded backslash": (get("GET /a%5cb HTTP/1.1"), 400),
    "overlong slash": (get("GET /a%c0%afb HTTP/1.1"), 400),
    "overlong slash of three": (get("GET /a%e0%80%afb HTTP/1.1"), 400),
    "overlong dot": (get("GET /%c0%ae%c0%ae/x HTTP/1.1"), 400),
    "surrogate": (get("GET /%ed%a0%80 HTTP/1.1"), 400),
    "not UTF-8": (get("GET /%ff HTTP/1.1"), 400),
    "half an escape": (get("GET /a%2 HTTP/1.1"), 400),
    "lone percent": (get("GET /a% HTTP/1.1"), 400),
    "bad escape": (get("GET /a%zz HTTP/1.1"), 400),
    "%u escape": (get("GET /a%u002f HTTP/1.1"), 400),
    "above the root": (get("GET /../etc/passwd HTTP/1.1"), (400, 403)),
    "above the root, encoded": (get("GET /%2e%2e/etc/passwd HTTP/1.1"), (400, 403)),
    "above the root, later": (get("GET /a/../../etc/passwd HTTP/1.1"), (400, 403)),
    "dots with a parameter": (get("GET /a/..;/b HTTP/1.1"), 400),
    "dots with a named parameter": (get("GET /a/..;x=1/b HTTP/1.1"), 400),
    "dots with an encoded parameter": (get("GET /a/..%3b/b HTTP/1.1"), 400),
    "one dot with a parameter": (get("GET /a/.;/b HTTP/1.1"), 400),
    "segment of a parameter": (get("GET /;/b HTTP/1.1"), 400),
    "space in the query": (get("GET /?a b HTTP/1.1"), 400),
    "NUL in the query": (get("GET /?a\0 HTTP/1.1"), 400),
    "fragment behind the query": (get("GET /?a#b HTTP/1.1"), 400),
    "control byte in the query": (get("GET /?a\x0bb HTTP/1.1"), 400),
    "target of 9000 bytes": (get("GET /" + "a" * 9000 + " HTTP/1.1"), 414),
    "query of 9000 bytes": (get("GET /?" + "a" * 9000 + " HTTP/1.1"), 414),
}

HOSTS = {
    "no Host": (get(host=None), 400),
    "no Host in 1.0": (get("GET / HTTP/1.0", host=None), 400),
    "two Hosts": (get("GET / HTTP/1.1", "Host: other"), 400),
    "two equal Hosts": (get("GET / HTTP/1.1", "Host: test"), 400),
    **{f"Host {value!r}": (get(host=f"Host: {value}"), 400) for value in (
        "", "a@b", "a#b", "a?b", "a\\b", "a/b", "a b", "a,b", "a:0", "a:65536", "a:x", "a:", "a:80:80", "[::1", "[zz]",
        "::1", "a..b", ".a", "%61", "a\xe9", "a;b", "a'b", "a\"b", "a<b", "a|b", "[::1]x", "http://a", "a\tb")},
}

FIELDS = {
    "space before the colon": (get("GET / HTTP/1.1", "X-A : b"), 400),
    "tab before the colon": (get("GET / HTTP/1.1", "X-A\t: b"), 400),
    "folded line": (get("GET / HTTP/1.1", "X-A: b", " c"), 400),
    "folded line with a tab": (get("GET / HTTP/1.1", "X-A: b", "\tc"), 400),
    "folded Host": (b"GET / HTTP/1.1\r\n Host: test\r\n\r\n", 400),
    "no colon": (get("GET / HTTP/1.1", "X-A"), 400),
    "no name": (get("GET / HTTP/1.1", ": b"), 400),
    "space in the name": (get("GET / HTTP/1.1", "X A: b"), 400),
    "bracket in the name": (get("GET / HTTP/1.1", "X(A: b"), 400),
    "NUL in the name": (get("GET / HTTP/1.1", "X\0A: b"), 400),
    "high byte in the name": (get("GET / HTTP/1.1", "X\xe9: b"), 400),
    "NUL in the value": (get("GET / HTTP/1.1", "X-A: b\0c"), 400),
    "DEL in the value": (get("GET / HTTP/1.1", "X-A: b\x7fc"), 400),
    "control byte in the value": (get("GET / HTTP/1.1", "X-A: b\x01c"), 400),
    "CR in the value": (get("GET / HTTP/1.1", "X-A: b\rX-B: c"), 400),
    "LF in the value": (get("GET / HTTP/1.1", "X-A: b\nX-B: c"), 400),
    "LF before the end": (b"GET / HTTP/1.1\r\nHost: test\r\nX-A: b\n\r\n", 400),
    "LF at the end": (b"GET / HTTP/1.1\r\nHost: test\r\n\n", 400),
    "101 fields": (get("GET / HTTP/1.1", *[f"X-{i}: 1" for i in range(101)]), 431),
    "field of 20 KB": (get("GET / HTTP/1.1", "X-A: " + "a" * 20000), 431),
    "two content types": (post("Content-Type: text/plain", "Content-Type: text/html"), 400),
    "two authorizations": (get("GET / HTTP/1.1", "Authorization: a", "Authorization: b"), 400),
    "expectation unknown": (post("Content-Length: 0", "Expect: 200-ok"), 417),
}

FRAMING = {
    "CL and TE": (post("Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED), 400),
    "TE and CL": (post("Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n" + SMUGGLED), 400),
    "CL.0 and TE": (post("Content-Length: 0", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED), 400),
    "two CL": (post("Content-Length: 5", "Content-Length: 0", body=b"hello"), 400),
    "two equal CL": (post("Content-Length: 5", "Content-Length: 5", body=b"hello"), 400),
    **{f"CL {value!r}": (post(f"Content-Length: {value}", body=b"hello"), 400) for value in (
        "", "+5", "-5", "-0", "0x5", "5,5", "5, 5", "5 5", "5;", "05", "00", "5.0", "5e0", "five", BIG,
        "18446744073709551621", "99999999999999999999999", "\x0b5", "5\x0c", "\"5\"", "\xb5")},
    "CL with a space before the colon": (post("Content-Length : 5", body=b"hello"), 400),
    **{f"TE {value!r}": (post(f"Transfer-Encoding: {value}", body=b"0\r\n\r\n"), (400, 501)) for value in (
        "", "chunked,", ",chunked", "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "gzip", "xchunked",
        "chunkedx", "\"chunked\"", "'chunked'", "chunked;q=1", "chunked chunked", "chunked, identity", "identity, chunked",
        "\x0bchunked", "chunked\x0c", "chunked\0", "chun\tked", "cow", "[object Object]")},
    "two TE": (post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), (400, 501)),
    "TE and TE identity": (post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n"), (400, 501)),
    "TE with a space before the colon": (post("Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "TE with a tab before the colon": (post("Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"), 400),
    "TE behind a folded line": (post("X: a", " Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "TE behind a bare CR": (post("X: a\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "TE behind a bare LF": (post("X: a\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "TE in 1.0": (post("Transfer-Encoding: chunked", body=b"0\r\n\r\n", line="POST / HTTP/1.0"), 400),
    "CL in a chunked GET": (get("GET / HTTP/1.1", "Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\nX"), 400),
}

NOMINATED = {
    f"Connection: {name}": (get("GET / HTTP/1.1", f"Connection: {name}", f"{name}: x" if name != "Host" else "X: x"), 400)
    for name in ("Host", "Cookie", "Authorization", "X-Forwarded-For", "X-Real-IP", "X_Forwarded_For", "Content-Type")
}
NOMINATED.update({
    "Connection: Content-Length": (post("Connection: Content-Length", "Content-Length: 5", body=b"hello"), 400),
    "Connection: close, Transfer-Encoding": (post("Connection: close, Transfer-Encoding", "Transfer-Encoding: chunked",
                                                  body=b"0\r\n\r\n"), 400),
    "Connection of 40 names": (get("GET / HTTP/1.1", "Connection: " + ", ".join(f"x{i}" for i in range(40))), 400),
    "Connection is no token": (get("GET / HTTP/1.1", "Connection: a b"), 400),
})

WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket"]
WS_KEY, WS_VERSION = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"
UPGRADES = {
    "websocket without key": (get("GET /ws HTTP/1.1", *WEBSOCKET, WS_VERSION), 400),
    "websocket without version": (get("GET /ws HTTP/1.1", *WEBSOCKET, WS_KEY), 400),
    "websocket with a wrong version": (get("GET /ws HTTP/1.1", *WEBSOCKET, WS_KEY, "Sec-WebSocket-Version: 12"), 400),
    "websocket with a short key": (get("GET /ws HTTP/1.1", *WEBSOCKET, "Sec-WebSocket-Key: abc=", WS_VERSION), 400),
    "websocket by POST": (get("POST /ws HTTP/1.1", *WEBSOCKET, WS_KEY, WS_VERSION), 400),
    "websocket with a body": (get("GET /ws HTTP/1.1", *WEBSOCKET, WS_KEY, WS_VERSION, "Content-Length: 3", body=b"abc"), 400),
    "websocket in 1.0": (get("GET /ws HTTP/1.0", *WEBSOCKET, WS_KEY, WS_VERSION), 400),
}

REFUSED = {f"{group}: {name}": case for group, cases in (
    ("line", REQUEST_LINES), ("target", TARGETS), ("host", HOSTS), ("field", FIELDS), ("framing", FRAMING),
    ("nominated", NOMINATED), ("upgrade", UPGRADES)) for name, case in cases.items()}

# The head may be on its way before such a body shows its fault: upstream must never see it end well.
CHUNKS = {
    **{f"size {size!r}": size.encode("latin-1") + b"\r\nabc\r\n0\r\n\r\n" for size in (
        "", "0x3", " 3", "3 ", "\t3", "3\t", "+3", "-3", "3.", "g", "3,", "00000000000000003", "ffffffffffffffff",
        "8000000000000000", "3\0", "\x0b3", "3;", "3; a=b", "3;a =b", "3;a=", "3;a=\"b", "3;a=b\0",
        "3;a=\"b\x01\"", "3;" + "a" * 300)},
    "LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "CR behind the size": b"3\rabc\r\n0\r\n\r\n",
    "CR CR LF behind the size": b"3\r\r\nabc\r\n0\r\n\r\n",
    "LF behind the data": b"3\r\nabc\n0\r\n\r\n",
    "nothing behind the data": b"3\r\nabc0\r\n\r\n",
    "more data than said": b"3\r\nabcd\r\n0\r\n\r\n",
    "less data than said": b"5\r\nabc\r\n0\r\n\r\n",
    "LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "LF behind the last size": b"0\n\r\n",
    "LF at the end": b"0\r\n\n",
    "CR at the end": b"0\r\n\rX",
    "junk at the end": b"0\r\nXX\r\n\r\n",
    "trailer without colon": b"0\r\nX-A\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nX-A : b\r\n\r\n",
    "trailer with a NUL": b"0\r\nX-A: b\0\r\n\r\n",
    "trailer ends with LF": b"0\r\nX-A: b\n\r\n",
    "folded trailer": b"0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer Content-Length": b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer Transfer-Encoding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer Host": b"0\r\nHost: evil\r\n\r\n",
    "trailer Authorization": b"0\r\nAuthorization: x\r\n\r\n",
    "trailer X-Forwarded-For": b"0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    "trailer X_Forwarded_For": b"0\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n",
    "40 trailers": b"0\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(40)) + b"\r\n",
    "10000 tiny chunks with long extensions": b"1;%s\r\na\r\n" % (b"e" * 200) * 400 + b"0\r\n\r\n",
}

# name: (bytes, request line upstream, fields there, names not there)
FORWARDED = {
    "1.0 becomes 1.1": (get("GET /a HTTP/1.0"), b"GET /a HTTP/1.1", {"host": ["test"]}, []),
    "dot segments": (get("GET /a/./b/../c HTTP/1.1"), b"GET /a/c HTTP/1.1", {}, []),
    "encoded dots": (get("GET /a/%2e%2E/c HTTP/1.1"), b"GET /c HTTP/1.1", {}, []),
    "empty segments": (get("GET //a///b HTTP/1.1"), b"GET /a/b HTTP/1.1", {}, []),
    "needless escapes": (get("GET /%41%7e%2d HTTP/1.1"), b"GET /A~- HTTP/1.1", {}, []),
    "needed escapes in capitals": (get("GET /%c3%a9%20%3f HTTP/1.1"), b"GET /%C3%A9%20%3F HTTP/1.1", {}, []),
    "an escaped question mark is path": (get("GET /a%3fb?c HTTP/1.1"), b"GET /a%3Fb?c HTTP/1.1", {}, []),
    "twice encoded stays so": (get("GET /%2541 HTTP/1.1"), b"GET /%2541 HTTP/1.1", {}, []),
    "query as it came": (get("GET /?a=%2f..%2F&b=//&%zz HTTP/1.1"), b"GET /?a=%2f..%2F&b=//&%zz HTTP/1.1", {}, []),
    "empty query": (get("GET /? HTTP/1.1"), b"GET /? HTTP/1.1", {}, []),
    "absolute form": (get("GET http://TEST/a HTTP/1.1"), b"GET /a HTTP/1.1", {"host": ["test"]}, []),
    "absolute form without a path": (get("GET http://test HTTP/1.1"), b"GET / HTTP/1.1", {}, []),
    "Host in capitals": (get(host="Host: TEST."), b"GET / HTTP/1.1", {"host": ["test"]}, []),
    "Host IPv6": (get(host="Host: [0:0::1]:80"), b"GET / HTTP/1.1", {"host": ["[::1]:80"]}, []),
    "white space around a value": (get("GET / HTTP/1.1", "X-A: \t b \t"), b"GET / HTTP/1.1", {"x-a": ["b"]}, []),
    "empty value": (get("GET / HTTP/1.1", "X-A:"), b"GET / HTTP/1.1", {"x-a": [""]}, []),
    "obs-text in a value": (get("GET / HTTP/1.1", "X-A: \xe9"), b"GET / HTTP/1.1", {"x-a": ["\xe9"]}, []),
    "TE in capitals": (post("Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"), b"POST / HTTP/1.1", {}, []),
    "CL with white space": (post("Content-Length:\t2 ", body=b"ab"), b"POST / HTTP/1.1", {"content-length": ["2"]}, []),
    "hop-by-hop fields": (get("GET / HTTP/1.1", "Keep-Alive: 5", "Proxy-Connection: x", "TE: trailers",
                              "Proxy-Authorization: y"), b"GET / HTTP/1.1", {},
                          ["keep-alive", "proxy-connection", "te", "proxy-authorization"]),
    "nominated field": (get("GET / HTTP/1.1", "Connection: close, X-Gone", "X-Gone: 1", "x-gone: 2", "X-Kept: 3"),
                        b"GET / HTTP/1.1", {"x-kept": ["3"]}, ["x-gone"]),
    "h2c upgrade": (get("GET / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), b"GET / HTTP/1.1", {}, ["upgrade", "http2-settings"]),
    "upgrade that is not nominated": (get("GET / HTTP/1.1", "Upgrade: websocket"), b"GET / HTTP/1.1", {}, ["upgrade"]),
    "alias of Transfer-Encoding": (post("Content-Length: 2", "Transfer_Encoding: chunked", body=b"ab"),
                                   b"POST / HTTP/1.1", {"content-length": ["2"]}, ["transfer_encoding"]),
    "alias of Content-Length": (post("Content-Length: 2", "Content_Length: 7", body=b"ab"), b"POST / HTTP/1.1",
                                {"content-length": ["2"]}, ["content_length"]),
    "alias of Host": (get("GET / HTTP/1.1", "Host_: x", "h.o.s.t: y"), b"GET / HTTP/1.1", {"host": ["test"]}, []),
    "own field with an underscore": (get("GET / HTTP/1.1", "X_Api_Key: 1"), b"GET / HTTP/1.1", {"x_api_key": ["1"]}, []),
    "Proxy (httpoxy)": (get("GET / HTTP/1.1", "Proxy: evil"), b"GET / HTTP/1.1", {}, ["proxy"]),
    "Expect in 1.0": (post("Content-Length: 1", "Expect: 100-continue", body=b"a", line="POST / HTTP/1.0"),
                      b"POST / HTTP/1.1", {}, ["expect"]),
    "GET with a body": (get("GET / HTTP/1.1", "Content-Length: 3", body=b"abc"), b"GET / HTTP/1.1",
                        {"content-length": ["3"]}, []),
}


@pytest.fixture(scope="module")
def gateway(origin):
    with Sallyport(plain(origin, routes=[{"path": "/private/**", "respond": {"status": 403}}])) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def barrier(gateway, origin):
    """What upstream has seen before a request of ours: complete requests, and heads."""
    assert gateway.ask(path="/barrier").status == 200
    exchanges = [e for e in list(origin.exchanges) if e.message.target != "/barrier"]
    heads = [m for m in list(origin.heads) if m.target != "/barrier"]
    assert origin.garbled == 0
    return exchanges, heads


def answers(client):
    """Every answer until the connection ends; refused requests end it."""
    found = []
    while True:
        found.append(client.answer(interim=[]))
        if found[-1].get("connection", "").lower() == "close":
            assert client.closed(), "not closed after Connection: close"
            return found


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gateway, origin, name):
    data, statuses = REFUSED[name]
    with gateway.client() as client:
        client.send(data)
        found = answers(client)
    assert len(found) == 1
    assert found[0].status in (statuses if isinstance(statuses, tuple) else (statuses,))
    assert barrier(gateway, origin) == ([], [])


@pytest.mark.parametrize("name", CHUNKS)
def test_broken_chunks(gateway, origin, name):
    with gateway.client() as client:
        client.send(coded(CHUNKS[name]) + SMUGGLED)
        found = answers(client)
    assert len(found) == 1 and found[0].status == 400
    exchanges, heads = barrier(gateway, origin)
    assert exchanges == [] and len(heads) <= 1


@pytest.mark.parametrize("name", FORWARDED)
def test_forwarded(gateway, origin, name):
    data, line, fields, absent = FORWARDED[name]
    with gateway.client() as client:
        assert client.send(data).answer().status == 200
    exchanges, heads = barrier(gateway, origin)
    assert len(heads) == len(exchanges) == 1
    seen = heads[0]
    assert seen.start == line
    for field, values in fields.items():
        assert seen.all(field) == values
    for field in absent:
        assert field not in seen.names()
    assert len(seen.all("host")) == 1
    assert len(seen.all("content-length")) + len(seen.all("transfer-encoding")) <= 1


# ---- a rule for a path holds for all its spellings ---------------------------------------------------

SPELLINGS = [
    "/private", "/private/", "/private/x", "/private?", "/private?x=/..", "/private/?a", "/%70rivate", "/p%72ivate",
    "/%70%72%69%76%61%74%65", "//private", "///private//", "/./private", "/a/../private", "/a/b/../../private",
    "/%2e/private", "/a/%2e%2e/private", "/a/.%2E/private", "/a//../private", "/private/./x", "/private/a/..",
    "/private//x", "/a/..//private", "/private/../private", "http://test/private", "http://test//private",
    "HTTP://TEST/%70rivate", "/private%2fx", "/%2fprivate", "/private%00", "/private%5cx", "/a\\..\\private",
    "/;/private", "/a/..;/private", "/.;/private", "/private#x", "/%c0%afprivate", "/private%c0%afx", "/private/%2e",
    "/private;", "/private;x=1/y", "/private%3Bx",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_a_private_path(gateway, origin, spelling):
    with gateway.client() as client:
        assert client.send(get(f"GET {spelling} HTTP/1.1")).answer().status in (400, 403)
    assert barrier(gateway, origin) == ([], [])


def test_neighbours_of_a_private_path(gateway, origin):
    for path in ("/privat", "/privatex", "/private.x", "/x/private", "/?/private", "/private/.."):
        assert gateway.ask(path=path).status == 200, path


# ---- fields that only the gateway may say ---------------------------------------------------------

LENT = ["X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
        "X-Forwarded-Server", "X-Forwarded-URI", "X-Forwarded-By", "Forwarded", "True-Client-IP", "X-Client-IP",
        "X-Original-URL", "X-Rewrite-URL", "X-Request-Id", "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Forwarded-Path",
        "Front-End-Https", "X-Cluster-Client-IP", "CF-Connecting-IP", "Client-IP", "Fastly-Client-IP", "X-Original-Host",
        "X-Original-URI", "X-Host", "X-HTTP-Method-Override", "X-Forwarded-Client-Cert", "Proxy"]
ALIASES = [str, str.lower, str.upper, lambda n: n.replace("-", "_"), lambda n: n.replace("-", ".").lower(),
           lambda n: n.replace("-", "_", 1).swapcase()]


@pytest.mark.parametrize("name", LENT)
def test_spoofed_fields(gateway, origin, name):
    spellings = sorted({alias(name) for alias in ALIASES})
    for spelling in spellings:
        assert gateway.ask(fields=[(spelling, "6.6.6.6")]).status == 200
    assert gateway.ask(fields=[(s, "6.6.6.6") for s in spellings * 2]).status == 200
    for exchange in origin.wait(len(spellings) + 1):
        assert "6.6.6.6" not in exchange.raw.decode("latin-1"), exchange.raw
        for field, lines in itertools.groupby(sorted(exchange.message.names())):
            assert not field.startswith("x-forwarded") or len(list(lines)) == 1


def test_fields_that_may_stay(origin):
    """`keep_fields`: methods from anybody, claims of an address only from a trusted proxy."""
    named = ["X-HTTP-Method-Override", "cf_connecting_ip"]
    sent = [("X-HTTP-Method-Override", "DELETE"), ("CF-Connecting-IP", "6.6.6.6"), ("X-Method-Override", "PUT")]
    for trusted in ([], ["127.0.0.1"]):
        with Sallyport(plain(origin, server={"trusted_proxies": trusted}, keep_fields=named)) as gateway:
            origin.forget()
            assert gateway.ask(fields=sent).status == 200
            message = origin.wait(1)[0].message
            assert message.get("x-http-method-override") == "DELETE"
            assert message.get("cf-connecting-ip") == ("6.6.6.6" if trusted else None)
            assert message.get("x-method-override") is None


# ---- several messages on a connection -------------------------------------------------------------


def test_first_good_then_bad(gateway, origin):
    """The good one is answered, the bad one refused, what follows is never read."""
    with gateway.client() as client:
        client.send(get("GET /good HTTP/1.1") + b"GET / HTTP/1.1\nHost: test\n\n" + SMUGGLED)
        assert [a.status for a in answers(client)] == [200, 400]
    exchanges, heads = barrier(gateway, origin)
    assert [m.target for m in heads] == ["/good"]


def test_body_is_never_a_request(gateway, origin):
    with gateway.client() as client:
        client.send(request("POST", "/a", body=SMUGGLED) + request(path="/b"))
        assert client.answer().status == client.answer().status == 200
    exchanges, heads = barrier(gateway, origin)
    assert [m.target for m in heads] == ["/a", "/b"] and exchanges[0].body == SMUGGLED


def test_refused_body_is_never_a_request(gateway, origin):
    """A request that is answered here: its body does not become the next request."""
    with gateway.client() as client:
        client.send(request("POST", "/private/x", body=SMUGGLED) + request(path="/b"))
        assert client.answer().status == 403
        try:
            assert client.answer().status == 200
        except Exception:
            pass
    assert [m.target for m in barrier(gateway, origin)[1]] in (["/b"], [])


@pytest.mark.parametrize("cut", ["head", "body", "chunk"])
def test_client_goes_away(gateway, origin, cut):
    """Half a request never ends well upstream."""
    data = {"head": b"POST /cut HTTP/1.1\r\nHost: test\r\nContent-Le",
            "body": post("Content-Length: 10", body=b"hello"),
            "chunk": coded(b"3\r\nabc\r\n5\r\nab")}[cut]
    with gateway.client() as client:
        client.send(data)
        client.reset()
    with gateway.client() as client:
        client.send(data)
    assert barrier(gateway, origin)[0] == []


def test_split_anywhere(gateway, origin):
    """Where the segments end changes nothing."""
    good = post("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    bad = post("Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    for at in range(1, len(good), 3):
        with gateway.client() as client:
            client.send(good[:at]).send(good[at:])
            assert client.answer().status == 200
    for at in range(1, bad.index(b"\r\n\r\n") + 4, 7):
        with gateway.client() as client:
            client.send(bad[:at]).send(bad[at:])
            assert client.answer().status == 400
    assert all(e.body == b"abc" for e in barrier(gateway, origin)[0])


def test_answers_are_not_mixed(origin):
    """A hundred requests on ten connections: each client gets what it asked for."""
    def echo_target(exchange):
        exchange.read_body()
        exchange.send(response(200, exchange.message.target.encode()))
    origin.default, before = echo_target, origin.default
    try:
        with Sallyport(plain(origin)) as gateway:
            clients = [gateway.client() for _ in range(10)]
            for turn in range(10):
                for number, client in enumerate(clients):
                    client.send(request(path=f"/{number}/{turn}"))
                for number, client in enumerate(clients):
                    assert client.answer().body.decode() == f"/{number}/{turn}"
            for client in clients:
                client.close()
    finally:
        origin.default = before


def test_cases_are_many():
    assert len(REFUSED) + len(CHUNKS) + len(FORWARDED) >= 200 and len(SPELLINGS) >= 32


def test_bad_unix_origin_is_no_exception():
    """The same strictness in front of a unix socket."""
    with Sallyport(None, start=False) as gateway:
        with Origin(path=gateway.folder + "/origin.sock") as origin:
            gateway.configure(plain(origin))
            gateway.start()
            assert gateway.ask().status == 200
            with gateway.client() as client:
                assert client.send(FRAMING["CL and TE"][0]).answer().status == 400
            assert origin.count == 1
