"""Automatic HTTPS against pebble: both challenges, renewal under load, restarts, and an authority that is down or hostile."""
import glob
import json
import os
import re
import shutil
import signal
import ssl
import stat
import tempfile
import threading
import time

import pytest

from acme import Pebble, problem
from harness import Client, Sallyport, command, eventually, plain, request
from nameserver import A, address
from ports import free_port

HOSTS = ["a.test", "b.test"]


@pytest.fixture
def shelf():
    """A folder that outlives a gateway."""
    path = tempfile.mkdtemp(prefix="sallyport-acme-")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Site:
    """Where one gateway listens, and what it is told."""

    def __init__(self, shelf, origin, authority, **pebble):
        self.shelf, self.origin = shelf, origin
        self.http, self.https = free_port(), free_port()
        self.ca = Pebble(authority, self.http, self.https, **pebble)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ca.__exit__()

    def config(self, **acme):
        made = plain(self.origin, server={"listen": {"http": f"127.0.0.1:{self.http}", "https": f"127.0.0.1:{self.https}"},
                                          "workers": 2, "metrics": "127.0.0.1:0"}, host=HOSTS)
        made["acme"] = {"directory": self.ca.directory, "email": "ops@example.com", "agree_terms": True,
                        "ca": self.ca.trust, "folder": os.path.join(self.shelf, "acme"), "retry": "1s", **acme}
        return made

    def files(self, pattern="*"):
        return sorted(glob.glob(os.path.join(self.shelf, "acme", pattern)))


def cert(gateway, *words):
    return command("cert", *words, "--control", gateway.control, "-o", "json", timeout=60)


def listed(gateway):
    done = cert(gateway, "list")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["certificates"][0]


def valid(gateway, got=1):
    def look():
        one = listed(gateway)
        return one if one["state"] == "valid" and one["got"] >= got else None
    return eventually(look, 40, "a certificate")


def trusting(root):
    made = ssl.create_default_context(cadata=root)
    made.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return made


def blind(alpn=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def served(gateway, name="a.test"):
    """The certificate that a handshake gets, DER."""
    with gateway.tls_client(blind(), name) as client:
        return client.sock.getpeercert(True)


class Handshakes:
    """A connection, a request, over and over: what fails is kept."""

    def __init__(self, gateway, context):
        self.gateway, self.context, self.done, self.failures, self.seen = gateway, context, 0, [], set()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)

    def _run(self):
        while not self.stopping.is_set():
            try:
                with self.gateway.tls_client(self.context, "b.test") as client:
                    self.seen.add(client.sock.getpeercert(True))
                    assert client.ask(host="b.test").status == 200
                self.done += 1
            except Exception as error:  # noqa: BLE001 (whatever it is counts)
                self.failures.append(repr(error))


def test_obtained_served_renewed_and_kept(shelf, origin, authority):
    """The life of a certificate; one nonce in five is refused on the way."""
    with Site(shelf, origin, authority, reject=20) as site:
        with Sallyport(site.config()) as gateway:
            one = valid(gateway)
            assert one["hosts"] == HOSTS and one["failures"] == 0 and "why" not in one
            root = trusting(site.ca.root())
            for host in HOSTS:
                with eventually(lambda: gateway.tls_client(root, host), what="the new certificate") as client:
                    assert client.ask(host=host).status == 200

            # Plain HTTP is for proofs, and nothing but those that are open now; the rest is sent on.
            proved = [r for r in gateway.records() if r["url"].get("path", "").startswith("/.well-known/acme-challenge/")]
            assert len(proved) >= 2 and all(r["http"]["response"]["status_code"] == 200 for r in proved)
            for path in (proved[0]["url"]["path"], "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../x"):
                assert gateway.ask(host="a.test", path=path).status in (308, 400), path
            assert gateway.ask(host="a.test", path="/x?y").get("location") == f"https://a.test:{site.https}/x?y"

            # Keys are for nobody else, and in no line of the log or of a command.
            for path in site.files():
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
            assert stat.S_IMODE(os.stat(os.path.join(shelf, "acme")).st_mode) == 0o700
            secret = open(site.files("a.test-*")[0]).read().split("-----")[2].split()[1]
            assert len(secret) > 40 and secret not in "".join(gateway.stderr) + json.dumps(one)

            # Renewed while handshakes go on: none fails, and the new certificate is seen.
            first = served(gateway)
            with Handshakes(gateway, root) as load:
                eventually(lambda: load.done > 10, what="handshakes")
                done = cert(gateway, "renew", "a.test", "--wait")
                assert done.returncode == 0, done.stdout + done.stderr
                eventually(lambda: len(load.seen) == 2, what="a handshake with the new certificate")
                before = load.done
                eventually(lambda: load.done > before + 10, what="handshakes")
            assert load.failures == []
            second = served(gateway)
            assert second != first and listed(gateway)["got"] == 2
            assert cert(gateway, "renew", "nobody.test").returncode == 1
            with Client(("127.0.0.1", int(dict(gateway.said)["metrics"].rsplit(":", 1)[1]))) as client:
                metrics = client.ask(path="/metrics").body.decode()
            expires = int(re.search(r'sallyport_certificate_expiry_seconds{site="a.test"} (\d+)', metrics)[1])
            assert expires == listed(gateway)["expires"] > time.time()
            assert 'sallyport_certificate_orders_total{site="a.test",outcome="got"} 2' in metrics
            assert 'sallyport_certificate_failures{site="a.test"} 0' in metrics
            orders = len(site.ca.orders())

            # Workers that are forked anew begin with it, and not with what was there at the load.
            os.kill(gateway.one("steward"), signal.SIGSTOP)
            for pid in gateway.role("worker"):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: len(gateway.role("worker")) == 2, what="two other workers")
            assert {served(gateway) for _ in range(10)} == {second}
            os.kill(gateway.one("steward"), signal.SIGCONT)

            # A reload, and a steward that is killed: the same certificate, and no order.
            assert gateway.reload().returncode == 0
            assert served(gateway) == second
            os.kill(gateway.one("steward"), 9)
            assert valid(gateway, 0)["state"] == "valid"
        with Sallyport(site.config()) as gateway:
            assert served(gateway) == second
            assert valid(gateway, 0)["got"] == 0
            assert "self-signed" not in "".join(gateway.stderr)
            assert len(site.ca.orders()) == orders

            # One host more, and an authority that is away: the others keep what they have.
            site.ca.rule = lambda asked: problem(503, "serverInternal")
            more = site.config()
            more["sites"][0]["host"] = ["c.test", *HOSTS]
            assert gateway.reload(more).returncode == 0
            assert served(gateway, "a.test") == served(gateway, "c.test") == second


def test_tls_alpn_01_with_binding(shelf, origin, authority):
    """Proved by a handshake; the account is bound to a customer's."""
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    with Site(shelf, origin, authority, binding={"kid-1": key}) as site:
        open_now = []

        def while_open(asked):
            """The first time that the challenge is told: handshakes from outside."""
            if asked.path.startswith("/chalZ") and not open_now:
                with gateway.tls_client(blind(["acme-tls/1"]), "a.test") as client:
                    open_now.append((client.sock.selected_alpn_protocol(), client.sock.getpeercert(True)))
                    client.send(request(host="a.test"))
                    open_now.append(client.closed())
                for alpn in (["acme-tls/1", "http/1.1"], ["http/1.1"]):
                    with gateway.tls_client(blind(alpn), "a.test") as client:
                        open_now.append((client.sock.selected_alpn_protocol(), client.ask(host="a.test").status))

        site.ca.rule = while_open
        config = site.config(challenge="tls-alpn-01", eab={"kid": "kid-1", "key": key})
        del config["server"]["listen"]["http"]
        with Sallyport(config) as gateway:
            valid(gateway)
            assert open_now[0][0] == "acme-tls/1" and open_now[1] is True
            assert bytes.fromhex("06082b0601050507011f") in open_now[0][1]  # id-pe-acmeIdentifier
            assert open_now[2] == open_now[3] == ("http/1.1", 200)
            # Nothing is proved any more.
            with pytest.raises((ssl.SSLError, ConnectionError)):
                gateway.tls_client(blind(["acme-tls/1"]), "a.test")
            with gateway.tls_client(trusting(site.ca.root()), "b.test") as client:
                assert client.ask(host="b.test").status == 200
        assert any("externalAccountBinding" in (a.payload or {}) for a in site.ca.asked)


def test_down_then_limited_then_good(shelf, origin, authority):
    """An authority that is not there, and then wants to be left alone for a while."""
    with Site(shelf, origin, authority, start=False) as site:
        with Sallyport(site.config()) as gateway:
            # It serves from the first moment, with a certificate that nobody trusts.
            with gateway.tls_client(blind(), "a.test") as client:
                assert client.ask(host="a.test").status == 200
            one = eventually(lambda: listed(gateway) if listed(gateway)["failures"] else None, what="a failure")
            assert one["why"].startswith("directory: ") and one["state"] in ("failing", "ordering")
            limited = []

            def limit(asked):
                if asked.path == "/order-plz":
                    limited.append(time.monotonic())
                    if len(limited) == 1:
                        return problem(429, "rateLimited", "too many\u0007 orders", {"Retry-After": "3"})
            site.ca.rule = limit
            site.ca.start()
            one = eventually(lambda: listed(gateway) if "rateLimited" in listed(gateway).get("why", "") else None, 40,
                             "the refusal")
            assert one["why"] == "order: status 429: rateLimited: too many? orders"
            valid(gateway)
            assert limited[1] - limited[0] >= 3
            assert served(gateway) and listed(gateway)["failures"] == 0
            assert not site.files("*.tries.json")


HOSTILE = {
    "elsewhere": ("/dir", b'{"newNonce":"https://localhost:1/n","newAccount":"https://localhost:1/a",'
                  b'"newOrder":"https://localhost:1/o"}', "directory: the directory names another server"),
    "deep": ("/dir", b'{"meta":' * 5000 + b"1" + b"}" * 5000, "directory: the directory is no JSON object"),
    "large": ("/dir", b'{"a":"' + b"x" * 400000 + b'"}', "directory: the answer is too large"),
    "page": ("/certZ/", b"<html>", "certificate: the answer is no chain of certificates"),
}


def test_hostile_answers_keep_the_old_certificate(shelf, origin, authority):
    with Site(shelf, origin, authority) as site:
        with Sallyport(site.config()) as gateway:
            valid(gateway)
            first = served(gateway)
            for path, body, why in HOSTILE.values():
                site.ca.rule = lambda asked, path=path, body=body: (
                    (200, {"Content-Type": "application/json"}, body) if asked.path.startswith(path) else None)
                done = cert(gateway, "renew", "--wait")
                one = json.loads(done.stdout)["certificates"][0]
                assert done.returncode == 1 and one["why"] == why and one["state"] == "renewal failing"
                assert served(gateway) == first
            site.ca.rule = None

            # Names that lead elsewhere are not proved.
            here, site.ca.names.how = site.ca.names.how, lambda query, _: query.answer(
                [(None, A, 60, address("127.0.0.9"))] if query.type == A else [])
            one = json.loads(cert(gateway, "renew", "--wait").stdout)["certificates"][0]
            assert re.match(r"validation: [ab]\.test was not proved: \w+: ", one["why"]), one["why"]
            site.ca.names.how = here

            # What could not be kept is not ordered.
            orders = len(site.ca.orders())
            os.chmod(os.path.join(shelf, "acme"), 0o500)
            one = json.loads(cert(gateway, "renew", "--wait").stdout)["certificates"][0]
            os.chmod(os.path.join(shelf, "acme"), 0o700)
            assert one["why"].startswith("acme.folder cannot be written to: ") and len(site.ca.orders()) == orders
            assert served(gateway) == first

            assert cert(gateway, "renew", "--wait").returncode == 0
            second = served(gateway)
            assert second != first and listed(gateway)["failures"] == 0

            # A file that somebody has damaged: it is said, and another certificate is got.
            path = site.files("a.test-*")[0]
            with open(path, "r+") as file:
                file.truncate(700)
            assert gateway.reload().returncode == 0
            assert "certificate that was kept cannot be used" in "".join(gateway.stderr)
            valid(gateway)
            assert served(gateway) not in (first, second) and os.path.getsize(path) > 1000
            assert "PRIVATE KEY" not in "".join(gateway.stderr)


def test_killed_in_the_middle(shelf, origin, authority):
    """The next steward does not begin at once, and begins."""
    with Site(shelf, origin, authority) as site:  # which refuses no nonce
        held, go = threading.Event(), threading.Event()

        def hold(asked):
            if asked.path.startswith("/chalZ") and not go.is_set():
                held.set()
                go.wait(30)
        site.ca.rule = hold
        with Sallyport(site.config()) as gateway:
            assert held.wait(30)
            os.kill(gateway.one("steward"), 9)
            tries = json.load(open(site.files("*.tries.json")[0]))
            assert tries["failures"] == 1 and tries["why"] == "interrupted"
            go.set()
            valid(gateway)
            assert not site.files("*.tries.json") and not site.files("*.new")
            assert sum(a.path == "/sign-me-up" for a in site.ca.asked) == 1


def test_the_authority_wishes_a_renewal(shelf, origin, authority):
    """RFC 9773: a window that has begun; it is followed once, and not for ever."""
    with Site(shelf, origin, authority) as site:
        def wishes(asked, status, fields, body):
            if asked.path == "/dir":
                body = json.dumps({**json.loads(body), "renewalInfo": site.ca.directory[:-4] + "/info"}).encode()
            return status, fields, body

        def info(asked):
            if asked.path.startswith("/info/"):
                return (200, {"Retry-After": "21600"}, json.dumps({"suggestedWindow": {
                    "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00.5+01:00"}}).encode())
        with Sallyport(site.config()) as gateway:
            valid(gateway)
            first = served(gateway)
        os.utime(site.files("a.test-*")[0], (time.time() - 7200,) * 2)
        site.ca.rule, site.ca.change = info, wishes
        with Sallyport(site.config()) as gateway:
            eventually(lambda: served(gateway) != first, what="the renewal")
            eventually(lambda: sum(a.path.startswith("/info/") for a in site.ca.asked) == 2, what="the second question")
            replaced = [a.payload["replaces"] for a in site.ca.orders() if "replaces" in a.payload]
            assert len(replaced) == 1 and re.fullmatch(r"[\w-]+\.[\w-]+", replaced[0])
            assert [a.path for a in site.ca.asked if a.path.startswith("/info/")][0] == "/info/" + replaced[0]
            time.sleep(0.5)
            assert len(site.ca.orders()) == 2


def test_configurations_that_cannot_work(authority):
    """Each mistake is named, with what to do."""
    base = {"version": 1, "acme": {"agree_terms": True, "folder": "acme"}, "defaults": {"waf": {"mode": "off"}},
            "server": {"listen": {"http": "127.0.0.1:0", "https": "127.0.0.1:0"}},
            "sites": [{"host": "a.test", "upstream": "http://127.0.0.1:1"}]}
    cases = [({"acme": {"folder": "acme"}}, "set acme.agree_terms: true"),
             ({"acme": {"agree_terms": True, "directory": "http://ca.test/dir"}}, "an https URL"),
             ({"acme": {"agree_terms": True, "email": "ops"}}, "acme.email is no address"),
             ({"acme": {"agree_terms": True, "eab": {"kid": "x"}}}, "needs both kid and key"),
             ({"sites": [{"host": "*", "upstream": "http://127.0.0.1:1"}]}, "a site for any host cannot"),
             ({"sites": [{"host": "*.a.test", "upstream": "http://127.0.0.1:1"}]}, "a wildcard cannot be proved"),
             ({"sites": [{"host": "192.0.2.1", "upstream": "http://127.0.0.1:1"}]}, "an address cannot get"),
             ({"server": {"listen": {"https": "127.0.0.1:0"}}}, "nothing listens for that"),
             ({"server": {"listen": {"http": "127.0.0.1:0"}}}, "nothing listens for HTTPS")]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "c.yaml")
        for change, said in cases:
            with open(path, "w") as file:
                json.dump({**base, **change}, file)
            done = command("check", "-c", path, cwd=folder)
            assert done.returncode == 2 and said in done.stdout + done.stderr, (change, done.stdout + done.stderr)
        # Five lines are enough, and a site may go without.
        with open(path, "w") as file:
            file.write("version: 1\nacme: {email: ops@example.com, agree_terms: true}\nsites:\n"
                       "  - host: app.example.com\n    upstream: http://127.0.0.1:3000\n    waf: {mode: off}\n"
                       "  - {host: '*', acme: off, upstream: 'http://127.0.0.1:1', waf: {mode: off}}\n")
        done = command("check", "-c", path, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_that_others_can_read_is_refused(shelf, origin, authority):
    with Site(shelf, origin, authority, start=False) as site:
        os.mkdir(os.path.join(shelf, "acme"), 0o755)
        with pytest.raises(AssertionError, match="private keys need mode 0700"):
            Sallyport(site.config())
