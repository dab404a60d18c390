"""What rules make of answers and of refused heads, and what they put into answers of their own."""
import gzip
import json

import pytest

from harness import Sallyport, command, plain, response, says
from wire import chunked
from wire2 import Client2
RULES = r"""
SecRule ARGS:u "@rx ." "id:10,phase:2,log,t:none,redirect:https://elsewhere.example/?from=%{ARGS.u}"
SecRule ARGS:evil|REQUEST_HEADERS:User-Agent "@rx scanner" "id:12,phase:1,deny,log,t:none,status:403"
SecRule RESPONSE_BODY "@contains secret" "id:11,phase:4,deny,log,t:none,status:403"
"""

HTML = [("Content-Type", "text/html")]
PART = response(206, b"se", HTML + [("Content-Range", "bytes 2-3/8")])


@pytest.fixture(scope="module")
def gateway(origin):
    waf = {"mode": "block", "ruleset": "none", "response": True, "seclang": {"after": ["a.conf"]}}
    config = plain(origin, waf=waf, routes=[{"path": "/files/**", "waf": {"response": False}}])
    with Sallyport(config, files={"a.conf": RULES}) as running:
        yield running


@pytest.mark.parametrize("sent, stands", [
    ("shop", "shop"),
    ("x%0d%0aSet-Cookie:%20a=b", "x%0D%0ASet-Cookie:%20a=b"),
    ("x%0d%0a%0d%0a%3Cscript%3E", "x%0D%0A%0D%0A%3Cscript%3E"),
    ("%00%09%7f%c3%a9%22", "%00%09%7F%C3%A9%22"),
])
def test_a_redirect_with_bytes_of_the_client_is_one_field(gateway, sent, stands):
    """CWE-113: macros hold decoded values, line ends among them."""
    with gateway.client() as client:
        answer = client.ask(path=f"/?u={sent}")
        assert answer.status == 302
        assert answer.get("location") == "https://elsewhere.example/?from=" + stands
        assert answer.get("set-cookie") is None
        assert client.ask(path="/").status == 200  # and the connection is where it should be


def test_no_answer_is_read_in_pieces(gateway, origin):
    """Rules of answers cannot know what half a secret looks like: no range reaches upstream."""
    ranged = [("Range", "bytes=2-3"), ("If-Range", '"x"')]
    origin.forget().script(says(response(200, b"a secret", HTML)), says(PART))
    assert gateway.ask(path="/page", fields=ranged).status == 403
    assert gateway.ask(path="/files/a", fields=ranged).status == 206
    page, file = origin.wait(2)
    assert b"range" not in page.raw.lower()
    assert b"\r\nRange: bytes=2-3\r\n" in file.raw and b"If-Range" in file.raw


def test_a_part_that_nobody_asked_for_is_on_record(gateway, origin):
    gateway.forget_records()
    origin.forget().script(says(PART))
    assert gateway.ask(path="/part").status == 206
    record, = gateway.new_records()
    assert record["sallyport"]["response_unseen"] is True


@pytest.mark.parametrize("how", [
    dict(path="/?evil=scanner", fields=[("Bad", "x")]),
    dict(path="/?evil=scanner", fields=[("connection", "x"), ("accept", "*/*")]),
    dict(path="/?evil=scanner", fields=[("x", "a\r\nb")]),
    dict(path="/%zz?evil=scanner"),
    dict(fields=[("te", "x"), ("user-agent", "scanner\n")]),
    dict(path="/" + "a" * 9000, fields=[("user-agent", "scanner")]),
])
def test_rules_know_a_refused_head_over_http2(gateway, how):
    """It stays refused, and the record says what it was, as over HTTP/1."""
    gateway.forget_records()
    with Client2(gateway.address()) as client:
        answer = client.answer(client.open(**how))
        assert 400 <= answer.status < 500 and (answer.ended or answer.reset == 1)
        assert client.ask().status == 200  # the connection goes on
    records = {record["event"]["action"]: record for record in gateway.new_records(2)}
    assert [match["rule"] for match in records["refuse"]["sallyport"]["matches"]] == ["12"]
    assert records["refuse"]["event"]["reason"] == "http"


OWN = [
    {"name": "no-traces", "match": r"Traceback \(most recent", "in": ["response_body"], "status": 502},
    {"name": "debug-off", "when": 'response.status == 500 and response.header("x-debug") != ""', "status": 503},
    {"name": "inside", "match": r"^10\.", "in": ["response_header:x-backend"], "do": "log"},
    {"name": "half", "match": "version", "in": ["response_headers"], "do": "score", "score": 2},
    {"name": "other-half", "match": "stack", "in": ["response_body"], "do": "score", "score": 2},
    {"name": "fine", "when": 'path == "/docs"', "match": ".", "in": ["response_header:content-type"], "do": "allow"},
]


@pytest.fixture(scope="module")
def own(origin):
    waf = {"mode": "block", "ruleset": "none", "response": True, "rules": OWN}
    with Sallyport(plain(origin, waf=waf, routes=[{"path": "/files/**", "waf": {"response": False}}])) as running:
        yield running


@pytest.mark.parametrize("answer, status, names, path", [
    (response(200, b"<p>Traceback (most recent call last)", HTML), 502, ["no-traces"], "/"),
    (response(200, b"<p>traceback (MOST recent", HTML), 502, ["no-traces"], "/"),
    (response(200, b"Traceback (most recent", [("Content-Type", "image/png")]), 200, [], "/"),
    (response(500, b"x", HTML + [("X-Debug", "1")]), 503, ["debug-off"], "/"),
    (response(500, b"x", HTML + [("X-Debug", "")]), 500, [], "/"),
    (response(200, b"x", HTML + [("X-Backend", "10.0.0.1")]), 200, ["inside"], "/"),
    (response(200, b"a stack", HTML + [("X-Powered-By", "version 3")]), 403, ["half", "other-half"], "/"),
    (response(200, b"a stack", HTML), 200, ["other-half"], "/"),
    (response(200, b"a stack: Traceback (most recent", HTML + [("X-A", "version")]), 200, ["half", "fine"], "/docs"),
    (response(200, b"Traceback (most recent", HTML), 200, [], "/files/a"),
    (response(204, b"", [("X-Backend", "10.0.0.1")]), 204, ["inside"], "/"),
])
def test_rules_of_the_configuration_about_answers(own, origin, answer, status, names, path):
    own.forget_records()
    origin.forget().script(says(answer))
    assert own.ask(path=path).status == status
    record, = own.new_records()
    assert [match["rule"] for match in record["sallyport"].get("matches", [])] == names
    if status in (502, 503, 403):
        assert record["event"]["action"] == "block" and record["sallyport"]["reason"] == "rule"


def test_answers_are_only_for_rules(origin, tmp_path):
    """A condition that could never hold is an error, and a rule that is never asked is said to be."""
    def check(site):
        (tmp_path / "sallyport.yaml").write_text(json.dumps(plain(origin, **site)))
        return command("check", "-c", tmp_path / "sallyport.yaml", cwd=str(tmp_path))

    done = check({"routes": [{"path": "/**", "when": "response.status == 200", "respond": 204}]})
    assert done.returncode == 2 and "nothing is known of the answer" in done.stderr + done.stdout
    tag = {"name": "x", "when": "response.status == 200", "do": "tag"}
    done = check({"waf": {"mode": "block", "ruleset": "none", "rules": [tag]}})
    assert done.returncode == 2 and "no upstream" in done.stderr + done.stdout
    done = check({"waf": {"mode": "block", "ruleset": "none", "rules": OWN[:1]}})
    assert done.returncode == 0 and "`response` is false" in done.stderr + done.stdout


LONG = b"".join(b"<p>word%d " % (i * 7919 % 10007) for i in range(31000))  # 398 KB: looked at beside the loop


@pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
def test_long_answers_are_looked_at_whole(own, origin, how):
    """The client gets all of one, as it came, or nothing; what it asks next is answered in order."""
    for body, status in ((LONG, 200), (LONG + b"Traceback (most recent call last)", 502)):
        sent = gzip.compress(body) if how == "gzip" else body
        answer = response(200, sent, HTML + ([("Content-Encoding", "gzip")] if how == "gzip" else []))
        if how == "chunked":
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body[:9999], body[9999:])
        origin.forget().script(says(answer), says(response(200, b"next", HTML)))
        with own.client() as client:
            first = client.ask(path="/")
            assert first.status == status and (first.body == sent) is (status == 200)
            assert client.ask(path="/").body == b"next"


def test_longer_than_the_limit(origin):
    """Its beginning is judged while upstream waits, and the rest follows."""
    waf = {"mode": "block", "ruleset": "none", "response": True, "response_limit": "64KiB", "rules": OWN}
    with Sallyport(plain(origin, waf=waf)) as gateway:
        for body, status in ((LONG, 200), (LONG[:65537], 200), (LONG[:70000], 200), (b"Traceback (most recent call last)" + LONG, 502)):
            origin.forget().script(says(response(200, body, HTML)))
            answer = gateway.ask(path="/")
            assert answer.status == status and (answer.body == body) is (status == 200)


def test_who_leaves_meanwhile_leaves_nothing(own, origin):
    for _ in range(5):
        origin.forget().script(says(response(200, LONG, HTML)))
        with own.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            origin.wait(1)
    origin.forget().script(says(response(200, b"next", HTML)))
    assert own.ask(path="/").body == b"next"
