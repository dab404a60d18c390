"""Ports that have to be known before anybody listens on them."""
import itertools
import os
import random
import socket

# Below those that the system gives to clients meanwhile; each process of a parallel run has a part of its own.
FIRST, PART, PARTS = 12000, 2500, 8
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_first = FIRST + int(_worker.lstrip("gw") or 0) % PARTS * PART
_next = itertools.count(random.randrange(PART))


def free_port():
    """None that this process gave away lately, so that what is left of a former listener is no matter."""
    for _ in range(PART):
        port = _first + next(_next) % PART
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError("no free port")
