"""Sign-in at an OpenID provider: the whole way, and every published way to walk past it."""
import base64
import concurrent.futures
import http.cookies
import json
import threading
import time
import urllib.parse

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says
from idp import Idp, make_key

PAGE = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]


class Browser:
    """Cookies of one site, and redirects followed by hand."""

    def __init__(self, gateway, idp, host="app.test"):
        self.gateway, self.idp, self.host, self.cookies = gateway, idp, host, {}

    def take(self, answer):
        for name, value in answer.fields:
            if name.lower() == "set-cookie":
                for key, morsel in http.cookies.SimpleCookie(value).items():
                    if morsel["max-age"] == "0":
                        self.cookies.pop(key, None)
                    else:
                        self.cookies[key] = morsel.value
        return answer

    def get(self, path="/", fields=PAGE, method="GET", body=None, cookies=None):
        sent = self.cookies if cookies is None else cookies
        fields = list(fields)
        if sent:
            fields.append(("Cookie", "; ".join(f"{k}={v}" for k, v in sent.items())))
        if method == "POST":
            fields.append(("Content-Type", "application/x-www-form-urlencoded"))
        return self.take(self.gateway.ask(method, path, host=self.host, fields=fields, body=body))

    def to_provider(self, path="/"):
        """The redirect to the provider, as an address."""
        answer = self.get(path)
        assert answer.status == 302, (answer.status, answer.body)
        return answer.get("location")

    def at_provider(self, address):
        """What the provider sends the browser back to, as a path here."""
        import urllib.request

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None

        try:
            urllib.request.build_opener(Stay).open(address, timeout=20)
        except urllib.error.HTTPError as error:
            back = urllib.parse.urlsplit(error.headers["Location"])
            assert error.code == 302 and back.netloc == self.host, (error.code, error.headers["Location"])
            return back.path + "?" + back.query
        raise AssertionError("the provider did not send the browser back")

    def sign_in(self, path="/"):
        answer = self.get(self.at_provider(self.to_provider(path)))
        assert answer.status == 303, (answer.status, answer.body)
        return answer


def config(origin, idp, more=None, **provider):
    row = {"name": "corp", "issuer": idp.issuer, "client_id": idp.client[0], "client_secret": idp.client[1],
           "user_claim": "email", **provider}
    stage = {"providers": [{k: v for k, v in row.items() if v is not None}], "pass": "X-User", "deadline": "20s",
             **(more or {})}
    made = plain(origin, oidc=stage)
    made["sites"][0]["host"] = "app.test"
    return made


@pytest.fixture(scope="module")
def inside():
    with Origin(says(response(200, b"inside"))) as origin:
        yield origin


@pytest.fixture(scope="module")
def idp():
    with Idp() as provider:
        provider.fresh = dict(provider.__dict__)
        yield provider


@pytest.fixture(scope="module")
def gateway(inside, idp):
    made = config(inside, idp)
    made["sites"][0]["routes"] = [{"path": "/staff/**", "policy": [{"groups": ["staff"]}]},
                                  {"path": "/root/**", "policy": [{"groups": ["root"]}]}]
    with Sallyport(made) as running:
        running.inside = inside
        eventually(lambda: running.ask(host="app.test", fields=PAGE).status == 302, what="the provider is known")
        yield running


@pytest.fixture(autouse=True)
def reset(idp, inside):
    for name in ("user", "in_id_token", "twist", "signer", "lasts", "metadata"):
        setattr(idp, name, idp.fresh[name])
    idp.user = dict(idp.fresh["user"])
    idp.keys = list(idp.fresh["keys"])
    idp.broken.clear()
    idp.asked_to.clear()
    inside.forget()


def test_the_whole_way(gateway, idp, inside):
    browser = Browser(gateway, idp)
    address = browser.to_provider("/staff/report?a=1&b=%2F")
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
    assert asked["response_type"] == "code" and asked["client_id"] == "sallyport"
    assert asked["redirect_uri"] == "http://app.test/.sallyport/oidc/corp/callback"
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert "openid" in asked["scope"].split() and len(asked["nonce"]) == 43
    assert "report" not in address  # where to go stays here
    gateway.forget_records()
    back = browser.at_provider(address)
    answer = browser.get(back)
    assert answer.status == 303 and answer.get("location") == "/staff/report?a=1&b=%2F"
    record = gateway.new_records(1)[0]
    assert record["sallyport"]["reason"] == "signed-in"
    assert inside.count == 0
    answer = browser.get("/staff/report?a=1&b=%2F", fields=PAGE + [("X_User", "root"), ("Cookie", "own=1")])
    assert answer.status == 200 and answer.body == b"inside"
    head = inside.heads[-1]
    assert head.get("x-user") == "ann@example.org" and head.get("x_user") is None
    assert "sallyport" not in (head.get("cookie") or "")  # sessions are none of upstream's business
    record = gateway.new_records(1)[0]
    assert record["user"]["name"] == "ann@example.org" and record["sallyport"]["auth"] == "oidc"
    assert browser.get("/root/x").status == 403
    assert browser.get(back).status == 403  # once


def test_programs_get_a_challenge(gateway, inside):
    for fields in ([("Accept", "application/json")], PAGE[:1] + [("Sec-Fetch-Mode", "cors")], []):
        answer = gateway.ask(host="app.test", fields=fields)
        assert answer.status == 401 and answer.get("www-authenticate") == "Session"
    assert gateway.ask("POST", host="app.test", fields=PAGE, body=b"x").status == 401
    assert inside.count == 0


def test_cookies_are_closed(gateway, idp):
    browser = Browser(gateway, idp)
    answer = browser.sign_in()
    cookies = [value for name, value in answer.fields if name.lower() == "set-cookie"]
    for cookie in cookies:
        assert cookie.startswith("__Host-sallyport")
        assert "Secure" in cookie and "HttpOnly" in cookie and "Path=/" in cookie and "Domain" not in cookie


def test_many_tabs(gateway, idp):
    browser = Browser(gateway, idp)
    ways = [browser.to_provider(f"/tab{i}") for i in range(5)]
    backs = [browser.at_provider(way) for way in reversed(ways)]
    for number, back in enumerate(backs):
        answer = browser.get(back)
        assert answer.status == 303 and answer.get("location") == f"/tab{4 - number}"
    assert browser.get("/").status == 200


# ---- state, code, nonce: swapped, forged, replayed ------------------------------------------------

def test_a_state_of_another_browser(gateway, idp, inside):
    """Login CSRF: an attacker's callback address in the victim's browser."""
    attacker, victim = Browser(gateway, idp), Browser(gateway, idp)
    back = attacker.at_provider(attacker.to_provider())
    gateway.forget_records()
    answer = victim.get(back)
    assert answer.status == 403 and not any("-signin" not in k for k in victim.cookies)
    assert gateway.new_records(1)[0]["sallyport"]["detail"] == "oidc-no-cookie"
    victim.to_provider()  # one that has a sign-in of its own under way
    assert victim.get(back).status == 403
    assert victim.get("/").status == 302 and inside.count == 0


@pytest.mark.parametrize("change", [
    lambda q: {**q, "state": q["state"][:-1] + ("A" if q["state"][-1] != "A" else "B")},
    lambda q: {**q, "state": ""},
    lambda q: {k: v for k, v in q.items() if k != "state"},
    lambda q: {k: v for k, v in q.items() if k != "code"},
    lambda q: {**q, "code": ""},
    lambda q: {**q, "code": "x" * 3000},
    lambda q: {**q, "code": "somebody-elses"},
    lambda q: {**q, "iss": "https://evil.example"},
    lambda q: {k: v for k, v in q.items() if k != "iss"},
    lambda q: {**q, "iss": q["iss"] + "/"},
    lambda q: {**q, "error": "access_denied"},
    lambda q: {**q, "error": "<script>alert(1)</script>"},
])
def test_what_comes_back_changed(gateway, idp, inside, change):
    browser = Browser(gateway, idp)
    path, query = browser.at_provider(browser.to_provider()).split("?", 1)
    changed = change(dict(urllib.parse.parse_qsl(query)))
    answer = browser.get(path + "?" + urllib.parse.urlencode(changed))
    assert answer.status == 403 and b"<script>" not in answer.body
    assert browser.get("/").status == 302 and inside.count == 0


@pytest.mark.parametrize("name", ["state", "code", "iss"])
def test_each_parameter_once(gateway, idp, name):
    browser = Browser(gateway, idp)
    back = browser.at_provider(browser.to_provider())
    assert browser.get(back + f"&{name}=x").status == 403
    assert browser.get("/").status == 302


def forged_key(claims):
    return claims


TWISTS = {
    "nonce": lambda c: {**c, "nonce": "x" * 43}, "no-nonce": lambda c: {**c, "nonce": None},
    "audience": lambda c: {**c, "aud": "another"}, "two-audiences": lambda c: {**c, "aud": ["sallyport", "other"]},
    "azp": lambda c: {**c, "azp": "another"}, "issuer": lambda c: {**c, "iss": "https://evil.example"},
    "expired": lambda c: {**c, "exp": int(time.time()) - 300}, "no-end": lambda c: {**c, "exp": None},
    "future": lambda c: {**c, "iat": int(time.time()) + 600}, "no-iat": lambda c: {**c, "iat": None},
    "no-sub": lambda c: {**c, "sub": None}, "number-sub": lambda c: {**c, "sub": 7},
    "at-hash": lambda c: {**c, "at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "unverified": lambda c: {**c, "email_verified": False},
    "two-ats": lambda c: {**c, "email": "ann@evil.example@example.org"},  # oauth2-proxy CVE-2026-40574
    "overage": lambda c: {**c, "groups": None, "_claim_names": {"groups": "src1"}},  # Entra
    "overage-flag": lambda c: {**c, "groups": None, "hasgroups": True},
    "control": lambda c: {**c, "email": "ann\x00@example.org"},
}


@pytest.mark.parametrize("name", TWISTS)
def test_an_id_token_that_is_not_right(gateway, idp, inside, name):
    idp.twist = TWISTS[name]
    if name.startswith("overage"):
        idp.user.pop("groups")
    browser = Browser(gateway, idp)
    gateway.forget_records()
    answer = browser.get(browser.at_provider(browser.to_provider()))
    assert answer.status == 403
    detail = gateway.new_records(2)[1]["sallyport"]["detail"]
    assert detail.startswith(("token-", "oidc-"))
    if name.startswith("overage"):
        assert detail == "oidc-groups" and b"too many" in answer.body
    assert browser.get("/").status == 302 and inside.count == 0


def test_signed_by_somebody_else(gateway, idp, inside):
    idp.signer = make_key("ES256", "k1")  # the same id
    browser = Browser(gateway, idp)
    assert browser.get(browser.at_provider(browser.to_provider())).status == 403
    idp.signer = make_key("ES256", "unknown")
    assert browser.get(browser.at_provider(browser.to_provider())).status == 403
    assert inside.count == 0


def answers(**more):
    def way(handler):
        handler.say(200, {"token_type": "Bearer", "access_token": "a", **more})
    return way


@pytest.mark.parametrize("way, status", [
    (lambda h: h.say(500, b"down"), 503), (lambda h: h.say(200, b"<html>"), 403), (answers(), 403),
    (answers(id_token="a.b.c"), 403), (answers(id_token=7), 403), (lambda h: h.say(200, {"access_token": "a"}), 403),
    (lambda h: h.say(302, Location="/other"), 503), (lambda h: h.say(400, {"error": "invalid_grant"}), 403),
    (lambda h: h.say(400, {"error": "invalid_client"}), 503), (lambda h: h.say(200, b"x" * 70000), 503),
    (lambda h: h.say(200, b'{"id_token":"a","id_token":"b"}'), 403),
    (lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), setattr(h, "close_connection", True)),
     503)])
def test_a_token_endpoint_that_is_not_right(gateway, idp, inside, way, status):
    browser = Browser(gateway, idp)
    back = browser.at_provider(browser.to_provider())
    idp.broken["/token"] = way
    assert browser.get(back).status == status
    assert browser.get("/").status == 302 and inside.count == 0


# ---- userinfo -------------------------------------------------------------------------------------

def test_userinfo_fills_what_lacks(gateway, idp, inside):
    idp.in_id_token = {"sub"}
    browser = Browser(gateway, idp)
    browser.sign_in()
    assert browser.get("/staff/x").status == 200
    assert inside.heads[-1].get("x-user") == "ann@example.org"


@pytest.mark.parametrize("way", [
    lambda h: h.say(200, {"sub": "somebody-else", "email": "root@example.org", "email_verified": True}),
    lambda h: h.say(200, {"email": "root@example.org", "email_verified": True}),
    lambda h: h.say(200, b'{"sub": "ann-1"}', "text/html"), lambda h: h.say(401, {}), lambda h: h.say(200, b"{")])
def test_userinfo_of_somebody_else(gateway, idp, inside, way):
    """OpenID Connect Core 5.3.2: the subject has to be the same."""
    idp.in_id_token = {"sub"}
    idp.broken["/userinfo"] = way
    browser = Browser(gateway, idp)
    assert browser.get(browser.at_provider(browser.to_provider())).status == 403
    assert browser.get("/").status == 302 and inside.count == 0


def test_userinfo_changes_nothing_that_was_signed(gateway, idp, inside):
    idp.in_id_token = {"sub", "email", "email_verified"}
    idp.broken["/userinfo"] = lambda h: h.say(200, {"sub": "ann-1", "email": "root@example.org", "groups": ["staff"]})
    browser = Browser(gateway, idp)
    browser.sign_in()
    assert browser.get("/staff/x").status == 200
    assert inside.heads[-1].get("x-user") == "ann@example.org"


# ---- where to go then -----------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%5cevil.example", "/%09/evil.example",
                                  "/.//evil.example", "///evil.example", "/a/..//evil.example", "/@evil.example"])
def test_back_to_this_site_only(gateway, idp, path):
    """oauth2-proxy CVE-2020-5233, -4037, -11053; mod_auth_openidc #453; mod_auth_mellon CVE-2019-13038."""
    browser = Browser(gateway, idp)
    answer = browser.get(path)
    if answer.status == 400:
        return
    back = browser.at_provider(answer.get("location"))
    target = browser.get(back + "&rd=https://evil.example&target=//evil.example").get("location")
    assert target.startswith("/") and not target.startswith(("//", "/\\")) and ":" not in target.split("?")[0]


def test_other_hosts_have_no_callback(gateway, idp):
    """Host case and trailing dots are one site; another name is none (tinyauth CVE-2026-77560)."""
    browser = Browser(gateway, idp)
    browser.sign_in()
    browser.host = "APP.TEST."
    assert browser.get("/").status == 200
    browser.host = "other.test"
    assert browser.get("/").status in (404, 421)


# ---- round and round ------------------------------------------------------------------------------

def test_a_loop_is_ended_and_explained(gateway, idp):
    browser = Browser(gateway, idp)
    for _ in range(3):
        browser.sign_in()
        browser.cookies.pop("__Host-sallyport")  # it is not kept
    gateway.forget_records()
    answer = browser.get("/")
    assert answer.status == 403 and b"circles" in answer.body and b"cookie" in answer.body
    assert gateway.new_records(1)[0]["sallyport"]["reason"] == "auth-loop"


def test_who_leaves_at_the_provider(gateway, idp):
    browser = Browser(gateway, idp)
    path, query = browser.at_provider(browser.to_provider("/x")).split("?", 1)
    asked = dict(urllib.parse.parse_qsl(query))
    answer = browser.get(f"{path}?error=access_denied&state={asked['state']}&iss={urllib.parse.quote(asked['iss'])}")
    assert answer.status == 403 and b'href="/x"' in answer.body  # a way back, and no circle


# ---- out ------------------------------------------------------------------------------------------

def token_of(answer):
    return answer.body.decode().split('name="token" value="')[1].split('"')[0]


def test_signing_out(gateway, idp, inside):
    browser = Browser(gateway, idp)
    browser.sign_in()
    kept = dict(browser.cookies)
    page = browser.get("/.sallyport/oidc/out")
    assert page.status == 200 and b"ann@example.org" in page.body
    assert browser.get("/.sallyport/oidc/out", method="POST", body=b"token=wrong").status == 403
    assert browser.get("/").status == 200
    answer = browser.get("/.sallyport/oidc/out", method="POST", body=b"token=" + token_of(page).encode())
    assert answer.status == 200
    leads = answer.get("refresh")
    assert leads.startswith(f"0; url={idp.issuer}/end?")
    said = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(leads.split("url=", 1)[1]).query))
    assert said["client_id"] == "sallyport" and said["post_logout_redirect_uri"].startswith("http://app.test")
    claims = json.loads(base64.urlsafe_b64decode(said["id_token_hint"].split(".")[1] + "=="))
    assert claims["iss"] == idp.issuer and claims["sub"] == idp.user["sub"]  # whose session it is to end
    assert browser.get("/").status == 302
    assert browser.get("/", cookies=kept).status == 302  # the cookie that somebody kept is worth nothing
    inside.forget()


def test_signing_out_with_a_token_too_long_to_be_kept(gateway, idp):
    idp.user["padding"] = "x" * 2400  # 3.3 KB of token; its claims still find room
    idp.in_id_token = idp.in_id_token | {"padding"}
    browser = Browser(gateway, idp)
    browser.sign_in()
    page = browser.get("/.sallyport/oidc/out")
    answer = browser.get("/.sallyport/oidc/out", method="POST", body=b"token=" + token_of(page).encode())
    assert "id_token_hint" not in answer.get("refresh") and "client_id=sallyport" in answer.get("refresh")


def backchannel(gateway, token, **more):
    return gateway.ask("POST", "/.sallyport/oidc/corp/backchannel", host="app.test", body=b"logout_token=" + token.encode(),
                       fields=[("Content-Type", "application/x-www-form-urlencoded")], **more)


def test_back_channel_logout(gateway, idp):
    idp.user["sid"] = "s-1"
    one, other = Browser(gateway, idp), Browser(gateway, idp)
    one.sign_in()
    idp.user["sid"] = "s-2"
    other.sign_in()
    assert backchannel(gateway, idp.logout_token(sid="s-1")).status == 200
    assert one.get("/").status == 302 and other.get("/").status == 200
    assert backchannel(gateway, idp.logout_token(sub="somebody")).status == 200
    assert other.get("/").status == 200
    assert backchannel(gateway, idp.logout_token()).status == 200  # all of that subject
    assert other.get("/").status == 302


@pytest.mark.parametrize("claims", [
    {"events": {}}, {"events": None}, {"nonce": "n"}, {"sub": None}, {"aud": "another"}, {"iss": "https://evil.example"},
    {"exp": 1}, {"jti": None}, {"iat": None},
    {"events": {"http://schemas.openid.net/event/backchannel-logout": "yes"}}])
def test_a_logout_token_that_is_not_right(gateway, idp, claims):
    browser = Browser(gateway, idp)
    browser.sign_in()
    assert backchannel(gateway, idp.logout_token(**claims)).status == 400
    assert backchannel(gateway, idp.id_token()).status == 400
    assert backchannel(gateway, idp.logout_token(key=make_key("ES256", "k1"))).status == 400
    assert browser.get("/").status == 200


def test_pages_have_their_methods(gateway, idp):
    for path, method in [("/.sallyport/oidc/corp/callback", "POST"), ("/.sallyport/oidc/corp/backchannel", "GET"),
                         ("/.sallyport/oidc/out", "DELETE"), ("/.sallyport/oidc", "PUT")]:
        assert gateway.ask(method, path, host="app.test", fields=PAGE).status == 405
    assert gateway.ask(path="/.sallyport/oidc/nobody/callback", host="app.test", fields=PAGE).status == 404


# ---- renewal, and a provider that is down ----------------------------------------------------------

def refreshing(inside, idp, **more):
    return config(inside, idp, more, scopes=["openid", "email", "offline_access"])


@pytest.fixture(scope="module")
def renewing(inside):
    """Where access tokens are renewed; `renewable` is a browser whose own is due."""
    with Idp() as idp:
        idp.first = dict(idp.user)
        with Sallyport(refreshing(inside, idp, grace="1m")) as gateway:
            eventually(lambda: gateway.ask(host="app.test", fields=PAGE).status == 302, what="the provider is known")
            gateway.idp = idp
            yield gateway


@pytest.fixture
def renewable(renewing):
    idp = renewing.idp
    idp.broken.clear()
    idp.user = dict(idp.first)
    browser = Browser(renewing, idp)
    idp.lasts = 2
    browser.sign_in()
    idp.lasts = 300
    time.sleep(1.2)
    idp.asked.clear()
    return browser


def test_renewed_by_one_request(renewable, renewing, inside):
    """Refresh tokens that are good once: two at a time would end the session."""
    idp = renewing.idp

    def slowly(handler):
        time.sleep(0.3)
        idp.token(handler)

    idp.broken["/token"] = slowly
    idp.user["email"] = "ann.new@example.org"
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: renewable.gateway.ask(
            host="app.test", fields=PAGE + [("Cookie", "; ".join(f"{k}={v}" for k, v in renewable.cookies.items()))]).status,
            range(24)))
    assert answers == [200] * 24
    assert idp.count("/token") == 1
    assert renewable.get("/").status == 200
    assert inside.heads[-1].get("x-user") == "ann.new@example.org"  # what the provider says now


def test_no_longer_welcome_there(renewable, renewing, inside):
    renewing.idp.refresh.clear()
    kept = dict(renewable.cookies)
    inside.forget()
    assert renewable.get("/").status == 302
    assert renewable.get("/", cookies=kept).status == 302  # ended, not only forgotten by this browser
    assert inside.count == 0


def test_no_longer_welcome_there_for_programs(renewable, renewing, inside):
    renewing.idp.refresh.clear()
    inside.forget()
    for _ in range(3):  # also where no cookie can be taken away
        assert renewable.get("/", fields=[]).status == 401
    assert renewable.get("/").status == 302
    assert inside.count == 0


@pytest.mark.parametrize("twist", [lambda c: {**c, "sub": "somebody-else"}, lambda c: {**c, "aud": "another"},
                                   lambda c: {**c, "iss": "https://evil.example"}])
def test_renewed_as_somebody_else(renewable, renewing, inside, twist):
    renewing.idp.twist = twist
    inside.forget()
    try:
        assert renewable.get("/").status == 302
    finally:
        renewing.idp.twist = lambda claims: claims
    assert renewable.get("/").status == 302 and inside.count == 0


def test_ended_while_it_is_renewed(renewable, renewing, inside):
    """A logout that the provider orders in between is not undone by the renewal, nor by `grace`."""
    idp = renewing.idp
    seen = threading.Event()

    def ends(handler):
        assert backchannel(renewing, idp.logout_token()).status == 200
        seen.set()
        idp.token(handler)

    idp.broken["/token"] = ends
    inside.forget()
    assert renewable.get("/").status == 302 and seen.is_set()
    assert inside.count == 0


def test_renewed_without_an_id_token(renewable, renewing, inside):
    idp = renewing.idp

    def without(handler):
        idp.access["opaque"] = {**idp.user, "email": "ann.info@example.org"}
        handler.say(200, {"token_type": "Bearer", "access_token": "opaque", "expires_in": 2})

    idp.broken["/token"] = without
    assert renewable.get("/").status == 200
    time.sleep(0.1)
    assert renewable.get("/").status == 200


def test_down_when_it_is_due(renewable, renewing, inside):
    """Within `grace` the session goes on, and is renewed when the provider is back."""
    idp = renewing.idp
    idp.broken["/token"] = lambda h: h.say(503, b"")
    assert renewable.get("/").status == 200
    assert idp.count("/token") == 1
    idp.broken.clear()
    eventually(lambda: renewable.get("/").status == 200 and idp.count("/token") >= 2, seconds=30,
               what="it is renewed when the provider is back")


def test_no_grace(inside):
    """Then it cannot be decided; and the session is not over by it."""
    with Idp() as idp:
        idp.lasts = 2
        with Sallyport(refreshing(inside, idp, grace="0s")) as gateway:
            eventually(lambda: gateway.ask(host="app.test", fields=PAGE).status == 302, what="the provider is known")
            browser = Browser(gateway, idp)
            browser.sign_in()
            time.sleep(1.2)
            idp.broken["/token"] = lambda h: h.say(503, b"")
            inside.forget()
            assert browser.get("/").status == 503 and inside.count == 0
            idp.broken.clear()
            eventually(lambda: browser.get("/").status == 200, seconds=30, what="the session goes on")


def test_sessions_go_on_while_the_provider_is_down(inside):
    with Idp() as idp:
        idp.lasts = 1
        with Sallyport(config(inside, idp)) as gateway:
            eventually(lambda: gateway.ask(host="app.test", fields=PAGE).status == 302, what="the provider is known")
            browser, late = Browser(gateway, idp), Browser(gateway, idp)
            browser.sign_in()
            back = late.at_provider(late.to_provider())
            idp.stop()
            assert browser.get("/").status == 200
            assert late.get(back).status == 503
            assert gateway.reload().returncode == 0
            assert browser.get("/").status == 200
            answer = late.get("/")
            assert answer.status == 302  # where to go is still known; who is there is another question


def test_provider_unknown_yet(inside):
    down = Idp()
    down.stop()
    with Sallyport(config(inside, down)) as gateway:
        answer = gateway.ask(host="app.test", fields=PAGE)
        assert answer.status == 503 and b"cannot be reached" in answer.body
        assert gateway.ask(host="app.test").status == 401


def test_keys_change_between_sign_ins(gateway, idp):
    browser = Browser(gateway, idp)
    browser.sign_in()
    idp.keys = [make_key("RS256", f"k-{time.time()}")]
    other = Browser(gateway, idp)
    status = other.get(other.at_provider(other.to_provider())).status
    assert status in (303, 403)  # 403: keys were asked for less than 30 seconds ago, by the tests above
    assert browser.get("/").status == 200


# ---- several providers ------------------------------------------------------------------------------

def test_several_providers_and_no_mix_up(inside):
    with Idp() as one, Idp() as two:
        two.metadata = {"authorization_response_iss_parameter_supported": False}
        made = config(inside, one, name="one", title="The <first>", user_prefix="one/")
        second = {**made["sites"][0]["oidc"]["providers"][0], "name": "two", "issuer": two.issuer, "title": "Second",
                  "user_prefix": "two/"}
        made["sites"][0]["oidc"]["providers"].append(second)
        with Sallyport(made) as gateway:
            browser = Browser(gateway, one)

            def chosen(name, path="/"):
                page = browser.get(browser.to_provider(path))
                assert page.status == 200 and b"The &lt;first&gt;" in page.body
                link = page.body.decode().split(f'href="/.sallyport/oidc/{name}/start')[1].split('"')[0]
                return f"/.sallyport/oidc/{name}/start{link}"

            eventually(lambda: browser.get(chosen("one")).status == 302 and browser.get(chosen("two")).status == 302,
                       what="both providers are known")
            back_one = browser.at_provider(browser.to_provider(chosen("one")))
            # The answer of one, as if it were the other's: another redirect URI, and another name.
            assert browser.get(back_one.replace("/one/", "/two/")).status == 403
            assert browser.get("/").status == 302
            browser.get(browser.at_provider(browser.to_provider(chosen("two", "/deep"))))
            assert browser.get("/").status == 200
            assert inside.heads[-1].get("x-user") == "two/ann@example.org"
            # A provider ends its own sessions only.
            token = one.logout_token()
            done = gateway.ask("POST", "/.sallyport/oidc/one/backchannel", host="app.test",
                               body=b"logout_token=" + token.encode(),
                               fields=[("Content-Type", "application/x-www-form-urlencoded")])
            assert done.status == 200 and browser.get("/").status == 200


def test_configuration(tmp_path):
    base = {"name": "corp", "issuer": "https://127.0.0.1", "client_id": "x"}
    for row, text in [({"issuer": "http://id.example.org"}, "not https"), ({"name": "Corp"}, "small letters"),
                      ({"name": "out"}, "small letters"), ({"algorithms": ["HS256"]}, "algorithms are"),
                      ({"scopes": ["email"]}, "openid among them"), ({"client_id": ""}, "not empty"),
                      ({"session": {"same_site": "strict"}}, "lax here"),
                      ({"origin": "https://app.test/x"}, "ends with its host")]:
        file = tmp_path / "c.yaml"
        stage = {key: row.pop(key) for key in ("session", "origin") if key in row}
        made = plain("http://127.0.0.1:9", oidc={"providers": [{**base, **row}], **stage})
        file.write_text(json.dumps(made))
        done = command("check", "-c", file)
        assert done.returncode == 2 and text in done.stdout + done.stderr, (row, done.stdout + done.stderr)
