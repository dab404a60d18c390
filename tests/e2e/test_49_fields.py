"""Fields on their way: CORS for browsers, and what is set, added and removed for upstream."""
import json

import pytest

from harness import Sallyport, command, plain, response

USERS = {"ann": "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"}


@pytest.fixture(scope="module")
def gateway(origin):
    cors = {"origins": ["https://app.test", "https://*.apps.test"], "credentials": True, "expose": ["X-Total"],
            "headers": ["X-Key"], "max_age": "60s"}
    config = plain(origin, routes=[
        {"path": "/api/**", "cors": cors, "basic": {"users": USERS}},
        {"path": "/open/**", "cors": "*"},
        {"path": "/app/**", "cors": cors},
        {"path": "/set/**", "request_headers": {"set": {"X-User": "{client.ip}", "X-Url": "{scheme}://{host}{path}?{query}"},
                                                "add": {"X-Tag": "b"}, "remove": ["X-Secret"]}}])
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def preflight(gateway, path, who):
    return gateway.ask("OPTIONS", path, fields=[f"Origin: {who}", "Access-Control-Request-Method: PUT",
                                               "Access-Control-Request-Headers: x-key"])


@pytest.mark.parametrize("who, told", [
    ("https://app.test", True), ("https://x.apps.test", True), ("https://a.b.apps.test", True),
    ("https://apps.test", False), ("https://evilapps.test", False), ("http://app.test", False),
    ("https://app.test.evil", False), ("https://app.test:8443", False), ("null", False), ("https://.apps.test", False)])
def test_preflight_needs_no_password(gateway, origin, who, told):
    answer = preflight(gateway, "/api/x", who)
    assert answer.status == 204 and origin.count == 0 and "Origin" in answer.all("vary")
    if not told:
        assert not any(n.startswith("access-control") for n in answer.names())
        return
    assert answer.get("access-control-allow-origin") == who and answer.get("access-control-allow-headers") == "X-Key"
    assert "PUT" in answer.get("access-control-allow-methods") and answer.get("access-control-max-age") == "60"
    assert answer.get("access-control-allow-credentials") == "true"


def test_answers(gateway, origin):
    origin.script(*[response(200, b"x", [("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")])] * 3)
    answer = gateway.ask(path="/app/x", fields=["Origin: https://app.test"])
    assert answer.all("access-control-allow-origin") == ["https://app.test"]
    assert answer.get("access-control-expose-headers") == "X-Total" and "Origin" in answer.all("vary")
    answer = gateway.ask(path="/app/x", fields=["Origin: https://other.test"])
    assert answer.all("access-control-allow-origin") == [] and "Origin" in answer.all("vary")
    assert gateway.ask(path="/open/x", fields=["Origin: https://other.test"]).all("access-control-allow-origin") == ["*"]
    assert gateway.ask("OPTIONS", "/app/x").status == 200 and origin.count == 4  # no preflight: the application's


def test_refusals_can_be_read_by_the_page(gateway):
    answer = gateway.ask(path="/api/x", fields=["Origin: https://app.test"])
    assert answer.status == 401 and answer.get("access-control-allow-origin") == "https://app.test"


def test_request_fields(gateway, origin):
    gateway.ask(path="/set/a?b=c", fields=["X-User: root", "x_user: root", "X-Tag: a", "X-Secret: 1", "X.Secret: 2"])
    seen = origin.wait(1)[0].message
    assert seen.all("x-user") == ["127.0.0.1"] and seen.all("x-tag") == ["a", "b"]
    assert seen.get("x-url") == "http://test/set/a?b=c"
    assert not {"x-secret", "x.secret", "x_user"} & set(seen.names())
    gateway.ask(path="/other", fields=["X-User: root"])  # nobody says it there, so nobody may
    assert origin.wait(2)[1].message.get("x-user") is None


@pytest.mark.parametrize("bad, word", [
    ({"cors": {"origins": ["*"], "credentials": True}}, "credentials"), ({"cors": ["app.test"]}, "origin"),
    ({"cors": ["https://a.*.test"]}, "origin"), ({"cors": {"origins": ["*"], "headers": ["a b"]}}, "a b"),
    ({"request_headers": {"set": {"Host": "x"}}}, "Host"), ({"request_headers": {"set": {"X": "{user}"}}}, "{path}"),
    ({"request_headers": {"add": {"Transfer-Encoding": "x"}}}, "Transfer-Encoding")])
def test_bad(tmp_path, bad, word):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(plain("http://127.0.0.1:9", **bad)))
    said = command("check", "-c", path)
    assert said.returncode == 2 and word in said.stdout + said.stderr, said


def test_nothing_follows_a_preflight(gateway):
    ask = ("OPTIONS /app/x HTTP/1.1\r\nHost: test\r\nOrigin: https://app.test\r\n"
           "Access-Control-Request-Method: PUT\r\n\r\n")
    with gateway.client() as client:
        for _ in range(3):
            assert client.send(ask).answer().status == 204
        assert client.ask().status == 200
