"""Routing and change: conditions, expressions, shares, rewrites, redirects, HTTPS only."""
import json

import pytest

from harness import Origin, Sallyport, command, merge, plain


@pytest.fixture(scope="module")
def others():
    with Origin(name="two") as two, Origin(name="three") as three:
        yield two, three


@pytest.fixture(scope="module")
def gateway(origin, others, authority):
    two, three = others
    pair = authority.issue("routing", "test")
    routes = [
        {"path": "/beta/**", "when": 'header("x-beta") == "1"', "upstream": two.url},
        {"path": "/cookie", "when": 'cookie("canary") == "yes" and arg("v") == "2"', "upstream": two.url},
        {"path": r"~^/item/[0-9]+$", "upstream": two.url},
        {"path": "/half/**", "share": 50, "upstream": two.url},
        {"path": "/none/**", "share": 0, "upstream": two.url},
        {"path": "/api/**", "rewrite": {"strip_prefix": "/api", "add_prefix": "/v1/"}, "upstream": three.url},
        {"path": "/tpl/**", "rewrite": {"path": "/x{path}", "query": "h={host}&{query}"}},
        {"path": "/noquery", "rewrite": {"query": ""}},
        {"path": "/old/**", "redirect": {"to": "https://new.example{path}?{query}", "status": 308}},
        {"path": "/down/**", "when": 'client.ip in ["127.0.0.0/8"]', "respond": {"status": 503, "body": "down\n"}},
    ]
    config = plain(origin, server={"listen": {"https": "127.0.0.1:0"}, "trusted_proxies": ["127.0.0.1"]},
                   tls={"cert": pair.cert, "key": pair.key}, host="test", routes=routes)
    config["sites"].append(merge(config["sites"][0], {"host": "secure", "https": "redirect"}))
    config["sites"][1]["routes"] = []
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin, others):
    for one in (origin, *others):
        one.forget()


@pytest.mark.parametrize("path, fields, who", [
    ("/beta/x", [], b"origin"), ("/beta/x", ["X-Beta: 1"], b"two"), ("/beta/x", ["X-Beta: 2"], b"origin"),
    ("/cookie?v=2", ["Cookie: canary=yes"], b"two"), ("/cookie?v=1", ["Cookie: canary=yes"], b"origin"),
    ("/cookie?v=2", [], b"origin"), ("/item/17", [], b"two"), ("/item/17x", [], b"origin"),
    ("/item/%31", [], b"two"), ("/none/x", [], b"origin"), ("/api/users", [], b"three")])
def test_conditions(gateway, path, fields, who):
    assert gateway.ask(path=path, fields=fields).body == who


def test_a_client_stays_with_its_share(gateway):
    seen = {}
    with gateway.client() as client:
        for i in range(200):
            who = {client.ask(path="/half/x", fields=[f"X-Forwarded-For: 203.0.{i}.{n}"]).body for n in (1, 1)}
            assert len(who) == 1
            seen[i] = who.pop()
    assert 60 < list(seen.values()).count(b"two") < 140


@pytest.mark.parametrize("asked, got", [
    ("/api", "/v1/"), ("/api/", "/v1/"), ("/api/a%20b?x=1", "/v1/a%20b?x=1"), ("/%61pi/x", "/v1/x")])
def test_prefixes(gateway, others, asked, got):
    assert gateway.ask(path=asked).status == 200
    assert others[1].wait(1)[0].message.target == got


def test_templates(gateway, origin):
    gateway.forget_records()
    assert gateway.ask(path="/tpl/a?b=c").status == 200
    assert origin.wait(1)[0].message.target == "/x/tpl/a?h=test&b=c"
    record = gateway.new_records()[0]
    assert record["url"]["path"] == "/tpl/a" and record["url"]["query"] == "b=c"
    assert gateway.ask(path="/noquery?a=b").status == 200
    assert origin.wait(2)[1].message.target == "/noquery"


def test_redirect_and_maintenance(gateway, origin):
    answer = gateway.ask(path="/old/a%20b?x=1")
    assert answer.status == 308 and answer.get("location") == "https://new.example/old/a%20b?x=1"
    answer = gateway.ask(path="/down/x")
    assert answer.status == 503 and answer.body == b"down\n" and origin.count == 0


def test_https_only(gateway, origin):
    answer = gateway.ask(host="secure", path="/a?b=c")
    assert answer.status == 308 and answer.get("location").startswith("https://secure") and \
        answer.get("location").endswith("/a?b=c") and origin.count == 0


@pytest.mark.parametrize("route, word", [
    ({"path": "~("}, "path"), ({"path": "/x", "when": "nothing == 1"}, "nothing"),
    ({"path": "/x", "redirect": "{nobody}"}, "{path}"), ({"path": "/x", "rewrite": {"path": "x"}}, "begins"),
    ({"path": "/x", "rewrite": {"path": "/a b"}}, "spaces"), ({"path": "/x", "rewrite": {"strip_prefix": "x"}}, "prefix"),
    ({"path": "/x", "share": 101}, "100")])
def test_bad_routes(tmp_path, route, word):
    import json
    config = plain("http://127.0.0.1:9", routes=[route])
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(config))
    said = command("check", "-c", path)
    assert said.returncode == 2 and word in said.stdout + said.stderr, said


def test_names_in_other_alphabets(origin):
    """Written as people read them, asked for as the DNS has them."""
    config = plain(origin, host=["b\u00fccher.test", "*.m\u00fcnchen.test"])
    with Sallyport(config) as gateway:
        assert gateway.ask(host="xn--bcher-kva.test").status == 200
        assert gateway.ask(host="www.xn--mnchen-3ya.test").status == 200
        assert gateway.ask(host="bucher.test").status == 404


def test_names_that_are_none(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(plain("http://127.0.0.1:9", host="bu\u0308cher.test")))
    said = command("check", "-c", path)
    assert said.returncode == 2 and "may not stand in a name" in said.stdout + said.stderr
