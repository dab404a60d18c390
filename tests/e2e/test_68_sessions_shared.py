"""Two gateways that share their sessions in Redis: who signs in at one is signed in at the other, and out at both; and
what holds while Redis is away."""
import concurrent.futures
import json
import os
import time

import pytest
import test_67_oidc as oidc
from harness import Origin, Sallyport, command, eventually, plain, response, says
from idp import Idp
from redis_server import Redis
from test_46_http2_stages import HASH
from test_50_stages import TRUSTED, basic
from test_65_login import PASSWORD, SESSION, Browser, add_user, enrol, fresh_step, totp, users

# What docs/limits.md and docs/auth.md say is enough.
ACL = ("--user", "sallyport", "on", ">of the store", "~sallyport:*", "+evalsha", "+eval", "+script|load", "+get", "+set",
       "+time", "+ping", "+xadd", "+xrange", "+getex", "+del", "+exists", "+incr", "+expire", "+expireat", "+pexpire", "+pttl", "+zadd",
       "+zcard", "+zrange", "+zremrangebyscore", "+zremrangebyrank")
SECRET = "a secret of all nodes, of these tests"
GRACE = 3


def config(origin, store, **more):
    made = plain(origin, {"workers": 1}, login={"users": "users.db", "pass": "X-User"})
    made["store"] = {"redis": f"unix:{store.socket}", "user": "sallyport", "password": "of the store", "secret": SECRET,
                     "timeout": "500ms", "grace": f"{GRACE}s", **more}
    return made


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    shared = str(tmp_path_factory.mktemp("users"))
    os.chmod(shared, 0o755)
    with Origin(says(response(200, b"inside"))) as origin, Redis(*ACL) as store:
        made = config(origin, store)
        # Sessions are of a store of users by its path.
        made["sites"][0]["login"]["users"] = os.path.join(shared, "users.db")
        made["server"].update(TRUSTED)
        made["sites"].append({**plain(None)["sites"][0], "host": "basic.test", "basic": {"users": {"ann": HASH}},
                              "routes": [{"path": "/**", "respond": {"status": 200}}]})
        with Sallyport(made) as one, Sallyport(made) as two:
            one.origin, one.store = origin, store
            add_user(one, "ann", "--groups", "staff")
            add_user(one, "bob")
            for node in (one, two):
                eventually(lambda at=node: Browser(at).sign_in().status == 303, what="the users at both nodes")
            yield one, two


def at(browser, node):
    """The same browser at another node, as a balancer would send it."""
    there = Browser(node)
    there.cookies = browser.cookies
    return there


def is_in(browser, node):
    return at(browser, node).get("/").status == 200


def test_in_at_one_is_in_at_both(nodes):
    one, two = nodes
    browser = Browser(one)
    assert browser.sign_in().status == 303
    assert is_in(browser, one) and is_in(browser, two)
    assert one.origin.heads[-1].get("x-user") == "ann"


def test_each_step_may_come_to_another_node(nodes):
    one, two = nodes
    first = Browser(one)
    first.get("/reports?a=1")
    second = at(first, two)
    second.page = first.page
    second.follow()
    assert second.page.status == 200
    third = at(second, one)
    third.page = second.page
    assert third.submit(user="ann", password=PASSWORD).status == 303
    assert third.page.get("location") == "/reports?a=1"
    assert is_in(third, two)


def test_a_form_is_good_once_on_all_nodes(nodes):
    one, two = nodes
    browser = Browser(one)
    browser.get("/")
    browser.follow()
    form = browser.page
    other = at(browser, two)
    other.cookies = dict(browser.cookies)
    other.get(browser.url)  # it knows the sign-in, too
    assert browser.submit(user="ann", password=PASSWORD).status == 303
    other.page = form
    answer = other.submit(user="ann", password=PASSWORD)
    assert answer.status == 403 and SESSION not in other.cookies, answer.start


def test_out_at_one_is_out_at_both(nodes):
    one, two = nodes
    browser = Browser(one)
    browser.sign_in()
    kept = dict(browser.cookies)
    assert is_in(browser, two)
    out = at(browser, two)
    out.get("/.sallyport/login/out")
    assert out.submit().status == 200
    stale = Browser(one)
    stale.cookies = kept
    eventually(lambda: not is_in(stale, one), what="the end at the other node")
    stale.cookies = dict(kept)
    assert not is_in(stale, two)


def test_a_code_is_good_once_on_all_nodes(nodes):
    one, two = nodes
    secret = enrol(one, "bob")["secret"]
    for node in nodes:
        assert users(node, "list").returncode == 0
        assert command("users", "list", "-c", node.config_path, cwd=node.folder).returncode == 0

    def asked_for_code(node):
        browser = Browser(node)
        browser.sign_in("bob")
        return browser if browser.page.status == 303 and "flow=" in browser.page.get("location") else None
    eventually(lambda: asked_for_code(one) and asked_for_code(two), what="the second factor at both nodes")
    code = totp(secret, fresh_step())
    first, second = asked_for_code(one), asked_for_code(two)
    first.follow()
    second.follow()
    assert first.submit(code=code).status == 303 and SESSION in first.cookies
    answer = second.submit(code=code)
    assert answer.status in (401, 403) and SESSION not in second.cookies, answer.start


def test_second_factors_are_counted_on_all_nodes(nodes):
    one, two = nodes
    add_user(one, "cid")
    secret = enrol(one, "cid")["secret"]

    def asked_for_code(node):
        browser = Browser(node)
        browser.sign_in("cid")
        return browser if browser.page.status == 303 and "flow=" in browser.page.get("location") else None
    eventually(lambda: asked_for_code(one) and asked_for_code(two), what="the second factor at both nodes")
    # As if twenty had been made at nodes that there are no more: no node has counted one itself.
    before = set(one.store.ask("KEYS", "sallyport:{s}:c:*"))
    browser = asked_for_code(one)
    browser.follow()
    assert browser.submit(code="000000").status == 401
    key, = set(one.store.ask("KEYS", "sallyport:{s}:c:*")) - before
    assert one.store.ask("GET", key) == "1"
    for _ in range(19):
        one.store.ask("INCR", key)
    browser = asked_for_code(two)
    browser.follow()
    answer = browser.submit(code=totp(secret, fresh_step()))
    assert answer.status == 429 and SESSION not in browser.cookies, answer.start
    assert one.store.ask("GET", key) == "21"  # a right one that was refused ends no count
    one.store.ask("DEL", key)
    eventually(lambda: int(time.time()) % 30 < 20, what="another step")
    browser = asked_for_code(two)
    browser.follow()
    answer = browser.submit(code=totp(secret, fresh_step() + 1))
    assert answer.status == 303 and SESSION in browser.cookies, answer.start
    assert one.store.ask("GET", key) is None


def test_passwords_are_counted_on_all_nodes(nodes):
    """Right or wrong: who guesses at many nodes has no more tries than at one. A browser that is known has its own."""
    one, two = nodes
    add_user(one, "dot")
    known = Browser(one)
    eventually(lambda: Browser(two).sign_in("dot").status == 303 and known.sign_in("dot").status == 303, what="the user")
    before = set(one.store.ask("KEYS", "sallyport:{s}:c:*"))
    assert Browser(one).sign_in("dot", "wrong").status == 401
    key, = set(one.store.ask("KEYS", "sallyport:{s}:c:*")) - before
    assert one.store.ask("GET", key) == "1"
    # As if the others had been made at nodes that there are no more: no node has counted one itself.
    one.store.ask("SET", key, "40", "EX", "60")
    browser = Browser(two)
    assert browser.sign_in("dot").status == 429 and SESSION not in browser.cookies
    assert Browser(two).sign_in("dot", "wrong").status == 429  # the same word for both
    known.cookies.pop(SESSION)
    assert at(known, two).sign_in("dot").status == 303
    one.store.ask("DEL", key)
    assert Browser(two).sign_in("dot").status == 303
    assert one.store.ask("GET", key) is None  # a right one ends the count


def test_passwords_of_basic_are_counted_on_all_nodes(nodes):
    """The same, where an address that the account was proved from is what a known browser is there."""
    one, two = nodes

    def ask(node, password, source):
        return node.ask(host="basic.test", fields=basic("ann", password) + [("X-Forwarded-For", source)]).status

    assert ask(one, "password", "192.0.2.9") == 200
    before = set(one.store.ask("KEYS", "sallyport:{s}:c:*"))
    assert ask(one, "wrong", "192.0.2.2") == 401
    key, = set(one.store.ask("KEYS", "sallyport:{s}:c:*")) - before
    one.store.ask("SET", key, "40", "EX", "60")
    assert ask(two, "password", "192.0.2.3") == 429 and ask(two, "wrong", "192.0.2.3") == 429
    assert ask(one, "password", "192.0.2.9") == 200
    one.store.ask("DEL", key)
    assert ask(two, "password", "192.0.2.3") == 200
    assert one.store.ask("GET", key) is None


def test_nothing_in_the_store_is_of_use_to_who_reads_it(nodes):
    one, two = nodes
    browser = Browser(one)
    browser.sign_in()
    ticket = browser.cookies[SESSION]
    with open(os.path.join(one.store.folder, "dump.txt"), "w", encoding="latin-1") as out:
        for key in one.store.ask("KEYS", "*"):
            key = key if isinstance(key, str) else key.decode("latin-1")
            value = one.store.ask("DUMP", key)
            out.write(f"{key} {value!r}\n")
    with open(os.path.join(one.store.folder, "dump.txt"), encoding="latin-1") as dump:
        text = dump.read()
    assert ":{s}:i:" in text and ":{s}:t:0:" in text
    assert "ann\\x00" not in text and "staff" not in text and "users.db" not in text
    for size in (12, 20, 43, 86):
        assert ticket[:size] not in text and ticket[43:43 + size] not in text


def test_lists_and_ends_are_of_all_nodes(nodes):
    one, two = nodes

    def sessions(node):
        done = command("sessions", "list", "-c", node.config_path, "-o", "json", cwd=node.folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["sessions"]
    assert command("sessions", "end-user", "ann", "-c", one.config_path, cwd=one.folder).returncode == 0
    assert not [s for s in sessions(two) if s["user"] == "ann"]
    first, second = Browser(one), Browser(two)
    first.sign_in()
    before = {s["session"] for s in sessions(two)}
    second.sign_in()
    added = {s["session"] for s in sessions(one)} - before
    assert len(added) == 1
    done = command("sessions", "end", added.pop(), "-c", one.config_path, cwd=one.folder)
    assert done.returncode == 0, done.stderr
    kept = Browser(two)
    kept.cookies = dict(second.cookies)
    eventually(lambda: not is_in(kept, two), what="the end of a session of the other node")
    assert is_in(first, two)
    done = command("sessions", "end-user", "ann", "-c", two.config_path, cwd=two.folder)
    assert done.returncode == 0 and done.stdout.strip() == "1 ended", done.stdout + done.stderr
    kept.cookies = dict(first.cookies)
    eventually(lambda: not is_in(kept, one), what="the end of the sessions of a user")
    done = command("sessions", "end", "0123456789abcdef", "-c", one.config_path, cwd=one.folder)
    assert done.returncode != 0 and "no such session" in done.stderr


def test_other_secrets_open_nothing(nodes):
    one, _ = nodes
    browser = Browser(one)
    browser.sign_in()
    made = config(one.origin, one.store, secret="the secret of somebody else")
    with Sallyport(made) as stranger:
        kept = Browser(stranger)
        kept.cookies = dict(browser.cookies)
        assert not is_in(kept, stranger)


# ---- sign-in at a provider ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def apps():
    with Origin(says(response(200, b"inside"))) as inside, Redis() as store, Idp() as idp:
        made = oidc.config(inside, idp, {"grace": "1m"}, scopes=["openid", "email", "offline_access"])
        made["store"] = {"redis": f"unix:{store.socket}", "secret": SECRET, "timeout": "500ms"}
        with Sallyport(made) as one, Sallyport(made) as two:
            for node in (one, two):
                eventually(lambda at=node: at.ask(host="app.test", fields=oidc.PAGE).status == 302,
                           what="the provider is known")
            yield idp, one, two


def test_back_from_the_provider_at_another_node(apps):
    idp, one, two = apps
    browser = oidc.Browser(one, idp)
    back = browser.at_provider(browser.to_provider("/a?b=c"))
    browser.gateway = two
    answer = browser.get(back)
    assert answer.status == 303 and answer.get("location") == "/a?b=c", (answer.status, answer.body)
    for node in (one, two):
        browser.gateway = node
        assert browser.get("/").status == 200
    assert browser.get(back).status == 403  # its one use


def test_one_of_all_nodes_renews(apps):
    """Refresh tokens that are good once: two nodes at a time would end the session."""
    idp, one, two = apps
    browser = oidc.Browser(one, idp)
    idp.lasts = 2
    browser.sign_in()
    idp.lasts = 300
    cookie = "; ".join(f"{k}={v}" for k, v in browser.cookies.items())
    time.sleep(1.2)
    idp.asked.clear()

    def slowly(handler):
        time.sleep(0.3)
        idp.token(handler)

    idp.broken["/token"] = slowly
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: (one, two)[i % 2].ask(
            host="app.test", fields=oidc.PAGE + [("Cookie", cookie)]).status, range(16)))
    idp.broken.clear()
    assert answers == [200] * 16 and idp.count("/token") == 1
    time.sleep(1.2)  # what was renewed at one is asked for by the other
    for node in (one, two):
        assert node.ask(host="app.test", fields=oidc.PAGE + [("Cookie", cookie)]).status == 200
    assert idp.count("/token") == 1


def test_back_channel_logout_ends_it_on_all_nodes(apps):
    idp, one, two = apps
    idp.user["sid"] = "s-7"
    browser = oidc.Browser(one, idp)
    browser.sign_in()
    kept = dict(browser.cookies)
    assert oidc.backchannel(two, idp.logout_token(sid="s-7")).status == 200

    def out(node):
        browser.gateway, browser.cookies = node, dict(kept)
        return browser.get("/").status == 302
    eventually(lambda: out(one) and out(two), what="the end at both nodes")


def test_redis_away(nodes):
    """Who is known here goes on for the grace and no longer; who is not, and who wants in, hears 503."""
    one, two = nodes
    browser, stranger = Browser(one), Browser(two)
    browser.sign_in()
    stranger.sign_in()
    form = Browser(one)
    form.get("/")
    form.follow()
    assert is_in(browser, one)
    one.store.kill()
    began = time.monotonic()
    time.sleep(1.2)  # what was confirmed within a second is not asked again
    assert is_in(browser, one) or time.monotonic() - began > GRACE - 1
    kept = Browser(one)
    kept.cookies = dict(stranger.cookies)
    assert kept.get("/").status == 503
    assert form.submit(user="ann", password=PASSWORD).status == 503 and SESSION not in form.cookies
    kept.cookies = dict(browser.cookies)
    eventually(lambda: kept.get("/").status == 503, what="the end of the grace")
    assert time.monotonic() - began >= GRACE - 1
    one.store.start()
    # An empty store: whoever was in is not, and can sign in anew.
    eventually(lambda: kept.get("/").status == 302, what="the store again")
    again = Browser(two)
    eventually(lambda: again.sign_in().status == 303, what="signing in again")
    assert is_in(again, one)


def test_configuration(nodes, tmp_path):
    one, _ = nodes

    def check(store):
        made = config(one.origin, one.store)
        made["store"] = {"redis": f"unix:{one.store.socket}", **store}
        path = tmp_path / "c.json"
        path.write_text(json.dumps(made))
        return command("check", "-c", str(path), cwd=str(tmp_path))
    assert "sessions stay on this node" in check({}).stderr
    assert "sessions stay on this node" not in check({"sessions": False}).stderr
    assert "sessions stay on this node" not in check({"secret": SECRET}).stderr
    assert check({"secret": SECRET, "prefix": "p" * 24}).returncode == 0
    refused = check({"secret": SECRET, "prefix": "p" * 25})
    assert refused.returncode == 2 and "at most 24" in refused.stderr
