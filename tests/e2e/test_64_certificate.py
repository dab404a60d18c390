"""Client certificates as users: by alternative name, one of a kind, of the site's own CA only."""
import ssl
import shutil

import pytest
from harness import Cut, Origin, Sallyport, plain, response, says


@pytest.fixture(scope="module")
def gateway(authority, other_authority):
    site, other = authority.issue("certs", "one.test"), authority.issue("certs2", "two.test")
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"listen": {"https": "127.0.0.1:0"}})
        first = config["sites"][0]
        ask = {"ca": authority.ca.cert, "require": "optional"}
        first.update(host="one.test", tls={"cert": site.cert, "key": site.key, "client_cert": ask},
                     certificate={"name": "email", "users": {"ann@x.test": "ann", "spare@x.test": "bob"},
                                  "pass": "X-User"})
        second = dict(first, host="two.test", certificate={"name": "uri"},
                      tls={"cert": other.cert, "key": other.key,
                           "client_cert": {"ca": other_authority.ca.cert, "require": "optional"}})
        config["sites"] = [first, second]
        with Sallyport(config) as running:
            running.origin = origin
            yield running


def ask(gateway, authority, name, pair=None, host=None, fields=()):
    made = ssl.create_default_context(cafile=authority.ca.cert)
    if pair:
        made.load_cert_chain(pair.cert, pair.key)
    with gateway.tls_client(made, name) as client:
        return client.ask(host=host or name, fields=fields)


CASES = [
    ("email:ann@x.test", "ann"),
    ("email:ann@x.test,DNS:other.test,email:nobody@x.test", "ann"),
    ("email:ann@x.test,email:spare@x.test", None),
    ("email:eve@x.test", None),
    ("email:Ann@x.test", None),
    ("DNS:ann.x.test,URI:mailto:ann@x.test", None),
]


@pytest.mark.parametrize("names,user", CASES)
def test_who_it_is(gateway, authority, names, user):
    pair = authority.issue(f"client{CASES.index((names, user))}", client=True, names=names)
    answer = ask(gateway, authority, "one.test", pair, fields=[("X-User", "root"), ("x_user", "root")])
    assert answer.status == (200 if user else 401)
    if user:
        seen = gateway.origin.heads[-1]
        assert [v for n, v in seen.fields if n.lower().replace("_", "-") == "x-user"] == [user]
        record = gateway.record_of(seen.get("x-request-id"))
        assert record["user"]["name"] == user and record["sallyport"]["auth"] == "certificate"


def test_without_one(gateway, authority):
    answer = ask(gateway, authority, "one.test")
    assert answer.status == 401 and answer.get("www-authenticate") == "ClientCertificate"


def test_one_of_the_other_sites_authority(gateway, authority, other_authority):
    """Good for two.test; to one.test it is a stranger's, in the handshake and over the other's connection."""
    pair = other_authority.issue("spiffe", client=True, names="URI:spiffe://x/ann,email:ann@x.test")
    assert ask(gateway, authority, "two.test", pair).status == 200
    assert ask(gateway, authority, "two.test", pair, host="one.test").status in (401, 421)
    try:
        status = ask(gateway, authority, "one.test", pair).status
    except (ssl.SSLError, ConnectionError, Cut):
        status = None  # the handshake already
    assert status in (None, 400, 401)


def test_fields_are_no_certificate(gateway, authority):
    fields = [("X-Client-Cert", "ann"), ("X-SSL-Client-Verify", "SUCCESS"), ("Client-Cert", ":MIIB:")]
    assert ask(gateway, authority, "one.test", fields=fields).status == 401


# ---- revocation --------------------------------------------------------------------------------


def status(gateway, authority, pair):
    try:
        return ask(gateway, authority, "crl.test", pair).status
    except (ssl.SSLError, ConnectionError, Cut):
        return None  # the handshake already


def test_revoked(authority, tmp_path_factory):
    """Refused in a handshake, in a session that is resumed after a reload, and all are where the list is old."""
    site = authority.issue("crlsite", "crl.test")
    good, bad = (authority.issue(f"crl{n}", client=True, names=f"email:{n}@x.test") for n in ("good", "bad"))
    folder = tmp_path_factory.mktemp("crl")
    folder.chmod(0o755)
    lists = {"none": authority.revocations("none"), "bad": authority.revocations("bad", bad),
             "old": authority.revocations("old", bad, until="210101000000Z")}
    path = str(folder / "clients.crl")
    shutil.copy(lists["none"], path)
    with Origin(says(response(200, b"inside"))) as origin:
        made = plain(origin, {"listen": {"https": "127.0.0.1:0"}})
        made["sites"][0].update(host="crl.test", certificate={"name": "email"}, tls={
            "cert": site.cert, "key": site.key,
            "client_cert": {"ca": authority.ca.cert, "crl": path, "require": "optional"}})
        with Sallyport(made) as gateway:
            assert status(gateway, authority, good) == status(gateway, authority, bad) == 200
            # Two sessions to be resumed behind the reload.
            resumed = {}
            for pair in (good, bad):
                context = ssl.create_default_context(cafile=authority.ca.cert)
                context.load_cert_chain(pair.cert, pair.key)
                with gateway.tls_client(context, "crl.test") as client:
                    assert client.ask(host="crl.test").status == 200
                    resumed[pair.cert] = (context, client.sock.session)
            shutil.copy(lists["bad"], path)
            assert gateway.reload().returncode == 0
            assert status(gateway, authority, good) == 200
            assert status(gateway, authority, bad) in (None, 400, 401)
            for pair, allowed in ((good, (200,)), (bad, (None, 400, 401))):
                context, session = resumed[pair.cert]
                try:
                    with gateway.tls_client(context, "crl.test", session=session) as client:
                        answer = client.ask(host="crl.test").status
                except (ssl.SSLError, ConnectionError, Cut):
                    answer = None
                assert answer in allowed, pair.cert
            shutil.copy(lists["old"], path)
            assert gateway.reload().returncode == 0
            assert status(gateway, authority, good) in (None, 400, 401)
            # A list that is none is refused at load, and what was known stays.
            with open(path, "w", encoding="ascii") as file:
                file.write("no list\n")
            assert gateway.reload().returncode == 2
            # Who sends none is nobody, with or without a list.
            assert ask(gateway, authority, "crl.test").status == 401
