"""What happens when servers have enough to do, or fail: the queue, tries elsewhere, and servers on trial."""
import threading

import pytest

from harness import Load, Origin, Sallyport, eventually, plain, response


class Gate:
    """A server that answers when it is told to, and knows how many wait."""

    def __init__(self):
        self.now = self.most = 0
        self.lock, self.opened = threading.Lock(), threading.Semaphore(0)

    def __call__(self, exchange):
        exchange.read_body()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.opened.acquire(timeout=30)
        with self.lock:
            self.now -= 1
        exchange.send(response(200, b"%d" % len(exchange.body)))

    def let(self, count):
        for _ in range(count):
            self.opened.release()


def queued(origin, **more):
    return plain({"servers": [origin.url], "max_active": 1, **more})


def send(gateway, head=b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", **how):
    client = gateway.client(timeout=20, **how)
    client.send(head)
    return client


def test_requests_wait_for_their_turn():
    gate = Gate()
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"timeout": "30s"})) as gateway:
        clients = [send(gateway) for _ in range(4)]
        for done in range(1, 5):
            eventually(lambda: gate.now == 1, what="one at the server")
            gate.let(1)
            eventually(lambda: len(gateway.records()) >= done, what="its record")
        for client in clients:
            assert client.answer().status == 200
            client.close()
        assert gate.most == 1 and origin.count == 4


def test_the_queue_has_a_limit_and_a_time():
    gate = Gate()
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"limit": 1, "timeout": "20s"})) as gateway:
        first = send(gateway)
        eventually(lambda: gate.now == 1, what="one at the server")
        second = send(gateway)
        # The second one waits in the queue, or this one does: one of them is told at once.
        third = send(gateway)
        eventually(lambda: any(r["http"]["response"]["status_code"] == 503 for r in gateway.records()), what="a refusal")
        gate.let(2)
        assert first.answer().status == 200
        assert sorted([second.answer().status, third.answer().status]) == [200, 503]
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"timeout": "50ms"})) as gateway:
        first = send(gateway)
        eventually(lambda: gate.now == 1, what="one at the server")
        assert gateway.ask().status == 503
        gate.let(1)
        assert first.answer().status == 200
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue=0)) as gateway:
        first = send(gateway)
        eventually(lambda: gate.now == 1, what="one at the server")
        assert gateway.ask().status == 503
        gate.let(1)
        assert first.answer().status == 200


def test_one_client_does_not_fill_the_queue():
    """Its last request gives way to another client's first, which also goes before the rest."""
    gate = Gate()
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"limit": 4, "timeout": "60s"})) as gateway:
        greedy = [send(gateway, source="127.0.0.9")]
        eventually(lambda: gate.now == 1, what="one at the server")
        greedy += [send(gateway, source="127.0.0.9") for _ in range(5)]
        eventually(lambda: len(gateway.records()) == 1, what="a refusal")  # five, and room for four
        other = send(gateway, b"GET /other HTTP/1.1\r\nHost: test\r\n\r\n", source="127.0.0.10")
        eventually(lambda: len(gateway.records()) == 2, what="one that gives way")
        assert {r["http"]["response"]["status_code"] for r in gateway.records()} == {503}
        for count in range(3, 6):
            gate.let(1)
            eventually(lambda: len(gateway.records()) == count, what="the next one's turn")
        assert [h.target for h in origin.heads].index("/other") <= 2
        gate.let(2)
        assert other.answer().status == 200
        assert sorted(client.answer().status for client in greedy) == [200] * 4 + [503] * 2


def test_who_leaves_the_queue_holds_nobody_up():
    gate = Gate()
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"timeout": "30s"})) as gateway:
        first = send(gateway)
        eventually(lambda: gate.now == 1, what="one at the server")
        leaving = [send(gateway) for _ in range(3)]
        for client in leaving:
            client.reset()
        eventually(lambda: len(gateway.records()) == 3, what="those that left")
        last = send(gateway)
        gate.let(2)
        assert first.answer().status == 200 and last.answer().status == 200
        assert origin.count == 2


def test_bodies_wait_with_their_requests():
    gate, body = Gate(), b"x" * 300000
    with Origin(default=gate) as origin, Sallyport(queued(origin, queue={"timeout": "30s"})) as gateway:
        first = send(gateway)
        eventually(lambda: gate.now == 1, what="one at the server")
        second = gateway.client(timeout=20)
        done = []
        thread = threading.Thread(target=lambda: done.append(second.ask("POST", body=body)), daemon=True)
        thread.start()
        gate.let(2)
        assert first.answer().status == 200
        thread.join(30)
        assert done and done[0].status == 200 and done[0].body == b"%d" % len(body)


def test_idempotent_requests_are_asked_elsewhere():
    def dies(exchange):
        exchange.read_body()
        exchange.reset()

    with Origin(default=dies, name="dies") as bad, Origin(name="good") as good:
        servers = {"servers": [bad.url, good.url], "passive": "off"}
        with Sallyport(plain(servers)) as gateway:
            for _ in range(4):
                assert gateway.ask().body == b"good"
            assert bad.count > 0
            statuses = {gateway.ask("POST", body=b"x").status for _ in range(4)}
            assert statuses == {200, 502}  # it may have been done


def test_killed_under_load_and_no_idempotent_request_fails():
    with Origin(name="one") as one, Origin(name="two") as two:
        with Sallyport(plain({"servers": [one.url, two.url]})) as gateway:
            with Load(gateway, threads=4) as load:
                eventually(lambda: load.done > 50, what="load")
                one.stop()
                done = load.done
                eventually(lambda: load.done > done + 100, what="load without it")
            assert load.failures == [] and two.count > 0


def test_answers_that_count_as_failures_and_servers_on_trial():
    with Origin(default=response(503, b"no"), name="ill") as ill, Origin(name="well") as well:
        passive = {"fails": 2, "window": "1h", "status": "500-599"}
        with Sallyport(plain({"servers": [ill.url, well.url], "passive": passive})) as gateway:
            statuses = [gateway.ask().status for _ in range(20)]
            assert statuses.count(503) == 2 and ill.count == 2
        ill.forget()
        passive["window"] = "100ms"
        with Sallyport(plain({"servers": [ill.url, well.url], "passive": passive})) as gateway:
            eventually(lambda: gateway.ask().status and ill.count >= 3, what="a try of the server that was ejected")
            ill.default = response(200, b"well again")
            eventually(lambda: gateway.ask().body == b"well again", what="it answers again")
            before = ill.count
            for _ in range(10):
                gateway.ask()
            assert ill.count >= before + 4  # its full share


@pytest.mark.parametrize("count", [1, 3])
def test_load_through_a_narrow_door(count):
    def busy(exchange):
        exchange.read_body()
        exchange.send(response(200, b"done"))

    origins = [Origin(default=busy) for _ in range(count)]
    with Sallyport(plain({"servers": [o.url for o in origins], "max_active": 1, "queue": {"timeout": "20s"}})) as gateway:
        with Load(gateway, threads=8) as load:
            eventually(lambda: load.done > 300, 60, what="load")
        assert load.failures == []
    for origin in origins:
        origin.stop()
