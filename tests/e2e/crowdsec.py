"""A LAPI of CrowdSec that says what a test wants, over http, https or a unix socket; and the real one, from Debian's package."""
import http.server
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from harness import eventually

KEY, MACHINE, PASSWORD = "f00d-key", "gate-1", "pass \"word\""


def decision(value, scope="Ip", type="ban", duration="1h0m0.5s", scenario="crowdsecurity/ssh-bf", origin="crowdsec", id=1):
    return {"id": id, "origin": origin, "scenario": scenario, "scope": scope, "type": type, "value": value, "duration": duration}


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    server_name, server_port = "localhost", 0


class Lapi:
    """`now` is what holds. A question for everything gets all of it, the next ones what has changed since."""

    def __init__(self, pair=None, path=None, port=0):
        self.now, self.told = {}, None
        self.asked, self.alerts, self.logins, self.removed = [], [], [], []
        self.raw = None  # (status, fields, bytes) in place of an answer
        self.post = None  # the same for what is posted
        self.life = 3600
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def address_string(self):
                return ""

            def answer(self, status, body, fields=()):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def do_GET(self):
                with outer.lock:
                    outer.asked.append(self.path)
                    outer.agent = self.headers.get("User-Agent")
                    if outer.raw is not None:
                        return self.answer(outer.raw[0], outer.raw[2], outer.raw[1])
                    if self.headers.get("X-Api-Key") != KEY:
                        return self.answer(403, {"message": "access forbidden"})
                    return self.answer(200, outer.stream("startup=true" in self.path))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    if outer.post is not None and self.path == outer.post[0]:
                        return self.answer(outer.post[1], outer.post[2])
                    if self.path == "/v1/watchers/login":
                        outer.logins.append(body)
                        good = body["machine_id"] == MACHINE and body["password"] == PASSWORD
                        expire = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + outer.life))
                        return self.answer(200 if good else 403, {"code": 200, "expire": expire, "token": f"t{len(outer.logins)}"})
                    if self.headers.get("Authorization") != f"Bearer t{len(outer.logins)}":
                        return self.answer(401, {"message": "cookie token is empty"})
                    outer.alerts += body
                    return self.answer(201, ["1"])

            def do_DELETE(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
                with outer.lock:
                    if outer.post is not None and url.path == outer.post[0]:
                        return self.answer(outer.post[1], outer.post[2])
                    if self.headers.get("Authorization") != f"Bearer t{len(outer.logins)}":
                        return self.answer(401, {"message": "cookie token is empty"})
                    outer.removed.append(query)
                    return self.answer(200, {"nbDeleted": "1"})

            def log_message(self, *_):
                pass

        if path:
            self.http = _Unix(path, Handler)
            os.chmod(path, 0o777)
            self.url = f"unix:{path}"
        else:
            self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
            self.port = self.http.server_address[1]
            if pair:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pair.cert, pair.key)
                self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.url = f"http{'s' if pair else ''}://{'localhost' if pair else '127.0.0.1'}:{self.port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def stream(self, whole):
        now, before = dict(self.now), {} if whole or self.told is None else self.told
        fresh = [one for key, one in now.items() if before.get(key) != one]
        gone = [dict(one, duration="-3m2.25s") for key, one in before.items() if key not in now]
        self.told = now
        return {"new": fresh or None, "deleted": gone or None}  # Go's empty list

    def decide(self, *decisions):
        with self.lock:
            for one in decisions:
                self.now[one["scope"], one["value"], one["type"]] = one

    def lift(self, value):
        with self.lock:
            self.now = {key: one for key, one in self.now.items() if one["value"] != value}

    def whole(self):
        """How often everything was asked for."""
        return sum("startup=true" in path for path in self.asked)


# ---- the real one ----

CONFIG = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: {folder}}}
config_paths: {{config_dir: {folder}, data_dir: {folder}/data, simulation_path: {folder}/simulation.yaml,
  hub_dir: {folder}/hub, index_path: {folder}/hub/.index.json, notification_dir: {folder}/n, plugin_dir: {folder}/p}}
crowdsec_service: {{enable: false, acquisition_path: {folder}/acquis.yaml}}
cscli: {{output: json}}
db_config: {{type: sqlite, db_path: {folder}/data/crowdsec.db, use_wal: false, log_level: info}}
api:
  client: {{insecure_skip_verify: false, credentials_path: {folder}/client.yaml}}
  server: {{enable: true, listen_uri: "127.0.0.1:{port}", log_level: info, profiles_path: {folder}/profiles.yaml, use_forwarded_for_headers: false}}
prometheus: {{enabled: false}}
"""


def package():
    """Folder of the unpacked package: its post-installation would register this machine with crowdsec.net."""
    for folder in (os.environ.get("CROWDSEC"), "build/packages/crowdsec", "/"):
        if folder and os.access(os.path.join(folder, "usr/bin/crowdsec"), os.X_OK):
            return folder
    raise FileNotFoundError("no crowdsec: packaging/deps/unpack crowdsec")


class CrowdSec:
    def __init__(self, port):
        self.root, self.port = os.path.abspath(package()), port
        self.folder = tempfile.mkdtemp(prefix="sallyport-crowdsec-")
        for name in ("data", "hub", "n", "p"):
            os.mkdir(os.path.join(self.folder, name))
        for name, text in (("config.yaml", CONFIG.format(folder=self.folder, port=port)), ("simulation.yaml", "simulation: false\n"),
                           ("profiles.yaml", "name: none\nfilters: [\"false\"]\ndecisions: []\n"), ("acquis.yaml", ""),
                           ("client.yaml", ""), ("hub/.index.json", "{}")):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        self.process = None
        self.cscli("machines", "add", MACHINE, "--password", PASSWORD, "-f", os.path.join(self.folder, "client.yaml"),
                   "-u", f"http://127.0.0.1:{port}")
        self.key = self.cscli("bouncers", "add", "gate", "-o", "raw").strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cscli(self, *arguments):
        done = subprocess.run([os.path.join(self.root, "usr/bin/cscli"), "-c", os.path.join(self.folder, "config.yaml"), *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "a")
        self.process = subprocess.Popen([os.path.join(self.root, "usr/bin/crowdsec"), "-c", os.path.join(self.folder, "config.yaml"), "-no-cs"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        eventually(self._answers, what="crowdsec", seconds=40)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log.close()

    def decisions(self):
        return json.loads(self.cscli("decisions", "list", "-a", "-o", "json") or "null") or []
