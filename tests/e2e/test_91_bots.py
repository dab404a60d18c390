"""Bots: scores with their reasons, the challenge and every published way around one that we know of."""
import base64
import hashlib
import html
import re
import time
import urllib.parse

import pytest

from harness import Origin, Sallyport, command, eventually, merge, plain, response, says

PAGE = "/.sallyport/bots"
TRUSTED = {"trusted_proxies": ["127.0.0.0/8"], "workers": 2}
EVERYBODY = {"mode": "challenge", "threshold": {"challenge": 0}, "difficulty": 8, "exempt": ["/api/**"]}
HTML = [("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")]
HERE = [("X-Forwarded-For", "192.0.2.7")]
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def prove(seed, bits):
    for number in range(1 << 24):
        digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
        if int.from_bytes(digest[:4], "big") >> (32 - bits) == 0:
            return str(number)
    raise AssertionError("no proof")


class Question:
    """A challenge page as it came, taken apart."""

    def __init__(self, page):
        assert page.status in (403, 503), page.start
        self.page, self.text = page, page.body.decode()
        self.token = re.search(r'name="token" value="([A-Za-z0-9_.-]+)"', self.text)[1]
        self.seed = re.search(r'data-seed="([A-Za-z0-9_-]+)"', self.text)[1]
        self.bits = int(re.search(r'data-bits="(\d+)"', self.text)[1])

    def proof(self):
        return prove(self.seed, self.bits)


def question(gateway, path="/", fields=HERE, host="test"):
    return Question(gateway.ask(path=path, host=host, fields=[*HTML, *fields]))


def send_answer(gateway, token, proof, fields=HERE, host="test", more=()):
    body = urllib.parse.urlencode([("token", token), ("proof", proof), *more]).encode()
    return gateway.ask("POST", PAGE + "/answer", host=host, body=body,
                       fields=[("Content-Type", "application/x-www-form-urlencoded"), *fields])


def recorded(gateway, *words, **more):
    """An answer, and what the record says of it."""
    gateway.forget_records()
    page = gateway.ask(*words, **more)
    return page, gateway.new_records()[0]["sallyport"]


def cookie_of(page):
    return page.get("set-cookie").split(";")[0]


def cleared(gateway, path="/", fields=HERE, host="test"):
    asked = question(gateway, path, fields, host)
    page = send_answer(gateway, asked.token, asked.proof(), fields, host)
    assert page.status == 303, page.body
    return cookie_of(page)


def shown(gateway, cookie, path="/", fields=HERE, host="test"):
    return gateway.ask(path=path, host=host, fields=[*HTML, ("Cookie", cookie), *fields]).status


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        with Sallyport(plain(origin, TRUSTED, bots=EVERYBODY)) as gateway:
            gateway.origin = origin
            yield gateway


# ---- the way of somebody who is let in --------------------------------------------------------------


def test_who_proves_it_comes_to_where_he_wanted(gateway):
    path = "/shop/a%20b?x=%22%3Cscript%3E&y='"
    gateway.forget_records()
    asked = question(gateway, path)
    policy = asked.page.get("content-security-policy")
    assert "unsafe" not in policy and "default-src 'none'" in policy
    script = re.search(r"<script>(.*?)</script>", asked.text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    style = re.search(r"<style>(.*?)</style>", asked.text, re.S)[1]
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert asked.page.get("cache-control") == "no-store" and asked.text.count("<script") == 1
    identity = re.search(r"Request ([0-9a-f-]{36})", asked.text)[1]
    assert 'lang="en"' in asked.text and 'role="status"' in asked.text and "color-scheme:light dark" in style
    page = send_answer(gateway, asked.token, asked.proof())
    assert page.status == 303 and page.get("location") == path
    line = page.get("set-cookie")
    assert line.startswith("sallyport-clear4=") and "HttpOnly" in line and "SameSite=Lax" in line and "Max-Age=3600" in line
    page = gateway.ask(path=path, fields=[*HTML, *HERE, ("Cookie", "a=b; " + cookie_of(page) + "; c=d")])
    assert page.status == 200 and page.body == b"inside"
    assert gateway.origin.heads[-1].get("cookie") == "a=b; c=d"  # upstream cannot act as its visitors
    outcomes = {r["sallyport"]["bots"]["outcome"]: r for r in gateway.new_records(3)}
    assert set(outcomes) == {"challenge", "proved", "cleared"}
    assert outcomes["challenge"]["http"]["request"]["id"] == identity


def test_the_worker_has_a_script_of_its_own(gateway):
    page = gateway.ask(path=PAGE + "/worker.js", fields=HERE)
    assert page.status == 200 and page.get("content-type").startswith("text/javascript")
    assert page.get("content-security-policy") == "default-src 'none'"
    assert gateway.ask(path=PAGE + "/other", fields=HERE).status == 404
    assert gateway.ask(path=PAGE + "/answer", fields=HERE).status == 404


@pytest.mark.parametrize("method, path, fields", [
    ("GET", "/", [("Accept", "*/*"), ("User-Agent", "curl/8.5.0")]),
    ("GET", "/api/items", HTML),
    ("GET", "/api/items", [("User-Agent", "curl/8.5.0"), ("Accept", "*/*")]),
    ("GET", "/feed", [("Accept", "application/rss+xml, application/atom+xml")]),
    ("GET", "/style.css", [("Accept", "text/css,*/*;q=0.1"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "style"),
                           ("Sec-Fetch-Site", "same-origin")]),
    ("GET", "/font.woff2", [("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "font")]),
    ("GET", "/data", [*HTML, ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Site", "same-origin")]),
    ("GET", "/repository.git/info/refs?service=git-upload-pack", [("User-Agent", "git/2.39.5"), ("Accept", "*/*")]),
    ("HEAD", "/", HTML),
    ("POST", "/", HTML),
    ("OPTIONS", "/", [("Origin", "https://a.test"), ("Access-Control-Request-Method", "POST"), *HTML]),
    ("GET", "/", [("Accept", "text/html;q=0")]),
])
def test_what_can_answer_no_question_is_asked_none(gateway, method, path, fields):
    page = gateway.ask(method, path, fields=[*fields, *HERE], body=b"x" if method == "POST" else None)
    assert page.status == 200, page.body


def test_a_websocket_is_not_challenged(gateway):
    page = gateway.ask(path="/socket", fields=[*HTML, *HERE, ("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                               ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")])
    assert page.status == 200


# ---- published ways around a challenge ----------------------------------------------------------------


def test_the_client_does_not_choose_the_difficulty(gateway):
    """CVE-2025-24369: a proof of difficulty 0 was taken, since the client said that this was asked."""
    asked = question(gateway)
    body, mac = asked.token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert raw[1] == 8
    raw[1] = 0
    easy = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=") + "." + mac
    assert send_answer(gateway, easy, "0").status == 403
    wrong = next(str(n) for n in range(1000) if
                 hashlib.sha256(f"{asked.seed}:{n}".encode()).digest()[0] != 0)
    for more in ([], [("difficulty", "0")], [("bits", "0")], [("proof", asked.proof())]):
        page = send_answer(gateway, asked.token, wrong, more=more)
        assert page.status == 403 and page.get("set-cookie") is None
    for proof in ("", "-1", "0x0", "1" * 21, "９"):
        assert send_answer(gateway, asked.token, proof).status == 403
    assert send_answer(gateway, asked.token, asked.proof()).status == 303


@pytest.mark.parametrize("agent", ["Opera/9.80", "Foo/1.0", "", "Wget/1.21", "Mozilla/5.0", CHROME, "x" * 2000, "Googlebot/2.1"])
def test_another_user_agent_is_no_way_around(gateway, agent):
    """Rules that only `Mozilla` meets are met by nobody who does not want to."""
    question(gateway, fields=[("User-Agent", agent), *HERE])


def test_a_body_is_no_way_around(gateway):
    for body in (b"", b"x"):
        fields = [*HTML, *HERE, *([("Content-Length", "0")] if not body else [])]
        assert gateway.ask(path="/", fields=fields, body=body or None).status == 403


def test_an_answer_counts_once_on_any_worker(gateway):
    asked = question(gateway)
    proof = asked.proof()
    assert send_answer(gateway, asked.token, proof).status == 303
    gateway.forget_records()
    for _ in range(12):  # of two workers each takes some
        page = send_answer(gateway, asked.token, proof)
        assert page.status == 403 and page.get("set-cookie") is None
        assert b"used before" in page.body and b'href="/"' in page.body
    assert {r["sallyport"]["bots"]["outcome"] for r in gateway.new_records(12)} == {"replayed"}


def test_who_sends_it_twice_with_his_clearance_goes_on(gateway):
    asked = question(gateway, "/twice")
    proof = asked.proof()
    cookie = cookie_of(send_answer(gateway, asked.token, proof))
    page = send_answer(gateway, asked.token, proof, fields=[("Cookie", cookie), *HERE])
    assert page.status == 303 and page.get("location") == "/twice" and page.get("set-cookie") is None


def test_forged_and_moved_tokens_never_pass(gateway):
    asked = question(gateway)
    proof = asked.proof()
    body, mac = asked.token.split(".")
    for token in ("", ".", body, body + ".", "." + mac, mac + "." + body, asked.token + "A", "B" + asked.token[1:],
                  asked.token[:-1] + ("A" if asked.token[-1] != "A" else "B"), asked.token + "=", "x" * 1600, "\0"):
        page = send_answer(gateway, token, proof)
        assert page.status == 403 and page.get("set-cookie") is None, token
    assert send_answer(gateway, asked.token, proof, host="other").status == 403  # another host
    for address in ("192.0.3.7", "2001:db8::7", "::ffff:192.0.3.7"):  # another network
        assert send_answer(gateway, asked.token, proof, [("X-Forwarded-For", address)]).status == 403
    assert send_answer(gateway, asked.token, proof, [*HERE, ("X-Forwarded-Proto", "https")]).status == 403
    assert send_answer(gateway, asked.token, proof).status == 303


def test_a_clearance_is_good_for_its_host_and_network(gateway):
    cookie = cleared(gateway)
    name, value = cookie.split("=", 1)
    assert shown(gateway, cookie) == 200 and shown(gateway, cookie, "/elsewhere") == 200
    assert shown(gateway, cookie, fields=[("X-Forwarded-For", "192.0.2.99")]) == 200  # the same network
    assert shown(gateway, cookie, fields=[("X-Forwarded-For", "192.0.3.7")]) == 403
    assert shown(gateway, cookie, host="other") == 403
    assert shown(gateway, f"{cookie}; {cookie}") == 403  # whose is which?
    assert shown(gateway, f"__Host-{cookie}") == 403
    question_token = question(gateway).token
    for forged in ("", value[:-1] + ("A" if value[-1] != "A" else "B"), value + "A", "B" + value[1:], question_token,
                   value.swapcase()):
        assert shown(gateway, f"{name}={forged}") == 403, forged
    six = [("X-Forwarded-For", "2001:db8:1:2::3")]
    cookie = cleared(gateway, fields=six)
    assert cookie.startswith("sallyport-clear6=")
    assert shown(gateway, cookie, fields=[("X-Forwarded-For", "2001:db8:1:ffff::1")]) == 200
    assert shown(gateway, cookie, fields=[("X-Forwarded-For", "2001:db8:2:2::3")]) == 403


def test_both_families_keep_their_clearance(gateway):
    """Challenge loops: a browser that comes by IPv4 and IPv6 in turn took its own clearance away each time."""
    six = [("X-Forwarded-For", "2001:db8:1:2::3")]
    both = cleared(gateway) + "; " + cleared(gateway, fields=six)
    for _ in range(3):
        assert shown(gateway, both) == 200 and shown(gateway, both, fields=six) == 200


def test_every_step_takes_the_same_address_for_the_clients(gateway):
    """Challenge loops: where one step read X-Real-IP and another X-Forwarded-For, no answer ever fitted."""
    asked = question(gateway, fields=[*HERE, ("X-Real-IP", "203.0.113.1")])
    page = send_answer(gateway, asked.token, asked.proof(), [*HERE, ("X-Real-IP", "203.0.113.2")])
    assert page.status == 303
    assert shown(gateway, cookie_of(page), fields=[*HERE, ("X-Real-IP", "203.0.113.3")]) == 200


def test_many_tabs_at_once(gateway):
    """One cookie for the challenge itself, and each tab makes the others' answers wrong."""
    tabs = [question(gateway, f"/tab/{n}") for n in range(5)]
    for n, tab in reversed(list(enumerate(tabs))):
        page = send_answer(gateway, tab.token, tab.proof())
        assert page.status == 303 and page.get("location") == f"/tab/{n}"


@pytest.mark.parametrize("path", ["//evil.test/", "/%5Cevil.test", "/.//evil.test", "/%09/evil.test", "/x/..//evil.test/",
                                  "/a?next=https://evil.test"])
def test_nobody_is_sent_elsewhere(gateway, path):
    page = gateway.ask(path=path, fields=[*HTML, *HERE])
    if page.status == 400:
        return
    asked = Question(page)
    where = send_answer(gateway, asked.token, asked.proof(), more=[("to", "//evil.test"), ("redir", "https://evil.test")])
    where = where.get("location")
    assert re.match(r"/[^/\\]|/$", where) and "\t" not in where, where


def test_an_answer_may_not_be_longer_than_it_can_be(gateway):
    asked = question(gateway)
    assert send_answer(gateway, asked.token, asked.proof(), more=[("x", "y" * 5000)]).status == 413
    many = [(f"x{n}", "") for n in range(20)]
    assert send_answer(gateway, asked.token, asked.proof(), more=many).status == 403


def test_a_clearance_of_an_easy_route_is_none_for_a_hard_one():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, TRUSTED, bots=merge(EVERYBODY, {"no_js_wait": "1s"}), routes=[
            {"path": "/hard/**", "bots": {"difficulty": 11}},
            {"path": "/script/**", "bots": {"no_js": False}},
            {"path": "/strict/**", "bots": {"others": "deny"}},
            {"path": "/off/**", "bots": "off"},
            {"path": "/scored/**", "bots": "score"}])
        with Sallyport(config) as gateway:
            easy, hard = cleared(gateway), cleared(gateway, "/hard/x")
            assert shown(gateway, easy, "/hard/x") == 403 and shown(gateway, hard, "/hard/x") == 200
            assert shown(gateway, hard) == 200
            assert shown(gateway, "", "/off/x") == 200 and shown(gateway, "", "/scored/x") == 200
            # Routes of browsers only: what is no navigation needs the clearance, too.
            api = [("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), *HERE]
            page, record = recorded(gateway, path="/strict/data", fields=api)
            assert page.status == 403 and record["reason"] == "bot-uncleared"
            assert gateway.ask("POST", "/strict/data", fields=HERE, body=b"x").status == 403
            assert gateway.ask(path="/strict/data", fields=[*api, ("Cookie", easy)]).status == 200
            # Who has only waited has not run a script.
            asked = question(gateway)
            wait = html.unescape(re.search(r'http-equiv="refresh" content="1;url=([^"]+)"', asked.text)[1])
            early = gateway.ask(path=wait, fields=[*HTML, *HERE])
            if early.status == 403:
                assert b"refresh" in early.body and early.get("set-cookie") is None
            time.sleep(1.2)
            moved = gateway.ask(path=wait, fields=[*HTML, ("X-Forwarded-For", "198.51.100.1")])
            assert moved.status == 403 and moved.get("set-cookie") is None
            page = gateway.ask(path=wait, fields=[*HTML, *HERE]) if early.status == 403 else early
            assert page.status == 303 and page.get("location") == "/" and "Max-Age=900" in page.get("set-cookie")
            assert shown(gateway, cookie_of(page)) == 200 and shown(gateway, cookie_of(page), "/script/x") == 403
            assert gateway.ask(path=wait, fields=[*HTML, *HERE]).status == 403  # once
            asked = question(gateway, "/script/x")
            assert "refresh" not in asked.text and "needs one" in asked.text
            forbidden = gateway.ask(path=f"{PAGE}/wait?token={asked.token}", fields=[*HTML, *HERE])
            assert forbidden.status == 403 and forbidden.get("set-cookie") is None
            # Who came back from here without a clearance is not sent round by itself.
            again = gateway.ask(path="/loop", fields=[*HTML, *HERE, ("Referer", "http://test/loop")])
            assert "refresh" not in again.body.decode() and "cookie" in again.body.decode()


# ---- scores -----------------------------------------------------------------------------------------


def test_reasons_stand_in_the_record_and_rules_can_ask():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, TRUSTED, bots={"mode": "block", "threshold": {"challenge": 90, "block": 95},
                                                        "weights": {"agent-tool": 33, "fields-missing": 0}},
                       limits=[{"rate": "3/h", "per": "client.ip", "when": "bot.score == 33"}],
                       waf={"mode": "block", "ruleset": "none",
                            "rules": [{"name": "tools", "when": "bot.score == 33", "do": "block"}]})
        with Sallyport(config) as gateway:
            page, record = recorded(gateway, fields=[("User-Agent", "curl/8"), *HERE])
            assert page.status == 403 and record["reason"] == "rule"
            assert record["bots"] == {"score": 33, "reasons": [{"reason": "agent-tool", "weight": 33}], "outcome": "pass"}
            asked = [gateway.ask(fields=[("User-Agent", "curl/8"), *HERE]).status for _ in range(3)]
            assert asked == [403, 403, 429]  # by a limit, which asks, too
            fields = [("User-Agent", CHROME), ("Accept-Encoding", "br"), ("Accept", "text/html"), *HERE]
            page, record = recorded(gateway, fields=fields)
            assert page.status == 200 and record["bots"]["score"] == 0  # behind a proxy, without TLS: nothing to hold
            fields = [("User-Agent", "HeadlessChrome"), ("Sec-Fetch-Mode", "sideways"), *HERE]
            page, record = recorded(gateway, fields=fields)
            assert page.status == 403 and record["reason"] == "bot-score"
            assert [r["reason"] for r in record["bots"]["reasons"]] == ["agent-headless", "fetch-odd"]


def test_what_only_watches_challenges_nobody():
    with Origin(says(response(200, b"inside"))) as origin:
        with Sallyport(plain(origin, TRUSTED, mode="detect", bots=EVERYBODY)) as gateway:
            fields = [*HTML, ("User-Agent", "Reader"), *HERE]
            assert all(gateway.ask(fields=fields).status == 200 for _ in range(11))
            page, record = recorded(gateway, fields=fields)
            assert page.status == 200 and record["action"] == "detect" and record["reason"] == "bot-challenge"
            assert record["bots"] == {"score": 0, "reasons": [], "outcome": "challenge"}  # nobody failed to answer


def test_honeypots_feed_scores_and_bans():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, TRUSTED, bots={"mode": "block", "honeypots": ["/trap/**"], "threshold": {"block": 60}},
                       bans={"after": "2 blocks/10m", "for": "1h"}, routes=[{"path": "/score/**", "bots": "score"}])
        with Sallyport(config) as gateway:
            def ask(path, address):
                page, record = recorded(gateway, path=path, fields=[("X-Forwarded-For", address)])
                return page.status, record.get("reason")
            assert ask("/", "192.0.2.1") == (200, None)
            assert ask("/trap/x", "192.0.2.1") == (403, "bot-honeypot")
            assert ask("/", "192.0.2.1") == (403, "bot-score")
            eventually(lambda: ask("/", "192.0.2.1") == (403, "banned"), what="the ban")
            assert ask("/", "192.0.2.2") == (200, None)
            assert ask("/score/x", "192.0.2.2") == (200, None)


def test_ip_why_tells_what_was_seen():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, TRUSTED, bots={"mode": "challenge", "honeypots": ["/private/**"]}, bans={"after": "9 blocks/10m", "for": "1h"})
        with Sallyport(config) as gateway:
            for path, code in (("/private/x", 403), ("/", 200)):
                assert gateway.ask(path=path, fields=[("User-Agent", "curl/8"), *HERE]).status == code
            eventually(lambda: len(gateway.records()) == 2)
            assert command("ban", "add", HERE[0][1], "--for", "1h", "--reason", "ticket 7", "--control", gateway.control).returncode == 0
            told = command("ip", "why", HERE[0][1], "-c", gateway.config_path, cwd=gateway.folder).stdout
            bots, bans = (next(line for line in told.splitlines() if line.startswith(word)) for word in ("bots", "bans"))
            assert "score 80 of 100 (last: agent-tool 20, honeypot 60)" in bots and bots.endswith("in a honeypot lately")
            assert f"banned: {HERE[0][1]}, by operator, ticket 7, since 20" in bans and ", until 20" in bans
            assert "honeypot at " in told and not [line for line in told.splitlines() if line.endswith(" ")]


def test_pages_that_are_not_there():
    with Origin(says(response(404, b"no"))) as origin:
        with Sallyport(plain(origin, TRUSTED, bots="score")) as gateway:
            def reasons():
                _, record = recorded(gateway, path="/nothing", fields=[("User-Agent", "x"), *HERE])
                return [r["reason"] for r in record["bots"].get("reasons", ())]
            assert reasons() == []
            for _ in range(20):
                gateway.ask(path="/nothing", fields=[("User-Agent", "x"), *HERE])
            eventually(lambda: reasons() == ["not-found"], what="twenty of them")


def test_a_route_under_attack_challenges_everybody_and_stops():
    with Origin(says(response(200, b"inside"))) as origin:
        attack = {"mode": "auto", "suspicious": "2/s", "hold": "3s", "learn": False}
        config = plain(origin, TRUSTED, bots={"mode": "challenge", "difficulty": 8, "attack": attack},
                       routes=[{"path": "/other/**", "bots": {"difficulty": 9}}])
        with Sallyport(config) as gateway:
            good = [*HTML, ("User-Agent", "Reader"), *HERE]
            bad = [("User-Agent", "HeadlessChrome"), ("Accept", "*/*"), ("X-Forwarded-For", "198.51.100.9")]
            assert gateway.ask(fields=good).status == 200
            with gateway.client() as client:
                for _ in range(25):
                    client.ask("GET", "/", "test", bad)
            asked = question(gateway, fields=good[1:])
            assert gateway.ask(path="/other/x", fields=good).status == 200  # another route
            page = send_answer(gateway, asked.token, asked.proof(), fields=good[1:])
            assert gateway.ask(fields=[*good, ("Cookie", cookie_of(page))]).status == 200
            records = eventually(lambda: [r for r in gateway.records() if r["sallyport"].get("reason") == "bot-challenge"])
            told = records[0]["sallyport"]["bots"]
            assert told["attack"] is True and told["outcome"] == "challenge" and told["score"] == 0
            eventually(lambda: gateway.ask(path="/later", fields=good).status == 200, 40, "the end of it")


def test_who_is_signed_in_is_spared_where_it_says_so():
    from test_65_login import PAGE as LOGIN, Browser, add_user
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, TRUSTED, login="users.db", bots=merge(EVERYBODY, {"signed_in": True}),
                       routes=[{"path": "/all/**", "bots": {"signed_in": False}}])
        with Sallyport(config) as gateway:
            add_user(gateway, "ann")
            browser = Browser(gateway)
            assert browser.get("/").status == 403  # a challenge first, whoever it is
            browser.get(LOGIN)  # pages of the gateway's own are open to all
            browser.follow()
            eventually(lambda: browser.submit(user="ann", password="correct horse battery").status == 303,
                       what="the user at all workers")
            assert browser.get("/").status == 200
            assert browser.get("/all/x").status == 403
            browser.cookies["__Host-sallyport"] = "A" * 86
            assert browser.get("/").status == 403


def test_explain_tells_the_score():
    from harness import command
    with Origin(says(response(200, b"inside"))) as origin:
        with Sallyport(plain(origin, bots="block")) as gateway:
            done = command("explain", "curl -A HeadlessChrome -H 'Accept: text/html' http://test/", "-c", gateway.config_path)
            assert "score 60 of 100: agent-headless 60" in done.stdout, done.stdout
            assert "raise `bots.threshold.challenge`" in done.stdout and done.returncode == 3
