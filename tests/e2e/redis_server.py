"""A redis-server of a test's own: a process, its socket, and as much of the protocol as tests need."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    def __init__(self, *options, port=None, tls=None):
        self.folder = tempfile.mkdtemp(prefix="sallyport-redis-")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "r.sock")
        self.port = port or free_port()
        self.options = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket,
                        "--unixsocketperm", "777", "--save", "", "--appendonly", "no", "--dir", self.folder, *options]
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
            wire.sendall(b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(word).encode() for word in words)))
            return self.read(wire.makefile("rb"))

    def read(self, file):
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
        return [self.read(file) for _ in range(int(rest))]
