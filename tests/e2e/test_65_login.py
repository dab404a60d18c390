"""Local users who sign in by a form: the whole way with a small browser of our own, and the tricks that have fooled
others."""
import base64
import hashlib
import hmac
import html
import http.cookies
import json
import os
import re
import signal
import struct
import threading
import time
import urllib.parse

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says

PASSWORD = "correct horse battery"
PAGE = "/.sallyport/login"
SESSION, SIGNIN, KNOWN = "__Host-sallyport", "__Host-sallyport-signin", "__Host-sallyport-known"


def totp(secret, step):
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06d}"


def fresh_step():
    """A step that does not end within the next seconds."""
    now = time.time()
    if now % 30 > 20:
        time.sleep(30.1 - now % 30)
    return int(time.time()) // 30


class Browser:
    """Keeps cookies as RFC 6265bis has it, follows no redirect by itself, fills in forms."""

    def __init__(self, gateway, **fields):
        self.gateway, self.cookies, self.fields = gateway, {}, fields
        self.page, self.url = None, None

    def send(self, method, path, body=None, fields=()):
        sent = [("Accept", "text/html"), *fields]
        if self.cookies:
            sent.append(("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items())))
        if body is not None:
            sent.append(("Content-Type", "application/x-www-form-urlencoded"))
        self.page = self.gateway.ask(method, path, fields=sent, body=None if body is None else body.encode())
        for line in self.page.all("set-cookie"):
            self.keep(line)
        self.url = path
        return self.page

    def keep(self, line):
        pair, *attributes = line.split("; ")
        name, value = pair.split("=", 1)
        names = [a.lower() for a in attributes]
        assert "secure" in names and "httponly" in names and "path=/" in names and "samesite=lax" in names
        assert name.startswith("__Host-") and not any(a.startswith("domain") for a in names)
        if "max-age=0" in names:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def follow(self):
        assert self.page.status in (302, 303), self.page.start
        return self.get(self.page.get("location"))

    def form(self):
        text = self.page.body.decode()
        action = re.search(r'<form method="post" action="([^"]*)"', text)[1]
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
        return html.unescape(action), hidden

    def submit(self, fields=(), **values):
        action, hidden = self.form()
        return self.send("POST", action, urllib.parse.urlencode({**hidden, **values}), fields)

    def sign_in(self, user="ann", password=PASSWORD, path="/"):
        self.get(path)
        self.follow()
        return self.submit(user=user, password=password)


def users(gateway, *words, password=None):
    return command("users", *words, "-c", gateway.config_path, cwd=gateway.folder,
                   input=password + "\n" if password else "")


def add_user(gateway, name, *words, password=PASSWORD):
    done = users(gateway, "add", name, *words, password=password)
    assert done.returncode == 0, done.stderr


def enrol(gateway, name):
    done = users(gateway, "totp", name, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"workers": 2}, login={"users": "users.db", "pass": "X-User", "brand": "Boards"},
                       routes=[{"path": "/ops/**", "login": {"groups": ["ops"]}},
                               {"path": "/open/**", "login": {"mode": "off"}}])
        with Sallyport(config) as running:
            running.origin = origin
            add_user(running, "ann", "--groups", "staff")
            add_user(running, "olga", "--groups", "staff,ops")
            eventually(lambda: Browser(running).sign_in().status == 303, what="the users at all workers")
            yield running


def test_a_browser_comes_to_where_it_wanted(gateway):
    browser = Browser(gateway)
    page = browser.get("/boards?id=7&x=%20y")
    assert page.status == 302 and page.get("location").startswith(PAGE + "?flow=")
    assert "boards" not in page.get("location")  # the target stays here
    page = browser.follow()
    assert page.status == 200 and b"<form" in page.body and b"Boards" in page.body
    page = browser.submit(user=" Ann ", password=PASSWORD)
    assert page.status == 303 and page.get("location") == "/boards?id=7&x=%20y"
    page = browser.follow()
    assert page.status == 200 and page.body == b"inside"
    seen = gateway.origin.heads[-1]
    assert seen.get("x-user") == "ann" and "sallyport" not in (seen.get("cookie") or "")


def test_the_page_is_strict_and_plain(gateway):
    browser = Browser(gateway)
    browser.get("/")
    page = browser.follow()
    text = page.body.decode()
    policy = page.get("content-security-policy")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
                      "frame-ancestors 'none'")
    assert "<script" not in text and "http:" not in text and "https:" not in text and "style=" not in text
    assert '<html lang="en">' in text and "prefers-color-scheme:dark" in text
    for name in ("user", "password"):
        assert f'<label for="{name}">' in text and f'id="{name}"' in text
    assert 'autocomplete="current-password"' in text and page.get("cache-control") == "no-store"


def test_programs_are_told_401(gateway):
    assert gateway.ask(fields=[("Accept", "application/json")]).status == 401
    assert gateway.ask("POST", fields=[("Accept", "text/html")], body=b"x").status == 401
    page = gateway.ask(fields=[("Accept", "text/html"), ("Sec-Fetch-Mode", "cors")])
    assert page.status == 401 and page.get("www-authenticate") == "Session"


def test_wrong_is_one_answer(gateway):
    answers = []
    for user, password in (("ann", "wrong password"), ("nobody", PASSWORD), ("ann b", PASSWORD), ("", ""),
                           ("ann", "x" * 600), ("x" * 300, PASSWORD)):
        browser = Browser(gateway)
        page = browser.sign_in(user, password)
        assert page.status == 401, (user, page.start)
        assert SESSION not in browser.cookies
        text = re.sub(rb'value="[^"]*"|Request [0-9a-f-]+', b"", page.body)
        answers.append((text, sorted(n for n in page.names() if n != "date")))
    assert all(answer == answers[0] for answer in answers)
    assert b"The name or password is not right." in answers[0][0]


def test_lent_field_is_ours(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    browser.get("/", fields=[("X-User", "root"), ("X_User", "root")])
    assert gateway.origin.heads[-1].all("x-user") == ["ann"] and gateway.origin.heads[-1].all("x_user") == []


def test_upstream_never_sees_nor_sets_our_cookies(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    browser.cookies["theirs"] = "1"
    browser.get("/open/x")  # a route without login
    seen = gateway.origin.heads[-1]
    assert seen.get("cookie") == "theirs=1"


def test_signed_in_but_in_no_group(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    page = browser.get("/ops/x")
    assert page.status == 403
    text = page.body.decode()
    assert "<strong>ann</strong>, but not in <strong>ops</strong>" in text and "Sign out" in text
    page = browser.submit()
    assert page.status == 200 and SESSION not in browser.cookies
    assert browser.get("/").status == 302
    other = Browser(gateway)
    other.sign_in("olga", path="/ops/x")
    assert other.follow().body == b"inside"


def test_signing_out_ends_the_session_here(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    kept = dict(browser.cookies)
    assert browser.get(PAGE).status == 200 and b"signed in as <strong>ann" in browser.page.body
    browser.get(PAGE + "/out")
    assert browser.submit().status == 200
    browser.cookies = kept  # a stolen copy
    assert browser.get("/").status == 302


def test_no_other_site_signs_in_or_out(gateway):
    victim, attacker = Browser(gateway), Browser(gateway)
    victim.sign_in()
    kept = dict(victim.cookies)
    # Out: without the token, with one of another browser's session.
    attacker.sign_in("olga")
    attacker.get(PAGE)
    _, theirs = attacker.form()
    for body in ("", urllib.parse.urlencode(theirs), "token=" + "0" * 32):
        assert victim.send("POST", PAGE + "/out", body).status == 403
        assert victim.get("/").status == 200
    assert victim.get(PAGE + "/out").status == 200 and victim.get("/").status == 200  # a GET ends nothing
    # In: the attacker's own form, his own state, sent by the victim's browser.
    attacker = Browser(gateway)
    attacker.get("/")
    attacker.follow()
    _, theirs = attacker.form()
    body = urllib.parse.urlencode({**theirs, "user": "olga", "password": PASSWORD})
    assert victim.send("POST", PAGE, body).status == 403 and victim.cookies == kept
    fresh = Browser(gateway)
    assert fresh.send("POST", PAGE, body).status == 403 and SESSION not in fresh.cookies
    # The right form, but from another site, or as another type.
    for site in ("cross-site", "same-site"):
        browser = Browser(gateway)
        browser.get("/")
        browser.follow()
        assert browser.submit(user="ann", password=PASSWORD, fields=[("Sec-Fetch-Site", site)]).status == 403
    browser = Browser(gateway)
    browser.get("/")
    browser.follow()
    _, mine = browser.form()
    sent = [("Content-Type", "text/plain"), ("Cookie", f"{SIGNIN}={browser.cookies[SIGNIN]}")]
    body = urllib.parse.urlencode({**mine, "user": "ann", "password": PASSWORD})
    assert gateway.ask("POST", PAGE, fields=sent, body=body.encode()).status == 403


def test_a_form_is_good_once(gateway):
    browser = Browser(gateway)
    browser.get("/")
    browser.follow()
    action, hidden = browser.form()
    body = urllib.parse.urlencode({**hidden, "user": "ann", "password": PASSWORD})
    first = Browser(gateway)
    first.cookies = dict(browser.cookies)
    assert first.send("POST", action, body).status == 303
    assert browser.send("POST", action, body).status == 403


def test_two_of_a_field_are_refused(gateway):
    browser = Browser(gateway)
    browser.get("/")
    browser.follow()
    _, hidden = browser.form()
    body = urllib.parse.urlencode([*hidden.items(), ("user", "ann"), ("user", "olga"), ("password", PASSWORD)])
    assert browser.send("POST", PAGE, body).status == 403
    body = urllib.parse.urlencode({**hidden, "user": "ann", "password": "x" * 9000})
    assert browser.send("POST", PAGE, body).status == 413


def test_an_id_is_new_at_each_sign_in(gateway):
    """Fixation: neither an id from before nor one that somebody chose becomes a session."""
    browser = Browser(gateway)
    browser.cookies[SESSION] = "A" * 86
    browser.sign_in()
    first = browser.cookies[SESSION]
    assert first != "A" * 86
    browser.get(PAGE)
    browser.get(PAGE + "?flow=" + "A" * 86)
    assert browser.page.status == 403
    again = Browser(gateway)
    again.cookies = {SESSION: first}
    again.get("/boards")
    assert again.page.status == 200
    other = Browser(gateway)
    other.get("/")
    flow = other.page.get("location")
    other.cookies[SESSION] = first
    other.get(flow)
    other.submit(user="olga", password=PASSWORD)
    assert other.page.status == 303 and other.cookies[SESSION] != first
    again.cookies = {SESSION: first}
    assert again.get("/").status == 302  # the old one ended with the new sign-in


def test_cookie_tricks(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    value = browser.cookies[SESSION]
    good = f"{SESSION}={value}"
    for cookie in (f"{good}; {good}", f"{SESSION}=x; {good}", f"{good}; {SESSION}=", f'a="; {SESSION}=x; b="; {good}',
                   f"$Version=1; {SESSION}=\"{value}\"", f"__host-sallyport={value}", f"={good}",
                   f"__Secure-sallyport={value}", f"sallyport={value}", f"{SESSION}%20={value}", f"{good}A",
                   f"{SESSION}={value[:-1]}", f"{SESSION}={value.lower()}", f"{SESSION}={value[43:]}{value[:43]}"):
        page = gateway.ask(fields=[("Accept", "text/html"), ("Cookie", cookie)])
        assert page.status == 302, cookie
    page = gateway.ask(fields=[("Accept", "text/html"), ("Cookie", "a=1"), ("Cookie", good)])
    assert page.status == 200


def test_where_to_return_to_is_this_site(gateway):
    for path in ("//evil.example/a", "/%5cevil.example", "/\\evil.example", "/%09/evil.example", "/.//evil.example",
                 "/..//evil.example", "///evil.example", "/%2f/evil.example"):
        browser = Browser(gateway)
        page = browser.get(path)
        if page.status != 302:
            assert page.status in (400, 404), (path, page.start)
            continue
        browser.follow()
        browser.submit(user="olga", password=PASSWORD)
        where = browser.page.get("location")
        assert re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", where), (path, where)
        parts = urllib.parse.urlsplit(urllib.parse.urljoin("https://test/", where))
        assert parts.netloc == "test"
    browser = Browser(gateway)
    browser.get(PAGE + "?return=https://evil.example&rd=//evil.example&next=/x")
    browser.follow()
    browser.submit(user="olga", password=PASSWORD)
    assert browser.page.get("location") == "/"


def test_several_tabs(gateway):
    browser = Browser(gateway)
    one = browser.get("/one").get("location")
    two = browser.get("/two").get("location")
    browser.get(one)
    assert browser.submit(user="ann", password=PASSWORD).get("location") == "/one"
    browser.get(two)
    assert browser.submit(user="ann", password=PASSWORD).get("location") == "/two"


def test_without_cookies_there_is_no_loop(gateway):
    page = Browser(gateway).get("/")
    bare = Browser(gateway).get(page.get("location"))
    assert bare.status == 403 and b"cookies" in bare.body


def test_second_factor(gateway):
    add_user(gateway, "tom")
    told = enrol(gateway, "tom")
    assert len(told["recovery"]) == 10 and "otpauth://totp/" in told["uri"]
    step = fresh_step()

    def to_second():
        browser = Browser(gateway)
        browser.get("/x")
        browser.follow()
        browser.submit(user="tom", password=PASSWORD)
        assert browser.page.status == 303, browser.page.start
        assert SESSION not in browser.cookies
        browser.follow()
        return browser

    browser = eventually(to_second)
    assert b"autocomplete=\"one-time-code\"" in browser.page.body
    assert browser.get("/").status == 302  # half-way is nowhere
    browser = to_second()
    flow = browser.url
    assert browser.submit(code="000000" if totp(told["secret"], step) != "000000" else "000001").status == 401
    assert browser.submit(code=totp(told["secret"], step)).get("location") == "/x"
    assert browser.follow().body == b"inside"
    browser.get(flow)
    assert browser.page.status == 403  # used
    # The same code again, in a new sign-in: read over the shoulder.
    again = to_second()
    assert again.submit(code=totp(told["secret"], step)).status == 401
    assert again.submit(code=totp(told["secret"], step - 1)).status == 401
    # A recovery code once, in any spelling.
    code = told["recovery"][3]
    assert again.submit(code=code.upper().replace("-", " ")).status == 303
    assert to_second().submit(code=code).status == 401
    assert to_second().submit(code=told["recovery"][4]).status == 303


def test_second_factors_are_counted_over_restarted_flows(gateway):
    add_user(gateway, "tina")
    enrol(gateway, "tina")
    tried = []

    def attempt():
        browser = Browser(gateway)
        browser.sign_in("tina")
        if browser.page.status != 303:
            return None
        browser.follow()
        return browser.submit(code="12345x").status

    eventually(lambda: attempt() == 401)
    for _ in range(15):
        tried.append(attempt())
        if tried[-1] == 429:
            break
    assert tried[-1] == 429 and tried[:3] == [401] * 3


def test_accepted_codes_are_written_down(gateway):
    add_user(gateway, "rita")
    told = enrol(gateway, "rita")
    browser = Browser(gateway)
    browser.sign_in("rita")
    browser.follow()
    step = fresh_step()
    assert browser.submit(code=totp(told["secret"], step)).status == 303

    def noted():
        rows = {row["user"]: row for row in json.loads(users(gateway, "list", "-o", "json").stdout)}
        return rows["rita"]["recovery"] == 9

    browser = Browser(gateway)
    browser.sign_in("rita")
    browser.follow()
    assert browser.submit(code=told["recovery"][0]).status == 303
    eventually(noted, what="the store to know of it")


def test_changes_count_at_once(gateway):
    add_user(gateway, "eve")
    browser = Browser(gateway)
    browser.sign_in("eve")
    assert browser.follow().status == 200

    def all_out(browser):
        return {browser.get("/").status for _ in range(8)} == {302}

    def listed():
        done = command("sessions", "list", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
        return "eve" in {row["user"] for row in json.loads(done.stdout)["sessions"]}

    assert listed()
    assert users(gateway, "revoke-sessions", "eve").returncode == 0
    assert not listed()
    eventually(lambda: all_out(browser))
    browser.sign_in("eve")
    assert browser.get("/").status == 200
    assert users(gateway, "passwd", "eve", password="another password").returncode == 0
    eventually(lambda: all_out(browser))
    assert Browser(gateway).sign_in("eve").status == 401
    assert browser.sign_in("eve", "another password").status == 303
    assert users(gateway, "remove", "eve").returncode == 0
    eventually(lambda: all_out(browser))
    assert Browser(gateway).sign_in("eve", "another password").status == 401
    add_user(gateway, "eve", password="another password")
    assert browser.get("/").status == 302  # another eve


def test_sessions_are_listed_and_ended(gateway):
    one, two = Browser(gateway), Browser(gateway)
    one.sign_in("olga")
    two.sign_in("ann")

    def sessions(*words):
        return command("sessions", *words, "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)

    rows = json.loads(sessions("list").stdout)["sessions"]
    text = json.dumps(rows)
    assert {row["user"] for row in rows} >= {"ann", "olga"} and one.cookies[SESSION][:20] not in text
    newest = max((row for row in rows if row["user"] == "ann"), key=lambda row: row["since"])
    assert newest["since"] <= newest["seen"] <= newest["until"]
    assert json.loads(sessions("end-user", "olga").stdout)["ended"] >= 1
    assert one.get("/").status == 302 and two.get("/").status == 200
    for row in rows:
        if row["user"] == "ann":
            assert sessions("end", row["session"]).returncode == 0
    assert two.get("/").status == 302
    assert sessions("end", newest["session"]).returncode == 1
    assert sessions("end", "zz").returncode == 1


def test_sessions_outlive_reload_and_crash(gateway):
    browser = Browser(gateway)
    browser.sign_in()
    done = gateway.reload()
    assert done.returncode == 0, done.stderr
    for _ in range(10):
        assert browser.get("/").status == 200
    for pid in gateway.role("worker"):
        os.kill(pid, 9)
    eventually(lambda: len(gateway.role("worker")) == 2)
    assert {eventually(lambda: attempt(browser)) for _ in range(4)} == {200}


def attempt(browser):
    try:
        return browser.get("/").status
    except (OSError, Exception):  # a worker that was just killed
        return None


def test_records_say_who_and_hide_secrets(gateway):
    gateway.forget_records()
    browser = Browser(gateway)
    browser.get("/")
    browser.follow()
    browser.submit(user="ann", password=PASSWORD)
    # Two workers write, so the order in the file is not that in time.
    rows = sorted(gateway.new_records(3), key=lambda row: row["@timestamp"])
    assert [row["sallyport"]["reason"] for row in rows] == ["auth-required", "page", "signed-in"]
    assert rows[2]["user"]["name"] == "ann" and rows[2]["sallyport"]["detail"] == "login-password"
    text = json.dumps(rows)
    assert PASSWORD not in text and PASSWORD.replace(" ", "+") not in text
    assert browser.cookies[SESSION] not in text and browser.cookies[SIGNIN] not in text
    for path in ("users.db", "users.db-wal"):
        with open(os.path.join(gateway.folder, path), "rb") as file:
            assert PASSWORD.encode() not in file.read()
    assert os.stat(os.path.join(gateway.folder, "users.db")).st_mode & 0o077 == 0


# ---- gateways of their own ----


def test_a_code_from_before_a_restart_is_used():
    with Origin(says(response(200, b"inside"))) as origin, Sallyport(plain(origin, login="users.db")) as gateway:
        add_user(gateway, "ann")
        told = enrol(gateway, "ann")

        def with_code(code):
            browser = Browser(gateway)
            browser.sign_in()
            if not (browser.page.get("location") or "").startswith(PAGE):
                return None
            browser.follow()
            return browser.submit(code=code)

        eventually(lambda: with_code("x"))
        step = fresh_step()
        assert with_code(totp(told["secret"], step)).status == 303
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(30)
        gateway.ports.clear()
        gateway.start()
        # The shared memory is another one: the store remembers. Another step's code is good.
        assert with_code(totp(told["secret"], step)).status == 401
        assert with_code(totp(told["secret"], step + 1)).status == 303


def test_guessing_is_slowed_and_the_owner_still_gets_in():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"trusted_proxies": ["127.0.0.1"]}, login="users.db")
        with Sallyport(config) as gateway:
            add_user(gateway, "ann")

            def guess(address, user="ann", password="wrong password"):
                browser = Browser(gateway)
                send = browser.send
                browser.send = lambda *a, **k: send(
                    *a, **{**k, "fields": [*k.get("fields", ()), ("X-Forwarded-For", address)]})
                browser.get("/")
                browser.follow()
                action, hidden = browser.form()
                return browser.send("POST", action,
                                    urllib.parse.urlencode({**hidden, "user": user, "password": password}))

            eventually(lambda: guess("198.51.100.1", password=PASSWORD).status == 303)
            answers = [guess("198.51.100.66") for _ in range(5)]
            assert [a.status for a in answers] == [401] * 5
            while answers[-1].status == 401 and len(answers) < 15:  # pauses double: soon it is too soon
                answers.append(guess("198.51.100.66"))
            assert answers[-1].status == 429 and int(answers[-1].get("retry-after")) >= 1
            assert b"Too many attempts" in answers[-1].body
            assert guess("198.51.100.1", password=PASSWORD).status == 303
            # Stuffing: one address, many accounts; it is out for right ones, too.
            last = [guess("203.0.113.9", f"user{i}").status for i in range(32)]
            assert 429 in last and last[0] == 401
            assert guess("203.0.113.9", password=PASSWORD).status == 429


def test_policy_asks_for_more_and_says_so():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, login="users.db", policy=[
            {"name": "admin", "paths": ["/admin/**"], "require": ["mfa"]},
            {"name": "rest", "users": ["ann"]}])
        with Sallyport(config) as gateway:
            add_user(gateway, "ann")
            browser = Browser(gateway)
            eventually(lambda: browser.sign_in().status == 303)
            assert browser.follow().body == b"inside"
            page = browser.get("/admin/x")
            assert page.status == 403 and b"Prove it again" in page.body
            told = enrol(gateway, "ann")
            browser = Browser(gateway)

            def second():
                browser.sign_in()
                return browser.page.status == 303 and browser.page.get("location").startswith(PAGE)

            eventually(second)
            browser.follow()
            step = fresh_step()
            assert browser.submit(code=totp(told["secret"], step)).status == 303
            assert browser.get("/admin/x").body == b"inside"


def test_required_second_factor_and_missing_store():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, login={"users": "users.db", "totp": "required", "session": {"idle": "1m", "max": "1m"}})
        with Sallyport(config) as gateway:
            eventually(lambda: any("nobody can sign in" in line for line in gateway.stderr))
            add_user(gateway, "ann")
            browser = Browser(gateway)
            eventually(lambda: browser.sign_in().status == 403)
            assert b"second factor" in browser.page.body and SESSION not in browser.cookies
            assert gateway.reload().returncode == 0


def test_a_full_queue_is_503_and_nobody_else_waits():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"trusted_proxies": ["127.0.0.1"]}, login="users.db",
                       routes=[{"path": "/open", "login": {"mode": "off"}}])
        with Sallyport(config) as gateway:
            add_user(gateway, "ann")
            statuses, lock = [], threading.Lock()

            def flood(number):
                try:
                    fields = [("X-Forwarded-For", f"10.1.{number}.{i}") for i in range(1, 5)]
                    for field in fields:
                        browser = Browser(gateway)
                        browser.get("/", fields=[field])
                        browser.get(browser.page.get("location"), fields=[field])
                        browser.submit(user=f"u{number}", password="wrong password", fields=[field])
                        with lock:
                            statuses.append(browser.page.status)
                except OSError:
                    pass

            threads = [threading.Thread(target=flood, args=(n,)) for n in range(60)]
            for thread in threads:
                thread.start()
            opened = [gateway.ask(path="/open").status for _ in range(20)]
            for thread in threads:
                thread.join(120)
            assert set(opened) == {200}
            assert set(statuses) <= {401, 429, 503} and 401 in statuses
