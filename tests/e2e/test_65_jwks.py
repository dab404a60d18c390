"""Key sets by address: fetched, rotated, kept when the provider is down, and never asked for more than is due."""
import concurrent.futures
import json
import socket
import time

import pytest
from harness import Origin, Sallyport, eventually, plain, response, says
from idp import Idp, make_key
from nameserver import A, NameServer, address


def config(origin, idp, **issuer):
    row = {"issuer": idp.issuer, "audience": ["api"], "keys_url": idp.issuer + "/keys", **issuer}
    return plain(origin, jwt={"issuers": [{k: v for k, v in row.items() if v is not None}], "pass": "X-User"})


@pytest.fixture(scope="module")
def inside():
    with Origin(says(response(200, b"inside"))) as origin:
        yield origin


def ask(gateway, token):
    return gateway.ask(fields=[("Authorization", f"Bearer {token}")])


def passes(gateway, token):
    return eventually(lambda: ask(gateway, token).status == 200, what="a token of the provider passes")


def test_keys_are_fetched_and_change(inside):
    """A new key is taken when it is first met; keys that somebody made up are looked for once in 30 seconds."""
    with Idp() as idp, Sallyport(config(inside, idp)) as gateway:
        assert passes(gateway, idp.access_token())
        assert inside.heads[-1].get("x-user") == "ann"
        before = idp.count("/keys")
        old, idp.keys = idp.keys, [make_key("RS256", "k2")]
        assert ask(gateway, idp.access_token()).status == 200  # it waits for the new set
        assert idp.count("/keys") == before + 1
        assert ask(gateway, idp.access_token(key=old[0])).status == 401  # withdrawn: at once, cache or not

        forged = make_key("ES256", "made-up")
        gateway.forget_records()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(gateway, idp.access_token(key=forged)).status, range(40)))
        assert answers == [401] * 40
        assert idp.count("/keys") == before + 1
        assert {r["sallyport"].get("detail") for r in gateway.new_records(40)} == {"token-key-unknown"}


def test_many_wait_for_one_fetch(inside):
    with Idp() as idp, Sallyport(config(inside, idp)) as gateway:
        assert passes(gateway, idp.access_token())
        before = idp.count("/keys")
        idp.keys = [make_key("ES256", "k2")]

        def slowly(handler):
            time.sleep(0.3)
            handler.say(200, idp.jwks())

        idp.broken["/keys"] = slowly
        token = idp.access_token()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: ask(gateway, token).status, range(20)))
        assert answers == [200] * 20
        assert idp.count("/keys") == before + 1


def test_discovery_over_tls(inside, authority, other_authority):
    pair = authority.issue("idp", "localhost")
    with Idp(pair) as idp:
        with Sallyport(config(inside, idp, keys_url=None, discover=True, ca=authority.ca.cert)) as gateway:
            assert passes(gateway, idp.access_token())
            assert ("GET", "/.well-known/openid-configuration") in idp.asked
        with Sallyport(config(inside, idp, keys_url=None, discover=True, ca=other_authority.ca.cert)) as gateway:
            eventually(lambda: "certificate" in "".join(gateway.stderr), what="the reason in the log")
            before = len(idp.asked)
            assert ask(gateway, idp.access_token()).status == 503
            assert len(idp.asked) == before  # not one request was sent to whoever that is
        wrong = authority.issue("elsewhere", "elsewhere.test")
    with Idp(wrong) as idp, \
            Sallyport(config(inside, idp, keys_url=None, discover=True, ca=authority.ca.cert)) as gateway:
        eventually(lambda: "hostname mismatch" in "".join(gateway.stderr), what="the reason in the log")


def test_names_are_looked_up(inside, authority):
    """Issuer and keys on hosts that only the name server knows; it changes its mind, then is silent."""
    pair = authority.issue("names", "id.test", "keys.test")
    with NameServer({("id.test", A): (1, [address("127.0.0.1")]), ("keys.test", A): (1, [address("127.0.0.1")])}) as names, \
            Idp(pair, name="id.test") as idp:
        idp.metadata = {"jwks_uri": f"https://keys.test:{idp.port}/keys"}
        made = config(inside, idp, keys_url=None, discover=True, ca=authority.ca.cert)
        made["server"]["resolver"] = names.address
        with Sallyport(made) as gateway:
            assert passes(gateway, idp.access_token())
            assert {"id.test", "keys.test"} <= {name for name, *_ in names.asked}
            names.how = lambda query, kind: query.answer(code=3)  # there is no such name any more
            idp.keys = [make_key("RS256", "k2")]
            assert ask(gateway, idp.access_token()).status == 200  # the addresses that they had


def test_a_name_that_nobody_knows(inside, authority):
    with NameServer() as names:
        made = plain(inside, jwt={"issuers": [{"issuer": "https://id.test", "discover": True, "audience": ["api"]}]})
        made["server"]["resolver"] = names.address
        with Sallyport(made) as gateway:
            eventually(lambda: "no address" in "".join(gateway.stderr), what="the reason in the log")
            with Idp() as idp:
                assert ask(gateway, idp.access_token(issuer="https://id.test")).status == 503


def test_another_issuers_document_is_refused(inside):
    """OpenID Connect Discovery 4.3: a provider cannot speak for another one."""
    with Idp() as idp:
        idp.metadata = {"issuer": "https://accounts.example.com"}
        with Sallyport(config(inside, idp, keys_url=None, discover=True)) as gateway:
            eventually(lambda: "of another issuer" in "".join(gateway.stderr), what="the reason in the log")
            assert ask(gateway, idp.access_token()).status == 503
            assert idp.count("/keys") == 0
            idp.metadata = {}
            assert passes(gateway, idp.access_token())  # it tries again by itself


def test_keys_elsewhere_that_are_not_https_are_refused(inside):
    with Idp() as idp:
        idp.metadata = {"jwks_uri": "http://192.0.2.1/keys"}
        with Sallyport(config(inside, idp, keys_url=None, discover=True)) as gateway:
            eventually(lambda: "not https" in "".join(gateway.stderr), what="the reason in the log")
            assert ask(gateway, idp.access_token()).status == 503


def too_large(handler):
    handler.say(200, b'{"keys": [' + b" " * (200 * 1024) + b"]}")


def a_redirect(handler):
    handler.say(302, b"", Location="/other-keys")


def a_secret(handler):
    handler.say(200, {"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0" * 8}]})


def twice(handler):
    handler.say(200, b'{"keys": [], "keys": []}')


def coded(handler):
    handler.say(200, b"\x1f\x8b garbage", Content_Encoding="gzip")


@pytest.mark.parametrize("way", [too_large, a_redirect, a_secret, twice, coded,
                                 lambda h: h.say(500, b"down"), lambda h: h.say(200, b"<html>")])
def test_what_is_no_key_set_changes_nothing(inside, way):
    with Idp() as idp, Sallyport(config(inside, idp)) as gateway:
        token = idp.access_token()
        assert passes(gateway, token)
        idp.broken["/keys"] = way
        before = idp.count("/keys")
        assert ask(gateway, idp.access_token(key=make_key(kid="new"))).status == 401
        assert idp.count("/keys") == before + 1 and idp.count("/other-keys") == 0
        assert ask(gateway, token).status == 200
        assert ask(gateway, idp.access_token(sub="bob")).status == 200


def test_a_provider_that_is_down(inside):
    """Before the first keys nobody is let in, and it is said to be no fault of theirs; a reload forgets no keys."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = make_key()
    down = Idp(keys=[key])
    token, settings = None, None
    down.issuer = f"http://127.0.0.1:{port}"
    token, settings = down.access_token(), config(inside, down)
    down.stop()
    with Sallyport(settings) as gateway:
        gateway.forget_records()
        answer = ask(gateway, token)
        assert answer.status == 503
        record = gateway.new_records(1)[0]
        assert record["sallyport"]["reason"] == "auth-provider"
        with Idp(keys=[key], port=port) as idp:
            assert passes(gateway, token)
            assert idp.count("/keys") >= 1
        assert gateway.reload().returncode == 0  # down again
        assert passes(gateway, token)
        assert ask(gateway, down.access_token(sub="bob")).status == 200
        steward = gateway.one("steward")
        gateway.signal_pid = steward
        import os
        import signal
        os.kill(steward, signal.SIGKILL)
        eventually(lambda: gateway.one("steward") != steward, what="another steward")
        assert ask(gateway, down.access_token(sub="cid")).status == 200


def test_configuration_says_what_is_wrong(inside):
    from harness import command
    import tempfile
    rows = [
        ({"keys": "k.json", "keys_url": "https://id.test/keys"}, "one of keys, keys_url and discover"),
        ({}, "one of keys, keys_url and discover"),
        ({"keys_url": "http://id.test/keys"}, "not https"),
        ({"keys_url": "https://id.test/keys", "algorithms": ["HS256"]}, "a secret is not fetched"),
        ({"keys_url": "https://127.0.0.1/keys", "ca": "nothing.pem"}, "nothing.pem"),
        ({"issuer": "http://id.test", "discover": True}, "not https"),
        ({"issuer": "no url", "discover": True}, "cannot be used"),
    ]
    for row, text in rows:
        issuer = {"issuer": "https://id.test", "audience": "api", **row}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(plain("http://127.0.0.1:9", jwt={"issuers": [issuer]}), file)
            file.flush()
            done = command("check", "-c", file.name)
            assert done.returncode == 2 and text in done.stdout + done.stderr, (row, done.stdout, done.stderr)
