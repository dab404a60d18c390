"""A certificate authority: Debian's pebble, with a server in front of it that sees, changes and refuses what is asked.

Names are looked up at a name server of ours, all of them on loopback; pebble asks for proofs at the ports it is given.
"""
import base64
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from harness import eventually
from nameserver import A, NameServer, address
from ports import free_port


def unpacked(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"null")


class Asked:
    """A request to the authority. `payload` of a signed one, `head` what was protected."""

    def __init__(self, method, path, body):
        self.method, self.path = method, path
        self.head = self.payload = None
        if body:
            whole = json.loads(body)
            self.head = unpacked(whole["protected"])
            self.payload = unpacked(whole["payload"]) if whole["payload"] else None


class Pebble:
    def __init__(self, authority, http_port, tls_port, life=None, binding=None, reject=0, start=True):
        self.folder = tempfile.mkdtemp(prefix="sallyport-pebble-")
        self.pair = authority.issue("pebble", "localhost", "127.0.0.1", names="DNS:localhost,IP:127.0.0.1")
        self.trust = authority.ca.cert
        self.names = NameServer()
        self.names.how = lambda query, _: query.answer([(None, A, 60, address("127.0.0.1"))] if query.type == A else [])
        self.port, self.inner, self.management = free_port(), free_port(), free_port()
        self.asked, self.rule, self.change = [], None, None
        self.process = self.front = None
        config = {"listenAddress": f"127.0.0.1:{self.inner}", "managementListenAddress": f"127.0.0.1:{self.management}",
                  "certificate": self.pair.cert, "privateKey": self.pair.key, "httpPort": http_port, "tlsPort": tls_port,
                  "ocspResponderURL": "", "externalAccountBindingRequired": binding is not None,
                  "externalAccountMACKeys": binding or {}, "certificateValidityPeriod": life or 90 * 24 * 3600}
        self.config = os.path.join(self.folder, "pebble.json")
        with open(self.config, "w") as file:
            json.dump({"pebble": config}, file)
        self.reject = reject
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.names.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        environment = dict(os.environ, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT=str(self.reject),
                           PEBBLE_AUTHZREUSE="0")
        self.log = open(os.path.join(self.folder, "log"), "a")
        self.process = subprocess.Popen(["pebble", "-config", self.config, "-strict", "-dnsserver",
                                         f"127.0.0.1:{self.names.port}"], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        eventually(self._answers, what="pebble")
        self._open_front()

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.inner), 1).close()
            socket.create_connection(("127.0.0.1", self.management), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.front is not None:
            self.front.shutdown()
            self.front.server_close()
            self.front = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log.close()

    def root(self):
        """The certificate that clients of the sites trust, PEM."""
        link = http.client.HTTPSConnection("127.0.0.1", self.management, context=ssl._create_unverified_context())
        link.request("GET", "/roots/0")
        return link.getresponse().read().decode()

    def orders(self):
        return [one for one in self.asked if one.path == "/order-plz" and one.payload]

    # ---- in front ----

    def _open_front(self):
        pebble = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _answer(self, status, fields, body):
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(body)

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.command, self.path, body)
                pebble.asked.append(asked)
                said = pebble.rule(asked) if pebble.rule else None
                if said is None:
                    link = http.client.HTTPSConnection("127.0.0.1", pebble.inner, timeout=10,
                                                       context=ssl._create_unverified_context())
                    link.request(self.command, self.path, body or None,
                                 {name: self.headers[name] for name in ("Host", "Content-Type") if name in self.headers})
                    answer = link.getresponse()
                    content = answer.read()
                    fields = {name: value for name, value in answer.getheaders()
                              if re.fullmatch(r"(?i)replay-nonce|location|retry-after|content-type|link", name)}
                    said = (answer.status, fields, content)
                    link.close()
                    if pebble.change:
                        said = pebble.change(asked, *said)
                self._answer(*said)
                self.close_connection = True

            do_GET = do_POST = do_HEAD = _serve

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.front = Server(("127.0.0.1", self.port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair.cert, self.pair.key)
        self.front.socket = context.wrap_socket(self.front.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.front.serve_forever, daemon=True).start()


def problem(status, kind, detail="said so", fields=None):
    return (status, {"Content-Type": "application/problem+json", **(fields or {})},
            json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}).encode())
