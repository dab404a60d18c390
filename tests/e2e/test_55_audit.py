"""Every transaction leaves one record, whatever became of it."""
import json
import os
import re
import signal
import time

import pytest

from harness import Cut, Load, Origin, Sallyport, eventually, plain, request, response, says

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"}]


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, waf={"mode": "block", "ruleset": "none", "rules": RULES}, routes=[
        {"path": "/detect", "waf": {"mode": "detect"}}, {"path": "/here", "respond": {"status": 200, "body": "x"}},
        {"path": "/limited", "limits": ["1/min"]}])
    config["audit"]["redact"] = {"fields": ["password", "*token*"]}
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(gateway, origin):
    origin.forget()
    gateway.forget_records()


def test_forwarded(gateway, origin):
    fields = [("User-Agent", "test/1"), ("Referer", "http://ref.test/x"), ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")]
    assert gateway.ask("POST", "/a/%41?x=1&y=2", "Shop.test:81", fields, b"12345").status == 200
    record = gateway.new_records()[0]
    seen = origin.wait(1)[0].message
    assert record["@timestamp"].endswith("Z") and record["ecs"]["version"]
    assert record["event"]["action"] == "pass" and record["event"]["outcome"] == "success" and record["event"]["duration"] > 0
    assert record["http"]["request"]["id"] == seen.get("x-request-id") and UUID7.fullmatch(seen.get("x-request-id"))
    assert record["http"]["request"]["method"] == "POST" and record["http"]["request"]["body"]["bytes"] == 5
    assert record["http"]["response"] == {"status_code": 200, "body": {"bytes": 6}}
    assert record["http"]["version"] == "1.1"
    assert record["url"]["domain"] == "shop.test" and record["url"]["path"] == "/a/A" and record["url"]["query"] == "x=1&y=2"
    assert record["client"]["ip"] == "127.0.0.1" and record["client"]["port"] > 0
    assert record["user_agent"]["original"] == "test/1" and record["trace"]["id"] == "a" * 32
    ours = record["sallyport"]
    assert ours["action"] == "pass" and ours["site"] == "*" and ours["route"]
    assert len(ours["config"]) >= 32
    assert ours["upstream"]["status"] == 200 and ours["upstream"]["tries"] == 1 and ours["upstream"]["us"] > 0
    for stage in ours["stages"]:
        assert set(stage) >= {"stage", "phase", "action", "enforced", "us"}
    assert "waf" in {stage["stage"] for stage in ours["stages"]}


def test_blocked(gateway, origin):
    answer = gateway.ask(path="/?q=evil", fields=[("Accept", "application/json")])
    record = gateway.new_records()[0]
    assert answer.status == 403 and record["http"]["request"]["id"].encode() in answer.body
    assert record["event"]["kind"] == "alert" and record["event"]["action"] == "block"
    ours = record["sallyport"]
    assert (ours["action"], ours["reason"]) == ("block", "rule")
    match = ours["matches"][0]
    assert set(match) >= {"rule", "field", "sample", "offset"} and match["sample"] == "evil"
    denied = [s for s in ours["stages"] if s["action"] == "deny"]
    assert len(denied) == 1 and denied[0]["enforced"] is True and denied[0]["reason"] == "rule"
    assert "upstream" not in ours and origin.count == 0


def test_detected(gateway, origin):
    """Detect really lets through, and says so."""
    answer = gateway.ask(path="/detect?q=evil")
    record = gateway.new_records()[0]
    assert answer.status == 200 and origin.count == 1
    assert record["event"]["action"] == "detect" and record["sallyport"]["matches"]
    assert [s["enforced"] for s in record["sallyport"]["stages"] if s["action"] == "deny"] == [False]
    assert record["http"]["response"]["status_code"] == 200


def test_answered_here(gateway):
    gateway.ask(path="/here")
    assert gateway.new_records()[0]["sallyport"]["action"] == "reply"


@pytest.mark.parametrize("data,status,detail", [
    (b"GET / HTTP/1.1\nHost: t\n\n", 400, "http-line-end"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "http-host"),
    (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "http-framing"),
    (b"GET /../x HTTP/1.1\r\nHost: t\r\n\r\n", 400, "http-target-root"),
    (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "http-chunk"),
    (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, None),
])
def test_refused_heads_have_records(gateway, data, status, detail):
    with gateway.client() as client:
        client.send(data)
        answer = client.answer()
    record = gateway.new_records()[0]
    assert answer.status == status == record["http"]["response"]["status_code"]
    assert record["sallyport"]["action"] == "refuse"
    assert detail is None or record["sallyport"]["detail"] == detail
    assert record["client"]["ip"] == "127.0.0.1"


def test_redaction(gateway):
    fields = [("Authorization", "Basic c2VjcmV0LWE="), ("Cookie", "sid=secret-b"), ("X-Api-Key", "secret-c"),
              ("Referer", "http://r.test/?my_token=secret-d")]
    gateway.ask(path="/?password=secret-e&x=1&My_Token=secret-f&%70assword=secret-g", fields=fields)
    gateway.ask(path="/?password=evil-secret-h", fields=fields)
    first, second = gateway.new_records(2)
    with open(gateway.audit_path) as file:
        text = file.read()
    assert not re.search("secret-[a-h]", text) and "c2VjcmV0LWE" not in text
    assert "x=1" in first["url"]["query"] and first["url"]["query"].count("redacted") == 3
    assert second["sallyport"]["matches"][0]["sample"].startswith("<redacted")


def test_hostile_bytes_stay_one_line(gateway):
    """Nothing that a client sends ends a line or breaks the JSON."""
    agent = "a\"b\\c\x7f\xff\xe9</script>\u2028".encode("utf-8")
    gateway.ask(path="/%0a%22%5c", fields=[("User-Agent", "x")])
    with gateway.client() as client:
        client.send(b"GET /?q=%22%0a%0d\"} HTTP/1.1\r\nHost: t\r\nUser-Agent: " + agent.replace(b"\x7f", b"") + b"\r\n\r\n")
        client.answer()
    assert len(gateway.new_records(2)) == 2


def test_long_values_are_cut_and_say_so(gateway):
    gateway.ask(path="/?q=" + "x" * 6000, fields=[("User-Agent", "y" * 4000)])
    record = gateway.new_records()[0]
    assert set(record["sallyport"]["truncated"]) >= {"user_agent.original"}
    assert len(json.dumps(record)) < 20000


def test_upstream_failures_have_records(gateway, origin):
    origin.script(says(b"garbage\r\n\r\n", then_close=True))
    gateway.ask("POST", body=b"x")
    record = gateway.new_records()[0]
    assert record["sallyport"]["reason"] == "upstream-bad" and record["http"]["response"]["status_code"] == 502


def test_cut_answers_have_records(gateway, origin):
    origin.script(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", then_close=True))
    with gateway.client() as client:
        with pytest.raises((Cut, ConnectionError)):
            client.ask()
    assert gateway.new_records()[0]["sallyport"]["cut"]


def test_client_that_leaves_has_a_record(gateway, origin):
    def wait(exchange):
        exchange.sock.settimeout(5)
        exchange.sock.recv(1)
        return False
    origin.script(wait)
    with gateway.client() as client:
        client.send(request(path="/leaves"))
        origin.wait(1)
        client.reset()
    assert gateway.new_records()[0]["sallyport"]["cut"] == "client-gone"


def test_one_record_each_in_order(gateway):
    with gateway.client() as client:
        for number in range(100):
            client.ask(path=f"/{number}")
    records = gateway.new_records(100)
    assert [r["url"]["path"] for r in records] == [f"/{n}" for n in range(100)]
    assert len({r["http"]["request"]["id"] for r in records}) == 100


def test_as_many_records_as_requests_under_load(gateway):
    with Load(gateway, threads=4) as load:
        time.sleep(0.5)
    assert not load.failures
    eventually(lambda: len(gateway.records()) - gateway.seen >= load.done, 10, "all records")
    time.sleep(0.1)
    assert len(gateway.records()) - gateway.seen == load.done


def test_reopen_after_rename(gateway):
    """SIGUSR1: the file that logrotate has moved away is complete, the new one goes on."""
    gateway.ask(path="/before")
    gateway.new_records()
    os.rename(gateway.audit_path, gateway.audit_path + ".1")
    gateway.ask(path="/between")
    eventually(lambda: "/between" in open(gateway.audit_path + ".1").read(), what="the record goes to the renamed file")
    gateway.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(gateway.audit_path), what="a new file")
    gateway.ask(path="/behind")
    eventually(lambda: [r["url"]["path"] for r in gateway.records()] == ["/behind"], what="the record in the new file")
    os.rename(gateway.audit_path + ".1", gateway.audit_path)
    gateway.signal(signal.SIGUSR1)
    eventually(lambda: gateway.ask(path="/end") and "/end" in open(gateway.audit_path).read(), what="all in one file again")


@pytest.mark.parametrize("record,want", [
    (["blocked"], ["/?q=evil"]), (["detected"], ["/detect?q=evil"]), (["limited"], ["/limited"]), (["auth"], ["/auth"]),
    (["blocked", "detected"], ["/?q=evil", "/detect?q=evil"]), (["all"], None)])
def test_selections(origin, record, want):
    config = plain(origin, waf={"mode": "block", "ruleset": "none", "rules": RULES}, routes=[
        {"path": "/detect", "waf": {"mode": "detect"}}, {"path": "/limited", "limits": ["1/min"]},
        {"path": "/auth", "basic": {"file": "users"}}])
    config["audit"]["record"] = record
    paths = ["/", "/?q=evil", "/detect?q=evil", "/limited", "/limited", "/auth"]
    with Sallyport(config, files={"users": "a:$2b$04$abcdefghijklmnopqrstuu5s4C6M4Qn7bXKp2tJz0BHeQ8GQb9K7e\n"}) as gateway:
        for path in paths:
            gateway.ask(path=path)
        gateway.signal(signal.SIGTERM)
        gateway.process.wait(5)
        seen = [r["url"]["path"] + ("?" + r["url"]["query"] if "query" in r["url"] else "") for r in gateway.records()]
    if want is None:
        assert seen == paths
    elif record == ["blocked"]:
        assert set(want) <= set(seen) and "/" not in seen and "/detect?q=evil" not in seen
    else:
        assert set(want) == set(seen) - ({"/limited", "/auth"} if "blocked" in record else set())


def test_off(origin):
    config = plain(origin)
    config["audit"] = "off"
    with Sallyport(config) as gateway:
        assert gateway.ask().status == 200
        time.sleep(0.1)
        assert gateway.records() == []
