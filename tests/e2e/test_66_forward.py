"""Another server says who may pass; the published mistakes of others with such servers, each as a case."""
import concurrent.futures
import time

import pytest
from harness import Origin, Sallyport, eventually, plain, response, says
from idp import Idp


class Decider:
    """The server that is asked: what it was told stays in `heads`."""

    def __init__(self):
        self.server = Idp()
        self.heads = []
        self.answer = None
        self.server.broken["/verify"] = self.serve
        self.url = self.server.issuer + "/verify"

    def serve(self, handler):
        self.heads.append((handler.command, handler.path, handler.headers, handler.body))
        if self.answer is None:
            handler.say(200, b"", X_User="ann", X_Groups="staff, ops")
        else:
            self.answer(handler)

    def forget(self):
        self.heads.clear()
        self.answer = None


@pytest.fixture(scope="module")
def asked():
    server = Decider()
    yield server
    server.server.stop()


@pytest.fixture(scope="module")
def gateway(asked):
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, forward_auth={"url": asked.url, "pass": ["X-User", "X-Groups"], "user": "X-User",
                                             "groups": "X-Groups", "cookies": True, "deadline": "20s",
                                             "timeout": "10s", "body_limit": "4KiB"})
        config["sites"][0]["routes"] = [
            {"path": "/ops/**", "policy": [{"groups": ["ops"]}]},
            {"path": "/root/**", "policy": [{"groups": ["root"]}]},
            {"path": "/open/**", "forward_auth": "off"},
        ]
        with Sallyport(config) as running:
            running.origin, running.asked = origin, asked
            yield running


@pytest.fixture(autouse=True)
def fresh(asked, gateway):
    asked.forget()
    gateway.origin.forget()


def refused(gateway, **more):
    """Not let through: nothing reached the application."""
    answer = gateway.ask(**more)
    assert gateway.origin.count == 0
    return answer


def test_what_it_is_told(gateway, asked):
    answer = gateway.ask("POST", "/a/../b%41?q=/x#y".split("#")[0], host="TEST.:80", body=b"secret body",
                         fields=[("Cookie", "s=1"), ("Authorization", "Basic eDp5"), ("X-Other", "1")])
    assert answer.status == 200
    method, path, head, body = asked.heads[0]
    assert method == "GET" and path == "/verify" and body == b""
    assert head["X-Forwarded-Method"] == "POST"
    assert head["X-Forwarded-Uri"] == "/bA?q=/x"  # as the application gets it, not as it was spelled
    assert head["X-Forwarded-Host"] == "test:80" and head["X-Forwarded-Proto"] == "http"
    assert head["X-Forwarded-For"] == "127.0.0.1"
    assert head["Cookie"] == "s=1" and head["Authorization"] == "Basic eDp5"
    assert head["X-Other"] is None and head["Content-Length"] is None
    seen = gateway.origin.heads[-1]
    assert seen.get("x-user") == "ann" and seen.get("x-groups") == "staff, ops"


SPOOFS = [
    [("X-User", "root")], [("x-user", "root")], [("X_User", "root")], [("X.User", "root")],
    [("X-User", "root"), ("X-User", "admin")], [("x_GROUPS", "root")],
]


@pytest.mark.parametrize("fields", SPOOFS, ids=lambda f: f[0][0] + str(len(f)))
def test_no_client_lends_a_field_to_itself(gateway, asked, fields):
    """oauth2-proxy CVE-2025-64484, Traefik CVE-2026-39858: other spellings of one name."""
    for way in (None, lambda h: h.say(200, b"")):  # also where the server says nothing of the user
        asked.answer = way
        assert gateway.ask(fields=fields).status == 200
        head = gateway.origin.heads[-1]
        for name in ("x_user", "x.user", "x_groups"):
            assert head.get(name) is None
        assert head.get("x-user") == ("ann" if way is None else None)
        assert head.get("x-groups") == ("staff, ops" if way is None else None)
    assert gateway.ask(path="/open/x", fields=fields).status == 200  # nor where nobody is asked
    assert gateway.origin.heads[-1].get("x-user") is None


@pytest.mark.parametrize("name", ["X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host", "X-Forwarded-Proto",
                                  "X-Forwarded-For", "X-Forwarded-Prefix", "X_Forwarded_Uri", "Forwarded",
                                  "X-Original-URL", "X-Rewrite-URL"])
def test_a_client_says_nothing_of_the_request(gateway, asked, name):
    """Traefik CVE-2026-35051, oauth2-proxy CVE-2026-40575: believed X-Forwarded-* of the client."""
    assert gateway.ask(path="/private", fields=[(name, "/open/health")]).status == 200
    head = asked.heads[0][2]
    assert head["X-Forwarded-Uri"] == "/private" and head["X-Forwarded-Method"] == "GET"
    assert "/open/health" not in str(head)


@pytest.mark.parametrize("listed", ["X-Forwarded-Uri", "X-Forwarded-Method", "X-User", "Cookie"])
def test_connection_takes_nothing_away(gateway, asked, listed):
    """Traefik CVE-2024-45410: `Connection: X-Forwarded-Host` removed what the proxy had written."""
    answer = gateway.ask(path="/private", fields=[("Connection", listed)])
    if answer.status == 200:
        head = asked.heads[0][2]
        assert head["X-Forwarded-Uri"] == "/private" and head["X-Forwarded-Method"] == "GET"
        assert gateway.origin.heads[-1].get("x-user") == "ann"
    else:
        assert answer.status == 400 and gateway.origin.count == 0


def test_the_servers_connection_takes_its_own_field_away_and_no_other(gateway, asked):
    asked.answer = lambda h: h.say(200, b"", X_User="ann", Connection="X-User")
    answer = gateway.ask(fields=[("X-User", "root")])
    assert answer.status in (200, 503)
    if answer.status == 200:
        assert gateway.origin.heads[-1].get("x-user") is None


@pytest.mark.parametrize("path", ["/ops//../ops/x", "/ops/%2e%2e/ops/x", "//ops/x"])
def test_one_path_for_the_server_the_policy_and_the_application(gateway, asked, path):
    """Pomerium CVE-2023-33189: who decides and who serves read the request in two ways."""
    assert gateway.ask(path=path).status == 200
    assert asked.heads[0][2]["X-Forwarded-Uri"] == "/ops/x"


@pytest.mark.parametrize("target", ["/private%", "/private%zz", "/a\\..\\b", "/x%00y", "/..%2f..%2fetc", "/a b"])
def test_a_target_with_two_readings_reaches_nobody(gateway, asked, target):
    """Authelia CVE-2021-32637: a malformed target was answered with 200."""
    with gateway.client() as client:
        assert client.send(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").answer().status == 400
    assert not asked.heads and gateway.origin.count == 0


def test_the_query_is_no_path(gateway, asked):
    """oauth2-proxy CVE-2025-54576: a rule for a path matched in the query."""
    asked.answer = lambda h: h.say(403)
    assert refused(gateway, path="/private?/open/health").status == 403


def test_refusals_go_to_the_client(gateway, asked):
    asked.answer = lambda h: h.say(403, b"not you", "text/plain", Set_Cookie="a=b; Path=/")
    answer = refused(gateway)
    assert answer.status == 403 and answer.body == b"not you" and answer.get("set-cookie") == "a=b; Path=/"
    asked.answer = lambda h: h.say(401, b"", WWW_Authenticate='Basic realm="theirs"')
    answer = refused(gateway)
    assert answer.status == 401 and answer.get("www-authenticate") == 'Basic realm="theirs"'
    asked.answer = lambda h: h.say(302, b"", Location="https://login.test/?rd=x", X_User="root")
    answer = refused(gateway)
    assert answer.status == 302 and answer.get("location") == "https://login.test/?rd=x"
    assert answer.get("x-user") is None and answer.get("cache-control") == "no-store"


def late(handler):
    time.sleep(2)
    handler.say(200)


def cut(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    handler.wfile.flush()
    handler.close_connection = True


def garbage(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-User: root\nX-Admin: 1\r\n\r\n")
    handler.close_connection = True


def two_users(handler):
    handler.send_response(200)
    for value in ("ann", "root"):
        handler.send_header("X-User", value)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


UNDECIDED = {
    "status": lambda h: h.say(500), "moved": lambda h: h.say(301, Location="/"), "not-found": lambda h: h.say(404),
    "redirect-to-nowhere": lambda h: h.say(302), "too-many": lambda h: h.say(429),
    "too-large": lambda h: h.say(200, b"x" * 5000), "cut": cut, "garbage": garbage, "two-users": two_users,
    "control": lambda h: h.say(200, b"", X_User="a\x01b"), "coded": lambda h: h.say(200, b"x", Content_Encoding="gzip"),
    "groups": lambda h: h.say(200, b"", X_User="ann", X_Groups=",".join(f"g{i}" for i in range(100))),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_who_cannot_decide_lets_nobody_through(gateway, asked, name):
    asked.answer = UNDECIDED[name]
    gateway.forget_records()
    answer = refused(gateway, fields=[("X-User", "root")])
    assert answer.status == 503
    record = gateway.new_records(1)[0]
    assert record["sallyport"]["reason"] == "auth-provider"
    assert record["sallyport"]["detail"].startswith("forward-")


def test_a_server_that_is_late_or_away(asked):
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, forward_auth={"url": asked.url, "timeout": "300ms", "deadline": "20s"})
        with Sallyport(config) as gateway:
            asked.answer = late
            assert gateway.ask().status == 503 and origin.count == 0
            asked.answer = None
            assert gateway.ask().status == 200
        down = Idp()
        down.stop()
        config["sites"][0]["forward_auth"]["url"] = down.issuer + "/verify"
        with Sallyport(config) as gateway:
            assert gateway.ask().status == 503
        config["sites"][0]["forward_auth"]["on_error"] = "pass"
        with Sallyport(config) as gateway:
            gateway.forget_records()
            assert gateway.ask(fields=[("X-User", "root")]).status == 200  # asked for, and on record
            assert gateway.new_records(1)[0]["sallyport"]["stages"]


def test_users_groups_and_cookies(gateway, asked):
    assert gateway.ask(path="/ops/x").status == 200
    assert refused_now(gateway, "/root/x") == 403
    gateway.forget_records()
    asked.answer = lambda h: h.say(200, b"", X_User="bob", Set_Cookie="refreshed=1; Path=/")
    answer = gateway.ask()
    assert answer.status == 200 and answer.get("set-cookie") == "refreshed=1; Path=/"
    record = gateway.new_records(1)[0]
    assert record["user"]["name"] == "bob" and record["sallyport"]["auth"] == "forward_auth"
    asked.answer = lambda h: h.say(200, b"", X_User="bob", Set_Cookie="__Host-sallyport=x; Path=/; Secure")
    assert gateway.ask().get("set-cookie") is None  # nobody is put into a session of ours
    asked.answer = None
    asked.heads.clear()
    assert gateway.ask(fields=[("Cookie", "__Host-sallyport=secret; s=1")]).status == 200
    assert asked.heads[0][2]["Cookie"] == "s=1"


def refused_now(gateway, path):
    gateway.origin.forget()
    status = gateway.ask(path=path).status
    assert gateway.origin.count == 0
    return status


def test_connections_are_kept_and_many_ask_at_once(gateway, asked):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda i: gateway.ask(path=f"/{i}").status, range(80))) == [200] * 80
    assert len(asked.heads) == 80
    assert {head[2]["Connection"] for head in asked.heads} == {None}


def test_a_client_that_leaves_while_it_is_asked(gateway, asked):
    asked.answer = late
    for _ in range(8):
        client = gateway.client()
        client.send("GET /gone HTTP/1.1\r\nHost: test\r\n\r\n")
        client.close()
    eventually(lambda: len(asked.heads) >= 1, what="a question")
    asked.answer = None
    assert gateway.ask().status == 200


def test_configuration(asked, tmp_path):
    from harness import command
    import json
    for row, text in [({"url": asked.url, "pass": ["Host"]}, "field of its own"),
                      ({"url": asked.url, "pass": ["X-User", "x_user"]}, "twice"),
                      ({"url": asked.url, "send": ["X-Forwarded-For"]}, "send cannot have"),
                      ({"url": asked.url, "send": ["x_forwarded.uri"]}, "send cannot have"),
                      ({"url": asked.url, "send": ["Transfer-Encoding"]}, "send cannot have"),
                      ({"url": asked.url, "groups": "X-G"}, "`user` names the field"),
                      ({"url": asked.url, "send": [f"X-{i}" for i in range(13)]}, "12")]:
        file = tmp_path / "c.yaml"
        file.write_text(json.dumps(plain("http://127.0.0.1:9", forward_auth=row)))
        done = command("check", "-c", file)
        assert done.returncode == 2 and text in done.stdout + done.stderr, (row, done.stdout + done.stderr)
