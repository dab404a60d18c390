"""One gateway under test: its configuration, processes, logs, records and control.

The configuration is a dictionary (written as JSON, which is YAML, too) or text. Listening ports are 0: the gateway
says on its `ready` line which ones it got. SALLYPORT names the binary, default build/debug/sallyport.
"""
import atexit
import collections
import functools
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import explained
import schema
from origin import Origin, echo, says, silent  # noqa: F401 (tests take them from here)
from wire import Client, Cut, Fault, chunked, request, response  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(ROOT, os.environ.get("SALLYPORT", "build/debug/sallyport"))
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
                   UBSAN_OPTIONS="print_stacktrace=1:abort_on_error=1")
# One for all gateways of a run: rules are compiled once. tests/all.sh lends its own to all steps.
CACHE = os.environ.get("CACHE_DIRECTORY")
if CACHE is None:
    CACHE = tempfile.mkdtemp(prefix="sallyport-e2e-cache-")
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
ENVIRONMENT["CACHE_DIRECTORY"] = CACHE
# For commands that compile rules: Hyperscan allocates so much that the checks of that cost more than it does.
COMPILING = dict(ENVIRONMENT, ASAN_OPTIONS=ENVIRONMENT["ASAN_OPTIONS"] +
                 ":malloc_context_size=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0")
START_SECONDS = 180  # a busy machine; one that will not start says so at once
# As a service manager does: these descriptors from 3 on, for the process that it becomes.
ACTIVATE = """
import os, sys
at = sys.argv.index("--")
far = [os.dup2(int(fd), 100 + i) for i, fd in enumerate(sys.argv[1:at])]
for i, fd in enumerate(far):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(far)))
os.closerange(100, 100 + len(far))
os.execv(sys.argv[at + 1], sys.argv[at + 1:])
"""
# With SALLYPORT_REPLAY=1 every gateway keeps its requests, and each decision has to come out alike once more.
REPLAY = os.environ.get("SALLYPORT_REPLAY") == "1"
# With SALLYPORT_EXPLAIN=1 the same, and `explain` has to decide about the bytes of each as the gateway did.
EXPLAIN = os.environ.get("SALLYPORT_EXPLAIN") == "1"


def has_faults():
    """Whether this is a build that takes x-sallyport-fault."""
    with open(BINARY, "rb") as file:
        return b"x-sallyport-fault" in file.read()


def command(*arguments, timeout=30, **more):
    """Runs the binary to its end; text in, text out."""
    more.setdefault("env", ENVIRONMENT)
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **more)


@functools.lru_cache
def capture_keys():
    """(public key, path of the private one) of this run."""
    path = os.path.join(CACHE, f"capture.{os.getpid()}.key")
    return command("capture", "key", "--to", path).stdout.strip(), path


def busy():
    """How much longer things take than on an idle machine: at least 1."""
    return max(1.0, 2 * os.getloadavg()[0] / os.cpu_count())


def soon(seconds):
    """An upper bound for what takes less than `seconds` on an idle machine, and without a stall of a busy one."""
    return (seconds + 3) * busy()


def eventually(probe, seconds=20.0, what="condition"):
    """The first true value of probe(), tried until the time is up."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def merge(base, over):
    """`over` over `base`: mappings are merged, anything else is replaced."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{k: merge(base[k], v) if k in base else v for k, v in over.items()}}


def plain(upstream, server=None, **site):
    """One site for any host with every inspection off; `server` and `site` are merged over that. Rules are those of
    the pack unless the test says otherwise: the Core Rule Set takes long to compile, and objects to bare requests."""
    if isinstance(upstream, Origin):
        upstream = upstream.url
    base = {"host": "*", "waf": {"mode": "off", "ruleset": "core"}, "limits": [], "bans": "off", "headers": "off",
            "bots": {"mode": "off"}}
    if upstream is not None:
        base["upstream"] = upstream
    return {"version": 1, "server": merge({"listen": {"http": "127.0.0.1:0"}, "workers": 1}, server or {}),
            "audit": {"file": "audit.jsonl", "record": ["all"]}, "sites": [merge(base, site)]}


def statistics(pid):
    """(parent, state, cpu seconds, name) of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
    return int(rest[1]), rest[0], (int(rest[11]) + int(rest[12])) / os.sysconf("SC_CLK_TCK"), name


def listens(pid):
    """Whether the process has a listening TCP socket."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as file:
            found |= {words[9] for words in map(str.split, file) if len(words) > 9 and words[3] == "0A"}
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            name = os.readlink(path)
        except OSError:
            continue
        if name.startswith("socket:[") and name[8:-1] in found:
            return True
    return False


def rss_bytes(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024


Row = collections.namedtuple("Row", "pid parent name")


class Sallyport:
    def __init__(self, config, env=None, files=None, arguments=None, start=True, sockets=(), binary=None):
        self.folder = tempfile.mkdtemp(prefix="sallyport-e2e-")
        os.chmod(self.folder, 0o777)
        self.config_path = os.path.join(self.folder, "sallyport.yaml")
        self.control = os.path.join(self.folder, "control.sock")
        self.audit_path = os.path.join(self.folder, "audit.jsonl")
        self.environment = {**ENVIRONMENT, **(env or {})}
        self.sockets, self.binary = sockets, binary or BINARY
        self.arguments = arguments or ["run", "-c", self.config_path]
        self.stderr, self.ports, self.process = [], {}, None
        self.seen = self.marks = self.checked = self.configured = 0
        self.replays = REPLAY or EXPLAIN
        for name, content in (files or {}).items():
            self.write(name, content)
        if config is not None:
            self.configure(config)
        if start:
            try:
                self.start()
            except BaseException:
                self.check_sanitizers = lambda: None  # the reason stands in the first error
                self.stop()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print("".join(self.stderr[-60:]))
        self.stop()

    # ---- files -----------------------------------------------------------------------------------

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w" if isinstance(content, str) else "wb") as file:
            file.write(content)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)
        return path

    def configure(self, config):
        self.configured += 1
        if isinstance(config, dict):
            config = merge({"server": {"control": "control.sock"}}, config)
            if self.replays and isinstance(config.get("audit"), dict) and config["audit"].get("file") == "audit.jsonl":
                config = merge({"audit": {"capture": {"key": capture_keys()[0], "of": "all", "rate": 100000,
                                                      "body": "512KiB"}}}, config)
            config = json.dumps(config, indent=1)
        self.write("sallyport.yaml", config)

    # ---- life ------------------------------------------------------------------------------------

    def start(self):
        """A port that was chosen beforehand may be somebody else's for a moment."""
        for attempt in range(5):
            if self._start():
                break
            said = "".join(self.stderr[-60:])
            assert "Address already in use" in said and attempt < 4, "no ready line; standard error:\n" + said
            self.process.wait(20)
            self.stderr.clear()
            time.sleep(1)
        self.said = [word.split("=", 1) for word in self.ready_line.split()[1:]]
        for key, value in self.said:
            if key in ("http", "https"):
                self.ports.setdefault(key, []).extend(int(one.rsplit(":", 1)[1]) for one in value.split(","))
        self.pid = int(dict(self.said)["pid"])

    def _start(self):
        self.began = time.time()
        lent = [sys.executable, "-c", ACTIVATE, *[str(s.fileno()) for s in self.sockets], "--"] if self.sockets else []
        self.process = subprocess.Popen([*lent, self.binary, *self.arguments], cwd=self.folder, env=self.environment,
                                        pass_fds=[s.fileno() for s in self.sockets],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, start_new_session=True)
        ready = threading.Event()
        self.ready_line = ""

        def read_out():
            for line in self.process.stdout:
                if line.startswith("ready ") and not self.ready_line:
                    self.ready_line = line.strip()
                    ready.set()
            ready.set()

        def read_err():
            for line in self.process.stderr:
                self.stderr.append(line)

        for target in (read_out, read_err):
            threading.Thread(target=target, daemon=True).start()
        return ready.wait(START_SECONDS) and self.ready_line

    def stop(self, seconds=10.0):
        if self.process is None:
            return
        pids = [row.pid for row in self.tree()]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(0.3)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        for pid in pids:
            if statistics(pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait(5)
        try:
            self.check_explain() if EXPLAIN else self.check_replay()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.check_sanitizers()

    def can_decide_anew(self):
        """Whether requests were kept, and what decisions rest on is as it was: lists, keys and others."""
        return self.replays and self.configured == 1 and os.path.exists(self.audit_path + ".capture") and \
            not any(os.stat(path).st_mtime > self.began for path in glob.glob(os.path.join(self.folder, "*"))
                    if os.path.isfile(path) and not os.path.basename(path).startswith(("audit.jsonl", "state")))

    def check_explain(self):
        if self.can_decide_anew():
            explained.check(self, capture_keys()[1], os.path.join(CACHE, "explained"))

    def check_replay(self):
        """What was decided is decided alike by the same configuration, without a gateway."""
        if not self.can_decide_anew():
            return
        done = command("replay", "-c", self.config_path, "--key", capture_keys()[1], "-o", "json", cwd=self.folder,
                       env=self.environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        said = json.loads(done.stdout)
        with open(os.path.join(CACHE, "replayed"), "a") as file:
            file.write(f"{said['same']} {said['unknown']}\n")

    def check_sanitizers(self):
        text = "".join(self.stderr)
        for word in ("AddressSanitizer", "runtime error:", "INVARIANT"):
            assert word not in text, text[max(0, text.index(word) - 500):][:4000]

    def signal(self, number):
        os.kill(self.pid, number)

    def reload(self, config=None, timeout=60):
        """`sallyport reload --wait`: the finished command. After a good one only new workers accept: the old ones
        are told to leave off when the new ones serve, and a busy machine may let them accept a moment longer."""
        if config is not None:
            self.configure(config)
        old = self.role("worker")
        done = command("reload", "-c", self.config_path, "--wait", cwd=self.folder, timeout=timeout)
        end = time.monotonic() + 10
        while done.returncode == 0 and any(map(listens, old)) and time.monotonic() < end:
            time.sleep(0.02)
        return done

    # ---- processes -------------------------------------------------------------------------------

    def tree(self):
        """Every living process below the one that was started, itself included."""
        children = collections.defaultdict(list)
        for path in glob.glob("/proc/[0-9]*"):
            pid = int(os.path.basename(path))
            row = statistics(pid)
            if row and row[1] != "Z":
                children[row[0]].append(Row(pid, row[0], row[3]))
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            row = statistics(pid)
            if row and row[1] != "Z":
                found.append(Row(pid, row[0], row[3]))
            todo += [child.pid for child in children[pid]]
        return found

    def role(self, name):
        """Pids of the processes with this role, oldest first."""
        return sorted(row.pid for row in self.tree() if row.name == name)

    def one(self, name):
        return eventually(lambda: self.role(name), what=f"a process {name}")[-1]

    # ---- talking ---------------------------------------------------------------------------------

    def address(self, scheme="http", number=0):
        return ("127.0.0.1", self.ports[scheme][number])

    def client(self, **more):
        return Client(self.address(), **more)

    def tls_client(self, context, name="test", **more):
        return Client(self.address("https"), tls=context, name=name, **more)

    def ask(self, method="GET", path="/", host="test", fields=(), body=None, **more):
        """One request on a connection of its own."""
        with self.client(**more) as client:
            return client.ask(method, path, host, fields, body)

    # ---- records ---------------------------------------------------------------------------------

    def status(self):
        done = command("status", "-c", self.config_path, "-o", "json", cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def lines(self):
        """All lines so far, each parsed strictly and checked against the schema."""
        try:
            with open(self.audit_path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in data[:data.rfind(b"\n") + 1].splitlines()]
        for line in found[self.checked:]:
            wrong = schema.trouble(line)
            assert wrong is None, wrong
        self.checked = len(found)
        return found

    def records(self):
        """Those of transactions."""
        return [line for line in self.lines() if line["event"]["action"] != "refuse-connection"]

    def refusals(self):
        """Those of connections that never came to a request."""
        return [line for line in self.lines() if line["event"]["action"] == "refuse-connection"]

    def new_records(self, count=1, seconds=20.0):
        """The records since the last call: exactly `count` of them."""
        fresh = eventually(lambda: self.records()[self.seen:] if len(self.records()) >= self.seen + count else None,
                           seconds, f"{count} new records; there are {len(self.records()) - self.seen}")
        self.seen += len(fresh)
        assert len(fresh) == count, f"{len(fresh)} records in place of {count}: {fresh}"
        return fresh

    def forget_records(self):
        """Later calls of new_records begin here: behind the record of a head that is refused at once."""
        self.marks += 1
        path = f"/mark-{self.marks}"
        with self.client() as client:
            client.send(f"GET {path} HTTP/1.1\r\n\r\n").answer()

        eventually(lambda: any(r.get("url", {}).get("path") == path for r in self.records()), what="the record of the mark")
        self.seen = -1
        while self.seen != len(self.records()):  # those of another worker may come a moment later
            self.seen = len(self.records())
            time.sleep(0.02)

    def record_of(self, request_id, seconds=20.0):
        def find():
            found = [r for r in self.records() if r["http"]["request"]["id"] == request_id]
            assert len(found) < 2, found
            return found
        return eventually(find, seconds, f"the record of {request_id}")[0]


class Load:
    """Keep-alive clients in threads. A kept connection that ends before any byte of the answer is tried once
    more on a new one, as every client does; anything else that goes wrong is a failure."""

    def __init__(self, gateway, threads=4, path="/", pause=0.0, make=None):
        self.gateway, self.path, self.pause = gateway, path, pause
        self.done, self.retried, self.failures, self.times = 0, 0, [], []
        self.make = make or gateway.client
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)

    def _run(self):
        client, used = None, False
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                if client is None:
                    client, used = self.make(), False
                answer = client.ask(path=self.path)
                used = True
                with self.lock:
                    self.done += 1
                    self.times.append(time.monotonic())
                    if answer.status != 200:
                        self.failures.append((began, answer.status))
                if answer.get("connection", "").lower() == "close":
                    client.close()
                    client = None
            except (OSError, Cut, Fault) as error:
                fresh = used and client is not None and not client.reader.buffer and \
                    (isinstance(error, ConnectionError) or isinstance(error, Cut) and not error.args[0])
                with self.lock:
                    if fresh:
                        self.retried += 1
                    else:
                        self.failures.append((began, repr(error)))
                if client is not None:
                    client.close()
                client = None
            if self.pause:
                time.sleep(self.pause)
