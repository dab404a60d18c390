"""TLS towards clients: versions, names, client certificates, resumption, and nothing served to the wrong name."""
import contextlib
import socket
import ssl
import subprocess
import time

import pytest

from harness import Client, Origin, Sallyport, eventually, merge, plain, request, soon


def context(authority=None, version=None, alpn=None, pair=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if authority:
        made.load_verify_locations(authority.ca.cert)
        made.check_hostname, made.verify_mode = True, ssl.CERT_REQUIRED
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    if pair:
        made.load_cert_chain(*pair)
    return made


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def config(origin, authority):
    """Two sites with certificates of their own, one that wants client certificates, one modern."""
    base = plain(origin, server={"listen": {"https": "127.0.0.1:0"}, "workers": 2})
    site = base["sites"].pop()
    for name, tls in (("a.test", {}), ("b.test", {}), ("*.wild.test", {}), ("new.test", {"profile": "modern"}),
                      ("ids.test", {"client_cert": {"ca": authority.ca.cert, "require": "require"}})):
        pair = authority.issue(name.replace("*", "star"), name)
        base["sites"].append(merge(site, {"host": name, "tls": {"cert": pair.cert, "key": pair.key, **tls}}))
    return base


@pytest.fixture(scope="module")
def gateway(config):
    with Sallyport(config) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


@pytest.mark.parametrize("version", [V12, V13])
def test_versions(gateway, origin, authority, version):
    with gateway.tls_client(context(authority, version), "a.test") as client:
        assert client.ask(host="a.test").status == 200
        assert client.ask("POST", host="a.test", body=b"x" * 100000).status == 200
        assert client.sock.version() == ("TLSv1.2" if version == V12 else "TLSv1.3")
    seen = origin.wait(2)[0].message
    assert seen.get("x-forwarded-proto") == "https"
    record = gateway.record_of(seen.get("x-request-id"))
    assert record["tls"]["version"] == ("1.2" if version == V12 else "1.3")
    assert record["url"]["scheme"] == "https"


def test_old_versions_are_refused(gateway):
    old = context()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gateway.tls_client(old, "a.test")


def test_weak_ciphers_are_refused(gateway):
    weak = context(version=V12)
    weak.set_ciphers("AES128-SHA:AES256-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gateway.tls_client(weak, "a.test")


def test_modern_profile(gateway, authority):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gateway.tls_client(context(version=V12), "new.test")
    with gateway.tls_client(context(authority, V13), "new.test") as client:
        assert client.ask(host="new.test").status == 200


@pytest.mark.parametrize("name", ["a.test", "b.test", "A.TEST", "deep.wild.test"])
def test_certificate_by_name(gateway, authority, name):
    with gateway.tls_client(context(authority), name) as client:
        assert client.ask(host=name).status == 200


@pytest.mark.parametrize("name", ["unknown.test", None])
def test_unknown_name(gateway, name):
    """No certificate is shown to those who do not know a name, or its sites are not served."""
    try:
        with gateway.tls_client(context(), name) as client:
            assert client.ask(host=name or "x.test").status in (404, 421)
    except (ssl.SSLError, ConnectionError):
        pass


def test_other_host_on_the_connection(gateway, origin):
    with gateway.tls_client(context(), "a.test") as client:
        assert client.ask(host="a.test").status == 200
        assert client.ask(host="ids.test").status == 421
    assert origin.count == 1


def test_plain_http_on_the_tls_port(gateway, origin):
    with Client(gateway.address("https")) as client:
        client.send(request(host="a.test"))
        client.sock.settimeout(5)
        try:
            said = client.sock.recv(4096)
        except ConnectionError:
            said = b""
        assert b"HTTP/1.1 200" not in said
    assert origin.count == 0


def test_https_site_on_the_plain_port_still_knows_its_scheme(gateway, origin):
    assert gateway.ask(host="a.test").status in (200, 301, 308)


def test_garbage_on_the_tls_port(gateway):
    for junk in (b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"a" * 300, b"\x16\x03\x01\0\x05\x01\0\0\x01\0", b"A"):
        with Client(gateway.address("https")) as client:
            client.send(junk)
            client.sock.shutdown(socket.SHUT_WR)
            client.sock.settimeout(5)
            try:
                while client.sock.recv(4096):
                    pass
            except ConnectionError:
                pass
    with gateway.tls_client(context(), "a.test") as client:
        assert client.ask(host="a.test").status == 200


def key_updates(gateway, name, alpn):
    """openssl s_client sends one for each K that it reads by itself, until the gateway has had enough."""
    asker = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % gateway.address("https"), "-servername", name,
                              "-alpn", alpn], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1000):
            if asker.poll() is not None:
                break
            asker.stdin.write(b"K\n")
            asker.stdin.flush()
            time.sleep(0.02)
    except BrokenPipeError:
        pass
    finally:
        asker.kill()
        asker.wait()
        with contextlib.suppress(BrokenPipeError):
            asker.stdin.close()


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_key_updates_without_end(config, alpn):
    """Each costs a derivation of keys and an answer: there is an end, a record, and others are served."""
    with Sallyport(merge(config, {"server": {"workers": 1}})) as gateway:
        key_updates(gateway, "a.test", alpn)
        record = eventually(lambda: gateway.refusals(), what="the record")[0]
        assert record["event"]["reason"] == "tls-failed"
        assert record["sallyport"]["detail"] == "too many messages of handshakes"
        with gateway.tls_client(context(), "a.test") as client:
            assert client.ask(host="a.test").status == 200


def test_failed_handshakes_are_on_record(config, authority, other_authority):
    """One record each, with why; and a counter."""
    good, evil = authority.issue("rec-ann", client=True), other_authority.issue("rec-eve", client=True)
    serial = authority.serial  # of the last one issued by it
    with Sallyport(merge(config, {"server": {"workers": 1}})) as gateway:
        def attempt(made, name):
            try:
                with gateway.tls_client(made, name) as client:
                    client.ask(host=name)
            except Exception:
                pass
        expected = []
        for detail, name, made in [
                ("no site for this server name", "unknown.test", context()),
                ("peer did not return a certificate", "ids.test", context()),
                ("certificate", "ids.test", context(pair=evil)),
                ("no application protocol", "a.test", context(alpn=["ftp"])),
                ("unsupported protocol", "new.test", context(version=V12))]:
            attempt(made, name)
            expected.append((detail, name))
        with Client(gateway.address("https")) as client:
            client.send(request(host="a.test"))
            client.sock.settimeout(5)
            try:
                client.sock.recv(100)
            except ConnectionError:
                pass
        expected.append(("http request", None))
        records = eventually(lambda: len(gateway.refusals()) == len(expected) and gateway.refusals(), 10, "records")
        for record, (detail, name) in zip(records, expected):
            assert detail in record["sallyport"]["detail"], record
            assert record["event"]["reason"] == "tls-failed" and record["source"]["ip"] == "127.0.0.1"
            if name not in (None, "unknown.test"):
                assert record["tls"]["client"]["server_name"] == name
        assert gateway.status()["counters"]["tls_failures"] == len(expected)
        # A good one leaves what it was let in with.
        with gateway.tls_client(context(alpn=["http/1.1"], pair=good), "ids.test") as client:
            assert client.ask(host="ids.test", path="/who").status == 200
        record = eventually(lambda: [r for r in gateway.records() if r.get("url", {}).get("path") == "/who"])[0]
        client = record["tls"]["client"]
        assert client["subject"] == "CN=rec-ann" and client["issuer"] == "CN=Test ca"
        assert len(client["hash"]["sha256"]) == 64 and int(client["x509"]["serial_number"], 16) == serial
        assert record["tls"]["next_protocol"] == "http/1.1" and client["server_name"] == "ids.test"


def test_a_flood_of_failed_handshakes_cannot_fill_the_log(config):
    with Sallyport(merge(config, {"server": {"workers": 1}})) as gateway:
        count = 60
        for _ in range(count):
            with Client(gateway.address("https")) as client:
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                try:
                    client.sock.recv(100)
                except ConnectionError:
                    pass

        def told():
            found = gateway.refusals()
            suppressed = sum(r["sallyport"].get("suppressed", 0) for r in found)
            real = [r for r in found if r["event"]["reason"] == "tls-failed"]
            return len(real) + suppressed == count and (len(real), suppressed)
        written, suppressed = eventually(told, 10, "all told of")
        assert suppressed > 0 and written < count
        counters = gateway.status()["counters"]
        assert counters["tls_failures"] == count and counters["connection_records_suppressed"] == suppressed


# ---- ALPN -------------------------------------------------------------------------------------------


def test_alpn_http11(gateway):
    with gateway.tls_client(context(alpn=["http/1.1"]), "a.test") as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.ask(host="a.test").status == 200


def test_alpn_prefers_what_is_served(gateway):
    with gateway.tls_client(context(alpn=["h3", "http/1.1"]), "a.test") as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"


def test_alpn_nothing_in_common(gateway):
    """RFC 7301 section 3.2: no_application_protocol, against cross-protocol attacks (ALPACA)."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with gateway.tls_client(context(alpn=["ftp", "smtp"]), "a.test") as client:
            client.ask(host="a.test")


# ---- client certificates -------------------------------------------------------------------------------


def answer_of(gateway, made, **more):
    """The status, or None when the connection was refused."""
    try:
        with gateway.tls_client(made, "ids.test", **more) as client:
            return client.ask(host="ids.test").status
    except (ssl.SSLError, ConnectionError, EOFError):
        return None
    except Exception as error:
        if "Cut" in type(error).__name__:
            return None
        raise


@pytest.mark.parametrize("version", [V12, V13])
def test_client_certificates(gateway, origin, authority, other_authority, version):
    good = authority.issue(f"ann{version}", client=True)
    evil = other_authority.issue(f"eve{version}", client=True)
    assert answer_of(gateway, context(version=version, pair=good)) == 200
    seen = origin.count
    assert answer_of(gateway, context(version=version)) in (None, 400, 403, 421)
    assert answer_of(gateway, context(version=version, pair=evil)) in (None, 400, 403, 421)
    assert origin.count == seen


def resume(gateway, made, name, session=None, host=None, ask=True):
    """(reused, session) of one connection."""
    sock = socket.create_connection(gateway.address("https"), timeout=5)
    with made.wrap_socket(sock, server_hostname=name, session=session) as tls:
        if ask:
            tls.sendall(request(host=host or name))
            while b"\r\n\r\n" not in tls.recv(65536):
                pass
        return tls.session_reused, tls.session


@pytest.mark.parametrize("version", [V12, V13])
def test_resumption_in_every_worker(gateway, version):
    """Two workers, one set of ticket keys."""
    made = context(version=version)
    _, session = resume(gateway, made, "a.test")
    reused = [resume(gateway, made, "a.test", session)[0] for _ in range(12)]
    assert all(reused)


def test_resumption_across_a_reload(config):
    with Sallyport(config) as gateway:
        made = context()
        _, session = resume(gateway, made, "a.test")
        assert gateway.reload().returncode == 0
        assert resume(gateway, made, "a.test", session)[0]


def test_a_session_of_one_site_opens_no_other(gateway, origin):
    """A ticket from a site without client certificates is worth nothing at the one that wants them (CVE-2025-23419)."""
    made = context()
    _, session = resume(gateway, made, "a.test")
    origin.forget()
    try:
        sock = socket.create_connection(gateway.address("https"), timeout=5)
        with made.wrap_socket(sock, server_hostname="ids.test", session=session) as tls:
            assert not tls.session_reused
            tls.sendall(request(host="ids.test"))
            assert b" 200 " not in tls.recv(65536)
    except (ssl.SSLError, ConnectionError, ValueError):
        pass
    assert origin.count == 0


# ---- certificates replaced --------------------------------------------------------------------------


def test_certificate_replaced_by_reload(origin, authority):
    first, second = authority.issue("first", "swap.test"), authority.issue("second", "swap.test")
    config = plain(origin, server={"listen": {"https": "127.0.0.1:0"}}, host="swap.test",
                   tls={"cert": first.cert, "key": first.key})
    with Sallyport(config) as gateway:
        def serial():
            with gateway.tls_client(context(authority), "swap.test") as client:
                return client.sock.getpeercert()["serialNumber"]
        before = serial()
        config["sites"][0]["tls"] = {"cert": second.cert, "key": second.key}
        assert gateway.reload(config).returncode == 0
        assert eventually(lambda: serial() != before, what="the new certificate")


def test_close_notify(gateway):
    """An answer that ends with the connection ends with close_notify, so that a cut can be told."""
    made = context()
    with gateway.tls_client(made, "a.test") as client:
        client.sock.suppress_ragged_eofs = False
        assert client.ask(host="a.test", fields=["Connection: close"]).status == 200
        assert client.sock.recv(1) == b""


def test_pipelined_over_tls(gateway, origin):
    with gateway.tls_client(context(), "a.test") as client:
        client.send(b"".join(request(path=f"/{i}", host="a.test") for i in range(50)))
        for _ in range(50):
            assert client.answer().status == 200
    assert [e.message.target for e in origin.wait(50)] == [f"/{i}" for i in range(50)]


def test_large_both_ways(gateway, origin):
    import hashlib
    import os
    body = os.urandom(1 << 20)

    def echo(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
        taken = exchange.read_body()
        for _ in range(8):
            exchange.send(taken)
    origin.script(echo)
    with gateway.tls_client(context(), "a.test") as client:
        answer = client.ask("POST", host="a.test", body=body)
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body * 8).digest()


def test_handshake_deadline(origin, authority):
    pair = authority.issue("slow", "slow.test")
    config = plain(origin, server={"listen": {"https": "127.0.0.1:0"}, "limits": {"tls_timeout": "300ms"}},
                   host="slow.test", tls={"cert": pair.cert, "key": pair.key})
    with Sallyport(config) as gateway, Client(gateway.address("https")) as client:
        began = time.monotonic()
        client.send(b"\x16\x03\x01")
        assert client.closed(30)
        assert 0.2 < time.monotonic() - began < soon(2)
