"""The stages of the chain, each through the front door."""
import base64
import json
import re
import subprocess
import threading
import time
import warnings

import pytest

from harness import Client, Cut, Load, Sallyport, chunked, command, eventually, plain, request, response, says

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}


def from_address(address):
    """Fields that make the client that address, as our trusted proxy says it."""
    return [("X-Forwarded-For", address)]


def status(gateway, address=None, **more):
    fields = list(more.pop("fields", [])) + (from_address(address) if address else [])
    return gateway.ask(fields=fields, **more).status


# ---- address lists ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lists(origin):
    config = plain(origin, server=TRUSTED, deny={"lists": ["bad", "watched"], "except": ["friends"]},
                   routes=[{"path": "/office/**", "allow": ["office"]},
                           {"path": "/seen/**", "deny": {"lists": ["bad"], "mode": "detect"}}])
    config["lists"] = {"bad": {"ips": ["192.0.2.0/24", "2001:db8:bad::/48", "203.0.113.7"]},
                       "office": {"ips": ["198.51.100.0/24"]}, "friends": {"ips": ["192.0.2.99"]},
                       "watched": {"file": "watched.txt", "watch": True}}
    with Sallyport(config, files={"watched.txt": "# nobody\n"}) as gateway:
        yield gateway


@pytest.mark.parametrize("address,want", [
    ("192.0.2.1", 403), ("192.0.2.255", 403), ("192.0.3.0", 200), ("192.0.2.99", 200), ("203.0.113.7", 403),
    ("203.0.113.8", 200), ("2001:db8:bad::1", 403), ("2001:db8:bad:ffff::1", 403), ("2001:db8:bae::1", 200),
    ("::ffff:192.0.2.1", 403)])
def test_deny(lists, address, want):
    assert status(lists, address) == want


def test_denied_at_the_door(origin):
    """`connect`: closed before a byte, on record, for all sites; trusted proxies are let in."""
    def greeted(gateway, source):
        try:
            with gateway.client(source=source) as client:
                return client.ask().status == 200
        except (Cut, ConnectionError):
            return False
    config = plain(origin, server={"workers": 1, "trusted_proxies": ["127.0.0.5/32"]})
    config["lists"] = {"doors": {"file": "doors.txt", "watch": True}}
    config["connect"] = {"deny": {"lists": ["doors"], "ips": ["127.0.0.4", "127.0.0.5"], "except": ["127.0.0.3"]}}
    with Sallyport(config, files={"doors.txt": "127.0.0.2/31\n"}) as gateway:
        assert [greeted(gateway, f"127.0.0.{n}") for n in range(1, 6)] == [True, False, True, False, True]
        records = eventually(lambda: len(gateway.refusals()) == 2 and gateway.refusals())
        assert [r["source"]["ip"] for r in records] == ["127.0.0.2", "127.0.0.4"]
        assert all(r["event"]["reason"] == "address-denied" for r in records)
        assert records[0]["sallyport"]["list"] == "doors" and "list" not in records[1]["sallyport"]
        assert gateway.status()["counters"]["connections_refused"] == 2
        gateway.write("doors.txt", "127.0.0.9\n")
        eventually(lambda: greeted(gateway, "127.0.0.2"), what="the list is read anew")
        assert not greeted(gateway, "127.0.0.9")


def test_deny_is_recorded(lists):
    lists.forget_records()
    assert status(lists, "192.0.2.5") == 403
    record = lists.new_records()[0]
    assert record["sallyport"]["reason"] == "address-denied" and record["client"]["ip"] == "192.0.2.5"
    assert record["event"]["action"] == "block"


def test_allow(lists):
    assert status(lists, "198.51.100.9", path="/office/x") == 200
    assert status(lists, "198.51.101.9", path="/office/x") == 403
    assert status(lists, "198.51.101.9", path="/") == 200


def test_detect_lets_through(lists, origin):
    lists.forget_records()
    origin.forget()
    assert status(lists, "192.0.2.5", path="/seen/x") == 200
    assert origin.count == 1
    record = lists.new_records()[0]
    assert record["event"]["action"] == "detect"
    stages = [s for s in record["sallyport"]["stages"] if s["stage"] == "deny"]
    assert stages and stages[0]["enforced"] is False and stages[0]["action"] == "deny"


def test_watched_file(lists):
    """Taken over without a reload, and given back."""
    generation = lists.one("generation")
    assert status(lists, "10.77.0.1") == 200
    lists.write("watched.txt", "10.77.0.0/16  # a new one\n\n2001:db8:77::/48\n")
    eventually(lambda: status(lists, "10.77.0.1") == 403, 10, "the watched list is used")
    assert status(lists, "2001:db8:77::5") == 403
    lists.write("watched.txt", "not an address\n")
    time.sleep(0.3)
    assert status(lists, "10.77.0.1") == 403, "a bad file must not take the list away"
    lists.write("watched.txt", "\n")
    eventually(lambda: status(lists, "10.77.0.1") == 200, 10, "the list is empty again")
    assert lists.one("generation") == generation


# ---- limits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(origin):
    config = plain(origin, server={**TRUSTED, "workers": 2}, routes=[
        {"path": "/five/**", "limits": [{"rate": "5/min", "name": "five"}]},
        {"path": "/fast/**", "limits": ["50/s burst 5"]},
        {"path": "/site/**", "limits": [{"rate": "3/min", "per": "route"}]},
        {"path": "/seen/**", "limits": {"rules": ["1/min"], "mode": "detect"}}])
    with Sallyport(config) as gateway:
        yield gateway


def test_limit(limited, origin):
    origin.forget()
    answers = [limited.ask(path="/five/a", fields=from_address("192.0.2.10")) for _ in range(7)]
    assert [a.status for a in answers] == [200] * 5 + [429] * 2
    assert origin.count == 5
    refused = answers[5]
    assert 1 <= int(refused.get("retry-after")) <= 60
    assert re.search(r'"five";\s*r=0', refused.get("ratelimit"))
    assert re.search(r'"five";\s*q=5;\s*w=60', refused.get("ratelimit-policy"))
    assert refused.get("cache-control") == "no-store"
    # others are not concerned
    assert status(limited, "192.0.2.11", path="/five/a") == 200
    assert status(limited, "192.0.2.10", path="/") == 200


def test_limit_is_recorded(limited):
    for _ in range(5):
        status(limited, "192.0.2.12", path="/five/a")
    limited.forget_records()
    assert status(limited, "192.0.2.12", path="/five/a") == 429
    record = limited.new_records()[0]
    assert record["sallyport"]["reason"] == "rate-limit" and record["event"]["action"] == "block"


def test_limit_by_network_of_64(limited):
    """All addresses of a /64 are one client; the next /64 is another."""
    said = [status(limited, f"2001:db8:1:2::{n:x}", path="/five/b") for n in range(1, 8)]
    assert said == [200] * 5 + [429] * 2
    assert status(limited, "2001:db8:1:3::1", path="/five/b") == 200


def test_limit_counts_in_all_workers(limited):
    """Connections spread over two workers; the count does not."""
    said = [status(limited, "192.0.2.13", path="/five/c") for _ in range(20)]
    assert said.count(200) == 5


def test_limit_under_other_spellings(limited):
    for path in ("/five/d", "/five//d", "/%66ive/d", "/x/../five/d", "/five/d?a=1", "/five/d?b"):
        last = status(limited, "192.0.2.14", path=path)
    assert last == 429


def test_limit_recovers(limited):
    said = [status(limited, "192.0.2.15", path="/fast/x") for _ in range(30)]
    assert 429 in said
    eventually(lambda: status(limited, "192.0.2.15", path="/fast/x") == 200, 2, "room again")


def test_limit_of_the_route(limited):
    said = [status(limited, f"192.0.2.{n}", path="/site/x") for n in range(20, 25)]
    assert said == [200, 200, 200, 429, 429]


def test_limit_in_detect_mode(limited):
    assert [status(limited, "192.0.2.16", path="/seen/x") for _ in range(4)] == [200] * 4


def test_limit_survives_a_reload(limited):
    for _ in range(5):
        status(limited, "192.0.2.17", path="/five/e")
    assert limited.reload().returncode == 0
    assert status(limited, "192.0.2.17", path="/five/e") == 429


def test_spoofed_address_is_no_other_client(origin):
    """Without trusted proxies the fields that name an address change nothing."""
    with Sallyport(plain(origin, limits=["3/min"])) as gateway:
        said = [gateway.ask(fields=[("X-Forwarded-For", f"10.0.0.{n}"), ("X-Real-IP", f"10.0.1.{n}"),
                                    ("Forwarded", f"for=10.0.2.{n}")]).status for n in range(5)]
        assert said == [200] * 3 + [429] * 2


# ---- restrict ---------------------------------------------------------------------------------------


def test_restrict(origin):
    rows = {"methods": ["GET", "POST"], "args": 3, "arg_name": "10B", "arg_length": "20B", "uri": "200B", "body": "50B",
            "content_types": ["application/json", "image/*"], "headers": 12}
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    with Sallyport(plain(origin, restrict=rows)) as gateway:
        for want, arguments in [
            (200, {}), (405, {"method": "PUT"}), (405, {"method": "DELETE"}),
            (200, {"path": "/?a=1&b=2&c=3"}), (400, {"path": "/?a=1&b=2&c=3&d=4"}),
            (400, {"path": "/?abcdefghijk=1"}), (400, {"path": "/?a=" + "b" * 21}),
            (414, {"path": "/" + "a" * 210}),
            (431, {"fields": [(f"X-{n}", "1") for n in range(20)]}),
            (200, {"method": "POST", "body": b"{}", "fields": [("Content-Type", "application/json")]}),
            (413, {"method": "POST", "body": b"x" * 60, "fields": [("Content-Type", "application/json")]}),
            (200, {"method": "POST", "body": b"x", "fields": [("Content-Type", "image/png")]}),
            (415, {"method": "POST", "body": b"a=1", "fields": form}),
        ]:
            assert gateway.ask(**arguments).status == want, arguments


# ---- basic authentication ---------------------------------------------------------------------------

# The password of each is its name.
HASHES = {
    "bert": "$2b$04$abcdefghijklmnopqrstuu",
    "carl": "$6$rounds=1000$saltsalt$",
    "dora": "$5$rounds=1000$saltsalt$",
}


def crypt_hash(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import crypt
    return crypt.crypt(name, HASHES[name])


def argon_hash(password):
    """By the library that the gateway uses, too: no other is in a plain system."""
    import ctypes
    sodium = ctypes.CDLL("libsodium.so.23")
    assert sodium.sodium_init() >= 0
    out = ctypes.create_string_buffer(128)
    assert sodium.crypto_pwhash_str_alg(out, password.encode(), ctypes.c_ulonglong(len(password)),
                                        ctypes.c_ulonglong(2), ctypes.c_size_t(8 << 20), 2) == 0
    return out.value.decode()


def basic(name, password):
    return [("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())]


@pytest.fixture(scope="module")
def gated(origin):
    users = "\n".join([f"anna:{argon_hash('anna')}"] + [f"{n}:{crypt_hash(n)}" for n in HASHES]) + "\n"
    routes = [{"path": "/gate/**", "basic": {"realm": "Back door", "file": "users", "pass": "X-Remote-User"}}]
    with Sallyport(plain(origin, routes=routes), files={"users": users}) as gateway:
        yield gateway


@pytest.mark.parametrize("name", ["anna", *HASHES])
def test_good_login(gated, origin, name):
    origin.forget()
    for _ in range(3):
        assert gated.ask(path="/gate/x", fields=basic(name, name)).status == 200
    seen = origin.wait(3)[0].message
    assert seen.get("x-remote-user") == name
    assert "authorization" not in seen.names()
    assert gated.record_of(seen.get("x-request-id"))["user"]["name"] == name


@pytest.mark.parametrize("name,password", [("anna", "bert"), ("anna", ""), ("nobody", "anna"), ("", ""), ("bert", "bert "),
                                           ("Anna", "anna"), ("carl", "Carl")])
def test_bad_login(gated, origin, name, password):
    origin.forget()
    answer = gated.ask(path="/gate/x", fields=basic(name, password))
    assert answer.status == 401
    assert answer.get("www-authenticate").startswith('Basic realm="Back door"')
    assert origin.count == 0


@pytest.mark.parametrize("value", [None, "Basic", "Basic !!!", "Basic YW5uYQ==", "Bearer YW5uYTphbm5h", "Basic " + "A" * 5000,
                                   "Basic YW5uYTphbm5h, Basic YW5uYTphbm5h", "Basic YW5u\tYTphbm5h", "YW5uYTphbm5h"])
def test_malformed_login(gated, origin, value):
    origin.forget()
    answer = gated.ask(path="/gate/x", fields=[("Authorization", value)] if value else [])
    assert answer.status == 401 and "www-authenticate" in answer.names()
    assert origin.count == 0


def test_the_lent_field_is_ours(gated, origin):
    origin.forget()
    spoof = [("X-Remote-User", "admin"), ("X_Remote_User", "admin"), ("x.remote.user", "admin")]
    assert gated.ask(path="/gate/x", fields=basic("carl", "carl") + spoof).status == 200
    seen = origin.wait(1)[0].message
    assert seen.all("x-remote-user") == ["carl"] and b"admin" not in seen.raw


def test_the_lent_field_is_ours_where_nobody_signs_in(gated, origin):
    """Upstream takes the field as our word on every route, so no route lets a client's own copy through."""
    origin.forget()
    spoof = [("X-Remote-User", "admin"), ("X_Remote_User", "admin"), ("x.remote.user", "admin")]
    assert gated.ask(path="/free", fields=spoof).status == 200
    assert b"admin" not in origin.wait(1)[0].message.raw


def test_gate_under_other_spellings(gated, origin):
    origin.forget()
    for path in ("/gate/x", "/gate//x", "/%67ate/x", "//gate/x", "/a/../gate/x", "/./gate/x"):
        assert gated.ask(path=path).status == 401
    assert origin.count == 0


def test_many_bad_logins_do_not_stop_the_others(gated):
    """Hashing goes on beside the loop: who needs none is served as before."""
    stop, done = threading.Event(), []

    def attack(number):
        while not stop.is_set():
            done.append(gated.ask(path="/gate/x", fields=basic("anna", f"wrong{number}-{len(done)}")).status)
    threads = [threading.Thread(target=attack, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    times = []
    with gated.client() as client:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            began = time.monotonic()
            assert client.ask(path="/free").status == 200
            times.append(time.monotonic() - began)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert set(done) <= {401, 429, 503} and 401 in done
    times.sort()
    assert times[len(times) // 2] < 0.1, times[len(times) // 2]


def test_password_is_not_in_the_records(gated):
    gated.ask(path="/gate/x", fields=basic("anna", "correct-horse-battery"))
    gated.forget_records()
    with open(gated.audit_path) as file:
        text = file.read()
    encoded = base64.b64encode(b"anna:correct-horse-battery").decode()
    assert "correct-horse-battery" not in text and encoded not in text
    assert "correct-horse-battery" not in "".join(gated.stderr)


# ---- security headers -------------------------------------------------------------------------------


def test_headers(origin, authority):
    pair = authority.issue("headers", "test")
    routes = [{"path": "/basic", "headers": "basic"}, {"path": "/off", "headers": "off"},
              {"path": "/own", "headers": {"preset": "strict", "set": {"X-Own": "1", "Server": "mine"}, "add": {"Vary": "X"},
                                           "remove": ["X-Runtime"], "csp": "default-src 'none'"}}]
    origin.default = response(200, b"origin", [("Server", "Apache/2.4.1"), ("X-Powered-By", "PHP/5"), ("X-Runtime", "1"),
                                               ("Vary", "Accept")])
    try:
        config = plain(origin, server={"listen": {"https": "127.0.0.1:0"}}, headers="strict", routes=routes,
                       tls={"cert": pair.cert, "key": pair.key})
        with Sallyport(config) as gateway:
            import ssl
            context = ssl._create_unverified_context()
            with gateway.tls_client(context) as client:
                strict = client.ask()
            assert "max-age=" in strict.get("strict-transport-security")
            assert strict.get("x-content-type-options") == "nosniff"
            assert strict.get("x-frame-options") == "DENY" and strict.get("referrer-policy")
            assert "server" not in strict.names() and "x-powered-by" not in strict.names()
            assert "strict-transport-security" not in gateway.ask().names()
            basic_ = gateway.ask(path="/basic")
            assert basic_.get("x-content-type-options") == "nosniff" and basic_.get("x-frame-options") == "SAMEORIGIN"
            off = gateway.ask(path="/off")
            assert off.get("server") == "Apache/2.4.1" and "x-content-type-options" not in off.names()
            own = gateway.ask(path="/own")
            assert own.get("x-own") == "1" and own.get("server") == "mine" and "x-runtime" not in own.names()
            assert own.all("vary") == ["Accept", "X"]
            assert own.get("content-security-policy") == "default-src 'none'"
    finally:
        origin.default = response(200, b"origin")


# ---- rules ------------------------------------------------------------------------------------------

RULES = [
    {"name": "xmlrpc", "when": 'path == "/xmlrpc.php" and method == "POST"', "do": "block"},
    {"name": "agent", "when": 'header("user-agent") contains "evilbot"', "do": "block", "status": 404},
    {"name": "secret-word", "match": "open\\s+sesame", "in": "args", "do": "block", "message": "A magic word"},
    {"name": "noted", "match": "curious", "in": "args", "do": "log"},
    {"name": "friend", "when": 'header("x-friend") == "yes"', "do": "allow"},
    {"name": "behind-friend", "when": 'path == "/guarded"', "do": "block"},
    {"name": "inside", "when": "client.ip in @inner and path == \"/inner\"", "do": "block"},
]


@pytest.fixture(scope="module")
def ruled(origin):
    config = plain(origin, server=TRUSTED, waf={"mode": "block", "ruleset": "none", "rules": RULES},
                   routes=[{"path": "/detect/**", "waf": {"mode": "detect"}}, {"path": "/off/**", "waf": {"mode": "off"}}])
    config["lists"] = {"inner": {"ips": ["10.0.0.0/8"]}}
    with Sallyport(config) as gateway:
        yield gateway


@pytest.mark.parametrize("want,arguments", [
    (403, {"method": "POST", "path": "/xmlrpc.php", "body": b""}), (200, {"path": "/xmlrpc.php"}),
    (403, {"method": "POST", "path": "/%78mlrpc.php", "body": b""}),
    (404, {"fields": [("User-Agent", "an evilbot/1")]}), (200, {"fields": [("User-Agent", "a goodbot")]}),
    (403, {"path": "/?q=open%20sesame"}), (403, {"path": "/?q=open+%09sesame"}), (200, {"path": "/?q=opensesame"}),
    (403, {"path": "/?x=1&y=2&q=please+OPEN++Sesame+now"}),
    (403, {"method": "POST", "body": b"a=1&q=open+sesame", "fields": [("Content-Type", "application/x-www-form-urlencoded")]}),
    (200, {"path": "/?q=curious"}), (403, {"path": "/guarded"}), (200, {"path": "/guarded", "fields": [("X-Friend", "yes")]}),
    (200, {"path": "/inner"}), (200, {"path": "/off/?q=open+sesame"}), (200, {"path": "/detect/?q=open+sesame"}),
])
def test_rules(ruled, want, arguments):
    assert ruled.ask(**arguments).status == want


def test_rule_with_a_list(ruled):
    assert status(ruled, "10.1.2.3", path="/inner") == 403
    assert status(ruled, "11.1.2.3", path="/inner") == 200


def test_rule_matches_across_chunks(ruled, origin):
    origin.forget()
    data = request("POST", "/", fields=["Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"])
    with ruled.client() as client:
        client.send(data)
        client.trickle(chunked(*[bytes([c]) for c in b"q=open+sesame"]), 3)
        assert client.answer().status == 403
    assert origin.count == 0


def test_rule_is_recorded(ruled):
    ruled.forget_records()
    assert ruled.ask(path="/?q=open+sesame&other=1").status == 403
    record = ruled.new_records()[0]
    match = record["sallyport"]["matches"][0]
    assert match["rule"] == "secret-word" and match["msg"] == "A magic word"
    assert match["field"] == "args:q" and "sesame" in match["sample"] and match["offset"] == 0
    assert record["rule"]["id"] == "secret-word" and record["sallyport"]["reason"] == "rule"


def test_rule_that_logs(ruled, origin):
    ruled.forget_records()
    origin.forget()
    assert ruled.ask(path="/?q=curious").status == 200
    assert origin.count == 1
    record = ruled.new_records()[0]
    assert [m["rule"] for m in record["sallyport"]["matches"]] == ["noted"]
    assert record["event"]["action"] == "pass"


def test_core_rules(origin):
    """A handful; the rules' own examples are tested with the rules."""
    attacks = ["/?q=%27%20OR%201=1--", "/?q=1%20UNION%20SELECT%20a,b%20FROM%20users", "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
               "/?q=%3Cimg%20src=x%20onerror=alert(1)%3E", "/?f=../../../../etc/passwd", "/?f=..%252f..%252fetc/passwd",
               "/?c=;cat%20/etc/passwd", "/?x=$%7Bjndi:ldap://e/a%7D", "/?u=http://169.254.169.254/latest/meta-data/"]
    benign = ["/", "/?q=the%20student%20union", "/?q=O%27Brien", "/search?q=chairs+and+tables&page=2", "/?text=a%20%3C%20b",
              "/?mail=a.b%2Bc@example.org", "/blog/2024/union-square"]
    with Sallyport(plain(origin, waf={"mode": "block", "ruleset": "core"})) as gateway:
        for path in attacks:
            assert gateway.ask(path=path).status == 403, path
        for path in benign:
            assert gateway.ask(path=path).status == 200, path
        for field in ("User-Agent", "Referer", "Cookie"):
            value = "a=<script>alert(1)</script>"
            assert gateway.ask(fields=[(field, value)]).status == 403 or field == "Cookie"
        form = [("Content-Type", "application/x-www-form-urlencoded")]
        assert gateway.ask("POST", body=b"text=%3Cscript%3Ealert(1)%3C/script%3E", fields=form).status == 403
        assert gateway.ask("POST", body=b"text=hello+there", fields=form).status == 200
        assert gateway.ask("POST", body=b'{"a": {"b": ["x", "<script>alert(1)</script>"]}}',
                           fields=[("Content-Type", "application/json")]).status == 403


def test_body_that_is_too_large_to_inspect(origin):
    """413 in block mode; in detect mode it goes through, and the record says that it was not seen."""
    config = plain(origin, waf={"mode": "block", "ruleset": "core", "body_limit": "64KiB"},
                   routes=[{"path": "/d", "waf": {"mode": "detect"}}])
    config["audit"]["record"] = ["blocked", "detected"]
    with Sallyport(config) as gateway:
        fields = [("Content-Type", "text/plain")]
        assert gateway.ask("POST", body=b"x " * 30000, fields=fields).status == 200
        origin.forget()
        assert gateway.ask("POST", body=b"x " * 40000, fields=fields).status == 413
        with gateway.client() as client:
            client.send(request("POST", "/", fields=["Transfer-Encoding: chunked", "Content-Type: text/plain"]))
            client.send(b"".join(b"1000\r\n" + b"x " * 2048 + b"\r\n" for _ in range(20)) + b"0\r\n\r\n")
            assert client.answer().status == 413
        assert origin.count == 0
        gateway.forget_records()
        assert gateway.ask("POST", "/d", body=b"x " * 40000, fields=fields).status == 200
        assert origin.wait(1)[0].body == b"x " * 40000
        assert gateway.new_records()[0]["sallyport"]["body_unseen"] is True


def test_least_strict_mode_wins(origin):
    rule = [{"name": "r", "when": 'path == "/x"', "do": "block"}]
    for server, site, feature, want in [("block", "block", "block", 403), ("detect", "block", "block", 200),
                                        ("block", "detect", "block", 200), ("block", "block", "detect", 200),
                                        ("off", "block", "block", 200), ("block", "off", "block", 200)]:
        config = plain(origin, server={"mode": server}, mode=site,
                       waf={"mode": feature, "ruleset": "none", "rules": rule})
        with Sallyport(config) as gateway:
            assert gateway.ask(path="/x").status == want, (server, site, feature)


def test_unless(origin):
    config = plain(origin, waf={"mode": "block", "ruleset": "none", "unless": 'header("x-skip") == "1"',
                                "rules": [{"name": "r", "when": 'path == "/x"', "do": "block"}]})
    with Sallyport(config) as gateway:
        assert gateway.ask(path="/x").status == 403
        assert gateway.ask(path="/x", fields=[("X-Skip", "1")]).status == 200


def test_block_page(ruled):
    ruled.forget_records()
    page = ruled.ask(path="/?q=open+sesame", fields=[("Accept", "text/html,application/xhtml+xml")])
    request_id = ruled.new_records()[0]["http"]["request"]["id"]
    assert page.status == 403 and page.get("content-type").startswith("text/html")
    assert request_id.encode() in page.body and b"sesame" not in page.body
    assert "default-src 'none'" in page.get("content-security-policy", "default-src 'none'")
    problem = ruled.ask(path="/?q=open+sesame", fields=[("Accept", "application/json")])
    said = json.loads(problem.body)
    assert problem.get("content-type") == "application/problem+json"
    assert said["status"] == 403 and ruled.new_records()[0]["http"]["request"]["id"] in json.dumps(said)
    head = ruled.ask("HEAD", "/?q=open+sesame")
    assert head.status == 403
