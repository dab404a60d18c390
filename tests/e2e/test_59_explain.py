"""`explain` decides as the gateway does, without one, and reaches nobody."""
import json

import pytest

from harness import Origin, Sallyport, command, plain

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block", "message": "evil is bad"},
         {"name": "no-body", "match": "wicked", "in": "body", "do": "block"}]


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, waf={"mode": "block", "ruleset": "none", "rules": RULES}, deny=["203.0.113.0/24"], routes=[
        {"path": "/detect/**", "waf": {"mode": "detect"}}, {"path": "/here", "respond": {"status": 200, "body": "x"}},
        {"path": "/get", "methods": ["GET"]}])
    with Sallyport(config) as gateway:
        yield gateway


def explain(gateway, what, *more, stdin=None, code=None):
    done = command("explain", "-c", gateway.config_path, what, *more, cwd=gateway.folder, input=stdin)
    if code is not None:
        assert done.returncode == code, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


REQUESTS = [
    ("GET", "/", b""), ("GET", "/?q=evil", b""), ("GET", "/detect/x?q=evil", b""), ("GET", "/here", b""),
    ("POST", "/", b"a=wicked"), ("POST", "/", b"a=good"), ("POST", "/", b"a=evil"), ("GET", "/?id=1%27%20or%201=1--", b""),
    ("GET", "/..%2f..%2fetc/passwd", b""), ("GET", "/%00", b""), ("GET", "/?x=%3Cscript%3Ealert(1)%3C/script%3E", b""),
    ("DELETE", "/get", b""), ("BREW", "/", b""),
]


@pytest.mark.parametrize("method,path,body", REQUESTS)
def test_decides_as_the_gateway_does(gateway, method, path, body):
    raw = f"{method} {path} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: t\r\n".encode()
    if body:
        raw += b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(body)
    raw += b"\r\n" + body
    gateway.forget_records()
    with gateway.client() as client:
        status = client.send(raw).answer(method).status
    live = gateway.new_records()[0]
    done = explain(gateway, gateway.write("request", raw), "-o", "json", "--from", "127.0.0.1")
    told = json.loads(done.stdout)
    refused = live["event"]["action"] in ("block", "refuse")
    assert done.returncode == (3 if refused else 0), done.stdout
    assert told["sallyport"].get("matches") == live["sallyport"].get("matches")
    if refused:
        assert told["event"]["reason"] == live["event"]["reason"]
        assert told["http"]["response"]["status_code"] == status
    decided = [[(s["stage"], s["phase"], s["action"], s.get("reason"), s["enforced"])
                for s in record["sallyport"].get("stages", []) if s["phase"].startswith("request")]
               for record in (live, told)]
    assert decided[0] == decided[1]


def test_tells_why(gateway):
    text = explain(gateway, "http://shop.test/a?q=so-evil", code=3).stdout
    assert "REFUSED with 403: rule" in text and "no-evil" in text and "evil is bad" in text
    lines = text.splitlines()
    under = next(i for i, line in enumerate(lines) if line.strip() and set(line.strip()) == {"^"})
    assert lines[under - 1].strip() == "evil" and len(lines[under].strip()) == 4
    assert "sallyport.yaml:" in text and "To let it through: change that rule" in text  # it cannot be excluded
    assert "PASS" in explain(gateway, "http://shop.test/", code=0).stdout


def test_nothing_of_a_client_reaches_the_terminal(gateway):
    text = explain(gateway, "http://shop.test/?%1b[31m%c2%9b%e2%80%ae=evil", code=3).stdout
    assert "no-evil" in text and not set("\x1b\x9b\u202e") & set(text)


def test_says_what_was_normalised_and_what_excludes_it(origin, tmp_path):
    (tmp_path / "r.conf").write_text(
        'SecRule ARGS "@contains wicked" "id:1001,phase:2,deny,log,msg:\'w\',t:urlDecodeUni,t:lowercase"\n')
    (tmp_path / "c.yaml").write_text(json.dumps(plain(origin, waf={
        "mode": "block", "ruleset": "none", "seclang": {"after": ["r.conf"]}})))
    text = command("explain", "-c", str(tmp_path / "c.yaml"), "http://shop.test/a/%63?q=so-%2557ICKED").stdout
    assert "REFUSED" in text and "normalised by urlDecodeUni, lowercase" in text, text
    assert '- {rules: [1001], fields: ["args:q"], paths: ["/a/c"]' in text and "shop.test/a/c" in text


def test_takes_what_people_have(gateway):
    curl = "curl 'http://shop.test/form' -X POST -H 'Accept: */*' --data-raw 'a=evil' --compressed"
    assert explain(gateway, curl, code=3).stdout.count("no-evil") == 1
    assert explain(gateway, curl.replace("evil", "good"), code=0)
    assert explain(gateway, "curl $'http://shop.test/?q=\\x65vil'", code=3)
    for more, agent in (("", "curl/7.88.1"), (" -A mine", "mine"), (" -H 'User-Agent:'", None), (" -H 'User-Agent;'", None)):
        told = json.loads(explain(gateway, "curl http://shop.test/" + more, "-o", "json", code=0).stdout)
        assert told.get("user_agent", {}).get("original") == agent, more
    har = {"log": {"entries": [{"request": {"method": "POST", "url": "https://shop.test/form", "headers": [
        {"name": ":authority", "value": "shop.test"},
        {"name": "content-type", "value": "application/x-www-form-urlencoded"}], "postData": {"text": "a=evil"}}}]}}
    assert explain(gateway, gateway.write("x.har", json.dumps(har)), code=3)
    assert explain(gateway, "-", stdin="GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", code=0)
    assert explain(gateway, "http://shop.test/", "--from", "203.0.113.9", code=3).stdout.count("address-denied")


def test_takes_many_at_once(gateway):
    good, evil, nul = ("http://shop.test/?q=" + q for q in ("good", "evil", "%00"))
    lines = explain(gateway, good, evil, nul, "-o", "json", code=3).stdout.splitlines()
    assert [json.loads(line)["sallyport"]["action"] for line in lines] == ["fail", "block", "fail"]
    entries = [{"request": {"method": "GET", "url": url, "headers": []}} for url in (good, evil)]
    har = gateway.write("two.har", json.dumps({"log": {"entries": entries}}))
    assert len(explain(gateway, har, "-o", "json", code=3).stdout.splitlines()) == 2
    assert json.loads(explain(gateway, good, "-o", "json").stdout)["url"]["scheme"] == "http"
    assert json.loads(explain(gateway, good, "--https", "-o", "json").stdout)["url"]["scheme"] == "https"
    assert json.loads(explain(gateway, "https://shop.test/", "-o", "json").stdout)["tls"]["version"] == "1.3"


def test_takes_the_id_of_one_that_was_answered(gateway):
    gateway.forget_records()
    gateway.ask(path="/?q=evil")
    live = gateway.new_records()[0]
    one = live["http"]["request"]["id"]
    assert json.loads(explain(gateway, one, "-o", "json", code=3).stdout) == live
    text = explain(gateway, one, code=3).stdout
    assert "As it was recorded" in text and "no-evil" in text and "sallyport.yaml:" in text
    assert "no record" in explain(gateway, one[:-1] + ("0" if one[-1] != "0" else "1"), code=1).stderr


def test_says_what_is_wrong(gateway):
    explain(gateway, "curl --proxy x http://shop.test/", code=2)
    explain(gateway, '{"log": {}}', code=2)
    explain(gateway, "no-such-file", code=2)
    explain(gateway, "http://shop.test/", "--from", "somewhere", code=2)
    explain(gateway, "-", stdin="GET / HTTP/1.1\r\nHost: sh", code=1)


def test_reaches_nobody(gateway):
    with Origin() as other:
        folder = gateway.folder
        with open(folder + "/other.json", "w") as file:
            json.dump(plain(other), file)
        done = command("explain", "-c", folder + "/other.json", "http://x/", cwd=folder)
        assert done.returncode == 0 and "PASS" in done.stdout
        assert other.connections == 0


UNSEEN = """
SecRule REQUEST_URI "@beginsWith /off" "id:1,phase:1,pass,nolog,t:none,ctl:requestBodyAccess=Off"
SecRule REQUEST_URI "@beginsWith /force" "id:2,phase:1,pass,nolog,t:none,ctl:forceRequestBodyVariable=On"
SecRule ARGS|REQUEST_BODY "@contains evil" "id:3,phase:2,deny,status:403,log,t:none"
"""
FORM = "application/x-www-form-urlencoded"


def test_a_body_that_no_processor_reads_is_told_of(origin):
    """With the configuration's own rules for bodies it is read."""
    rows = [("/", FORM, b"a=b", 200, False), ("/", "application/x-odd", b"evil", 200, True),
            ("/", "application/x-odd", b"", 200, False), ("/off", FORM, b"a=evil", 200, True),
            ("/force", "application/x-odd", b"good", 200, False), ("/force", "application/x-odd", b"evil", 403, False),
            ("/own", "application/x-odd", b"good", 200, False), ("/own", "application/x-odd", b"wicked", 403, False),
            ("/args", "application/x-odd", b"\\1wicked", 200, True), ("/args", "application/x-odd", b"a=wicked", 403, False)]
    waf = {"mode": "block", "ruleset": "none", "seclang": {"after": ["a.conf"]}}
    routes = [{"path": path, "waf": {"rules": [{"name": "own", "match": "wicked", "in": [target]}]}}
              for path, target in (("/own", "body"), ("/args", "args"))]
    with Sallyport(plain(origin, waf=waf, routes=routes), files={"a.conf": UNSEEN}) as gateway:
        for path, kind, body, status, unseen in rows:
            raw = (f"POST {path} HTTP/1.1\r\nHost: shop.test\r\nContent-Type: {kind}\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body
            with gateway.client() as client:
                assert client.send(raw).answer("POST").status == status, (path, kind, body)
            file = gateway.write("request", raw)
            told = json.loads(explain(gateway, file, "-o", "json").stdout)
            for record in (gateway.new_records(1)[0], told):
                assert record["sallyport"].get("body_unseen", False) is unseen, (path, kind, body)
            assert ("not looked at: the body" in explain(gateway, file).stdout) is unseen
