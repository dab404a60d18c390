"""Sockets that a service manager holds: used, kept over restarts, and no client is refused."""
import socket
import threading

import pytest

from harness import Client, Load, Origin, Sallyport, eventually, plain


@pytest.fixture
def door():
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield sock


def through(door):
    return {"listen": {"http": "127.0.0.1:%d" % door.getsockname()[1]}}


def test_a_socket_that_is_lent_is_served(door):
    with Origin() as origin, Sallyport(plain(origin, server=through(door)), sockets=[door]) as gateway:
        assert gateway.ports["http"] == [door.getsockname()[1]]
        assert gateway.ask().status == 200
        # Without it in the configuration it rests; with it, it serves again.
        assert gateway.reload(plain(origin)).returncode == 0
        assert gateway.reload(plain(origin, server=through(door))).returncode == 0
        assert gateway.ask().status == 200


def test_the_same_address_without_its_socket_is_taken(door):
    with Origin() as origin:
        with Sallyport(plain(origin, server=through(door)), start=False) as gateway:
            with pytest.raises(AssertionError, match="no ready line"):
                gateway.start()


def test_clients_wait_while_the_gateway_is_restarted(door):
    with Origin() as origin:
        config = plain(origin, server=through(door))
        first = Sallyport(config, sockets=[door])
        address = first.address()
        with Load(first, threads=3, make=lambda: Client(address, timeout=60)) as load:
            eventually(lambda: load.done > 50, what="load")
            first.stop()
            # Nobody serves: who connects now waits in the queue of the socket.
            waiting = []
            early = threading.Thread(target=lambda: waiting.append(Client(address, timeout=60).ask().status), daemon=True)
            early.start()
            with Sallyport(config, sockets=[door]):
                done = load.done
                eventually(lambda: load.done > done + 50, 60, what="load after the restart")
                early.join(60)
                assert waiting == [200]
                load.stopping.set()
                for thread in load.threads:
                    thread.join(20)
        refused = [f for f in load.failures if "refused" in str(f).lower()]
        assert refused == []


def test_what_was_promised_to_another_process_is_not_taken(door):
    with Origin() as origin:
        with Sallyport(plain(origin), env={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) as gateway:
            assert gateway.ask().status == 200
            assert any("not for this process" in line for line in gateway.stderr)
