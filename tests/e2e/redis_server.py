"""A redis-server of a test's own: a process, its socket, and as much of the protocol as tests need."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from ports import free_port


class Redis:
    def __init__(self, *options, port=None, tls=None):
        self.folder = tempfile.mkdtemp(prefix="sallyport-redis-")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "r.sock")
        self.port = port or free_port()
        self.options = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket,
                        "--unixsocketperm", "777", "--save", "", "--appendonly", "no", "--dir", self.folder,
                        "--repl-diskless-sync-delay", "0", *options]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", *self.options], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self.socket)
                    return
            except OSError:
                assert time.monotonic() < end, "redis-server does not start"
                time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def ask(self, *words):
        """One command; integers, texts, None or lists."""
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(10)
            wire.connect(self.socket)
            return talk(wire, words)

    def read(self, file):
        return read_reply(file)


def talk(wire, words):
    wire.sendall(b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(word).encode() for word in words)))
    return read_reply(wire.makefile("rb"))


def ask_at(port, *words):
    with socket.create_connection(("127.0.0.1", port), 10) as wire:
        return talk(wire, words)


def read_reply(file):
    line = file.readline().decode().strip()
    kind, rest = line[:1], line[1:]
    if kind == "-":
        raise RuntimeError(rest)
    if kind == "+":
        return rest
    if kind == ":":
        return int(rest)
    if kind == "$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode("latin-1")
    return [read_reply(file) for _ in range(int(rest))]


class Sentinels:
    """Three of them, over a master and its replica."""

    def __init__(self, name="main"):
        self.name = name
        self.master = Redis()
        self.replica = Redis("--replicaof", "127.0.0.1", str(self.master.port))
        self.folder = tempfile.mkdtemp(prefix="sallyport-sentinel-")
        self.ports = [free_port() for _ in range(3)]
        self.processes = []
        end = time.monotonic() + 20
        while "master_link_status:up" not in self.replica.ask("INFO", "replication"):
            assert time.monotonic() < end, "the replica does not connect"
            time.sleep(0.05)
        for port in self.ports:
            path = os.path.join(self.folder, f"{port}.conf")
            with open(path, "w") as file:
                file.write(f"port {port}\nbind 127.0.0.1\ndir {self.folder}\n"
                           f"sentinel monitor {name} 127.0.0.1 {self.master.port} 2\n"
                           f"sentinel down-after-milliseconds {name} 700\n"
                           f"sentinel failover-timeout {name} 800\n")
            self.processes.append(subprocess.Popen(["redis-server", path, "--sentinel"], stdout=subprocess.DEVNULL,
                                                   stderr=subprocess.DEVNULL))
        while not all(self.sees(port) for port in self.ports):
            assert time.monotonic() < end, "the Sentinels do not find one another"
            time.sleep(0.1)
        for port in self.ports:
            # A master that comes back is made a replica after four of these: eight seconds, when nothing is said.
            ask_at(port, "SENTINEL", "DEBUG", "publish-period", 250, "info-period", 1000)

    def sees(self, port):
        try:
            told = ask_at(port, "SENTINEL", "MASTER", self.name)
        except OSError:
            return False
        known = dict(zip(told[::2], told[1::2]))
        return known["num-other-sentinels"] == "2" and known["num-slaves"] == "1"

    def urls(self):
        return [f"redis://127.0.0.1:{port}" for port in self.ports]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        self.master.stop()
        self.replica.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """Three masters, and a replica of the first."""

    def __init__(self):
        self.nodes = [Redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout",
                            "1000", "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0",
                            # No slot map shows a replica that has not had a byte yet, a ping at least.
                            "--repl-ping-replica-period", "1")
                      for _ in range(4)]
        for node in self.nodes:
            node.id = node.ask("CLUSTER", "MYID")
        edges = [0, 5461, 10923, 16384]
        for node, first, after in zip(self.nodes, edges, edges[1:]):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for i, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            bus = node.options[node.options.index("--cluster-port") + 1]
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        self.wait(lambda node: "cluster_known_nodes:4" in node.ask("CLUSTER", "INFO"))
        self.nodes[3].ask("CLUSTER", "REPLICATE", self.nodes[0].id)
        self.wait(lambda node: "cluster_state:ok" in node.ask("CLUSTER", "INFO") and
                  sum(len(entry) > 3 for entry in node.ask("CLUSTER", "SLOTS")) == 1)
        self.wait(lambda node: node is not self.nodes[3] or
                  "master_link_status:up" in node.ask("INFO", "replication"))

    def wait(self, holds):
        end = time.monotonic() + 30
        while not all(holds(node) for node in self.nodes):
            assert time.monotonic() < end, "the Cluster does not come up"
            time.sleep(0.1)

    def urls(self):
        return [f"redis://127.0.0.1:{node.port}" for node in self.nodes[:2]]

    def keys(self):
        return [key for node in self.nodes[:3] for key in node.ask("KEYS", "*")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.stop()
