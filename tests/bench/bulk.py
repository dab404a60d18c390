#!/usr/bin/env python3
"""A body far larger than any buffer, first down and then up through the gateway: how much does the worker grow?

    SALLYPORT=build/release/sallyport tests/bench/bulk.py [BYTES]

The origin and the client are raw sockets of this process. What is printed is the resident memory of the only worker
before, at its highest during each direction, and after. Exit code 1 when it grew by more than the bar.
"""
import os
import re
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
os.environ.setdefault("SALLYPORT", "build/release/sallyport")

from harness import Sallyport, plain, rss_bytes  # noqa: E402

BAR_BYTES = 4 << 20
PIECE = 256 << 10


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return None, b""
        head += piece
    return head.split(b"\r\n\r\n", 1)


def read_chunked(connection, rest):
    """Bytes of the body; the gateway frames it anew, so that the chunks are its own."""
    count, buffer = 0, bytearray(rest)
    while True:
        line = buffer.find(b"\r\n")
        if line < 0:
            buffer += connection.recv(PIECE)
            continue
        size = int(buffer[:line], 16)
        while len(buffer) < line + 2 + size + 2:
            buffer += connection.recv(PIECE)
        del buffer[:line + 2 + size + 2]
        if size == 0:
            return count
        count += size


def serve(listener):
    """GET /N gets N bytes, POST is told how many came."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while True:
                head, rest = read_head(connection)
                if head is None:
                    break
                if head.startswith(b"GET"):
                    size = int(re.match(rb"GET /(\d+)", head)[1])
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                       b"content-length: %d\r\n\r\n" % size)
                    piece = os.urandom(PIECE)
                    for _ in range(size // PIECE):
                        connection.sendall(piece)
                else:
                    told = b"%d" % read_chunked(connection, rest)
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))


class Watch(threading.Thread):
    """The highest resident memory while it runs."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, rss_bytes(self.pid))


def download(port, size):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /%d HTTP/1.1\r\nhost: bulk.test\r\n\r\n" % size)
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert int(re.search(rb"content-length: (\d+)", head.lower())[1]) == size
        count = len(rest)
        while count < size:
            count += len(client.recv(PIECE))
    assert count == size


def upload(port, size):
    piece = os.urandom(PIECE)
    chunk = b"%x\r\n%s\r\n" % (PIECE, piece)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"POST /file HTTP/1.1\r\nhost: bulk.test\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(size // PIECE):
            client.sendall(chunk)
        client.sendall(b"0\r\n\r\n")
        head, rest = read_head(client)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert rest == b"%d" % size, rest


def main():
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1 << 30
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    limits = {"body": "2GiB"}
    with Sallyport(plain(origin, server={"limits": limits})) as gateway:
        worker = gateway.one("worker")
        port = gateway.address()[1]
        download(port, size // 64)
        before, grew = rss_bytes(worker), False
        print(f"before               {before >> 10:8d} KiB")
        for name, move in (("download", download), ("chunked upload", upload)):
            watch, began = Watch(worker), time.monotonic()
            watch.start()
            move(port, size)
            watch.over.set()
            took = time.monotonic() - began
            print(f"{name:20s} {watch.most >> 10:8d} KiB at most, {(watch.most - before) >> 10} KiB more; "
                  f"{size >> 20} MiB in {took:.1f} s")
            grew = grew or watch.most - before > BAR_BYTES
        print(f"after                {rss_bytes(worker) >> 10:8d} KiB")
    return 1 if grew else 0


if __name__ == "__main__":
    sys.exit(main())
