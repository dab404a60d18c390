"""Request bodies in disguise: what hides an attack from a reader that decodes less than a backend does."""
import gzip
import json
import zlib

import pytest

from harness import Sallyport, plain

FORM = "application/x-www-form-urlencoded"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, waf={"mode": "block", "ruleset": "core"},
                   routes=[{"path": "/compat/**", "body": "compat"}])
    with Sallyport(config) as running:
        yield running


def post(gateway, body, kind=FORM, coding=None, path="/"):
    fields = ([("Content-Type", kind)] if kind else []) + ([("Content-Encoding", coding)] if coding else [])
    return gateway.ask("POST", path, body=body, fields=fields).status


def multipart(head, content, boundary="b"):
    return f"--{boundary}\r\n{head}\r\n\r\n{content}\r\n--{boundary}--\r\n".encode()


PART = 'Content-Disposition: form-data; name="a"'


def raw_deflate(data):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


ATTACKS = {
    "form": (f"a={SCRIPT}".encode(), FORM, None),
    "form, percent twice": (b"a=%253Cscript%253Ealert(1)%253C/script%253E", FORM, None),
    "form, second of a name": (b"a=1&a=%3Cscript%3Ealert(1)%3C/script%3E", FORM, None),
    "JSON escapes": (b'{"a":"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e"}', "application/json", None),
    "JSON in a key": (json.dumps({SCRIPT: {}}).encode(), "application/json", None),
    "JSON as a form": (b'{"a":"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e&x="}', FORM, None),
    "JSON as text": (b'{"a":"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e"}', "text/plain", None),
    "JSON without a label": (b'{"a":"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e"}', None, None),
    "JSON in UTF-16": (f'{{"a":"{SCRIPT}"}}'.encode("utf-16-le"), "application/json; charset=utf-16le", None),
    "text with a mark": (b"\xff\xfe" + SCRIPT.encode("utf-16-le"), "text/plain", None),
    "XML split by a comment": (b"<a>&lt;scr<!-- -->ipt>alert(1)&lt;/script></a>", "text/xml", None),
    "XML attribute": (b"<a b='&#60;script>alert(1)&#60;/script>'/>", "application/soap+xml", None),
    "XML CDATA": (b"<a>&lt;scr<![CDATA[ipt>alert(1)]]></a>", "image/svg+xml", None),
    "multipart": (multipart(PART, SCRIPT), "multipart/form-data; boundary=b", None),
    "multipart file name": (multipart(PART + f'; filename="{SCRIPT}"', "x"), "multipart/form-data; boundary=b", None),
    "gzip": (gzip.compress(f"a={SCRIPT}".encode()), FORM, "gzip"),
    "gzip members": (gzip.compress(b"a=<scr") + gzip.compress(b"ipt>alert(1)</script>"), FORM, "gzip"),
    "deflate": (zlib.compress(f"a={SCRIPT}".encode()), FORM, "deflate"),
    "deflate, raw": (raw_deflate(f"a={SCRIPT}".encode()), FORM, "deflate"),
    "gzip twice": (gzip.compress(gzip.compress(f"a={SCRIPT}".encode())), FORM, "gzip, gzip"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_seen_through(gateway, origin, name):
    origin.forget()
    assert post(gateway, *ATTACKS[name]) == 403
    assert post(gateway, *ATTACKS[name], path="/compat/x") == 403
    assert origin.count == 0


REFUSED = {
    "utf-7": (400, b"a=+ADw-script+AD4-", FORM + "; charset=utf-7", None),
    "EBCDIC": (400, b"a=1", FORM + "; charset=ibm037", None),
    "two character sets": (400, b"{}", "application/json; charset=utf-8; charset=utf-7", None),
    "two boundaries": (400, multipart(PART, "1"), "multipart/form-data; boundary=b; boundary=c", None),
    "boundary inside": (400, multipart(PART, "x--b"), "multipart/form-data; boundary=b", None),
    "base64 part": (400, multipart(PART + "\r\nContent-Transfer-Encoding: base64", "aGVsbG8="),
                    "multipart/form-data; boundary=b", None),
    "extended file name": (400, multipart(PART + "; filename=x; filename*=utf-8''x.php", "1"),
                           "multipart/form-data; boundary=b", None),
    "a key twice": (400, b'{"a":1,"\\u0061":2}', "application/json", None),
    "trailing comma": (400, b'{"a":1,}', "application/json", None),
    "two texts": (400, b'{"a":1}\n{"a":2}', "application/json", None),
    "half a pair": (400, b'{"a":"\\ud83d"}', "application/json", None),
    "deep": (400, b"[" * 1000 + b"]" * 1000, "application/json", None),
    "DTD": (400, b"<!DOCTYPE a><a/>", "text/xml", None),
    "billion laughs": (400, b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>', "text/xml", None),
    "entity": (400, b"<a>&foo;</a>", "text/xml", None),
    "not gzip": (400, b"a=1", FORM, "gzip"),
    "cut gzip": (400, gzip.compress(b"a=1")[:-1], FORM, "gzip"),
    "tail behind gzip": (400, gzip.compress(b"a=1") + b"a=2", FORM, "gzip"),
    "unknown coding": (415, b"a=1", FORM, "lzma"),
    "three codings": (415, b"a=1", FORM, "gzip, gzip, gzip"),
    "bomb": (413, gzip.compress(b"\0" * (8 << 20), 9), "application/octet-stream", "gzip"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_one_reading_is_refused(gateway, origin, name):
    want, body, kind, coding = REFUSED[name]
    origin.forget()
    assert post(gateway, body, kind, coding) == want
    assert origin.count == 0


def test_compat_looks_and_lets_through(gateway, origin):
    origin.forget()
    for name in ("a key twice", "trailing comma", "base64 part", "utf-7", "not gzip", "unknown coding"):
        _, body, kind, coding = REFUSED[name]
        assert post(gateway, body, kind, coding, path="/compat/x") == 200, name
    encoded = multipart(PART + "\r\nContent-Transfer-Encoding: base64", "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==")
    assert post(gateway, encoded, "multipart/form-data; boundary=b", path="/compat/x") == 403
    # The label may be false, and the backend may know.
    for label in ("gzip", "lzma"):
        assert post(gateway, f"a={SCRIPT}".encode(), FORM, label, path="/compat/x") == 403
    # A bomb is no matter of readings.
    _, body, kind, coding = REFUSED["bomb"]
    assert post(gateway, body, kind, coding, path="/compat/x") == 413


def test_good_bodies_arrive_as_they_came(gateway, origin):
    pem = "-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----"
    good = [
        (b"a=1&b=two+words&c=%E2%82%AC", FORM, None),
        (gzip.compress(b"a=1&b=2"), FORM, "gzip"),
        (gzip.compress(json.dumps([{"id": n, "name": f"thing {n}"} for n in range(30)]).encode()),
         "application/json", "gzip"),
        (b'{"a":{"b":[1,2,{"c":null}]},"d":"text"}', "application/json", None),
        (b"<?xml version='1.0' encoding='utf-8'?><a xmlns='http://example.com/'>text</a>", "text/xml", None),
        (multipart(PART + '; filename="key.pem"\r\nContent-Type: text/plain', pem),
         "multipart/form-data; boundary=----x", None),
        (bytes(range(256)) * 40, "application/octet-stream", None),
    ]
    good[5] = (good[5][0].replace(b"--b", b"------x"), good[5][1], None)
    for body, kind, coding in good:
        origin.forget()
        assert post(gateway, body, kind, coding) == 200, (kind, coding)
        assert origin.wait(1)[0].body == body


def test_detect_lets_through_and_tells(origin):
    config = plain(origin, waf={"mode": "detect", "ruleset": "core"})
    with Sallyport(config) as gateway:
        for name, unseen in (("bomb", True), ("not gzip", True), ("unknown coding", True), ("a key twice", False)):
            _, body, kind, coding = REFUSED[name]
            origin.forget()
            assert post(gateway, body, kind, coding) == 200
            assert origin.wait(1)[0].body == body
            record = gateway.new_records()[0]["sallyport"]
            assert record.get("body_unseen", False) is unseen, name
            assert unseen or [s for s in record["stages"] if s.get("reason") == "body-malformed"], record


def test_a_long_coded_body_is_read_to_its_end(gateway, origin):
    words = " ".join(f"word{n}" for n in range(400000))
    for tail, want in (("", 200), (SCRIPT, 403)):
        assert post(gateway, gzip.compress((words + tail).encode()), "text/plain", "gzip") == want


@pytest.mark.parametrize("deadline", ["1s", "1ms"])
def test_long_values_are_looked_at_beside_the_loop(origin, deadline):
    """By a thread, whose work no deadline of the stage ends. A client that goes in the midst leaves nothing behind."""
    waf = {"mode": "block", "ruleset": "core", "deadline": deadline, "body_limit": "2MiB"}
    long = "it's a long story, " * 50000
    with Sallyport(plain(origin, waf=waf)) as gateway:
        for round in range(3):
            for _ in range(3):
                client = gateway.client()
                client.send(b"POST /gone HTTP/1.1\r\nhost: x.test\r\ncontent-length: %d\r\n\r\n" % len(long) + long.encode())
                client.close()
            assert post(gateway, f"q={long}".encode()) == 200
            assert post(gateway, f"q={long}{SCRIPT}".encode()) == 403
            assert post(gateway, f"q={SCRIPT}{long}&r={long}".encode()) == 403
