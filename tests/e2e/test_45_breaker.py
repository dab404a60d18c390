"""Circuit breakers: an upstream that fails too often is left alone, and tried again."""
import json
import re

import pytest

from harness import Origin, Sallyport, command, eventually, plain, response
from test_58_metrics import scrape

BREAKER = {"threshold": 50, "window": "10s", "requests": 6, "open": "2s", "trials": 2}


@pytest.fixture
def origin():
    with Origin() as made:
        yield made


def listed(gateway):
    said = command("upstream", "list", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
    return json.loads(said.stdout)["circuits"]


def config(origin, workers=2, **breaker):
    upstream = {"servers": [origin.url], "passive": "off", "retries": 0, "breaker": {**BREAKER, **breaker}}
    return plain(upstream, server={"workers": workers, "metrics": "127.0.0.1:0"})


def test_it_opens_and_refuses(origin):
    with Sallyport(config(origin, open="5m")) as gateway:
        assert listed(gateway) == [{"upstream": origin.url, "state": "closed", "opened": 0, "refused": 0}]
        origin.default = response(500, b"broken")
        said = [gateway.ask().status for _ in range(6)]
        assert said == [500] * 6  # clients get them as they are
        seen = origin.count
        gateway.forget_records()
        answer = gateway.ask()
        assert answer.status == 503 and 1 <= int(answer.get("retry-after")) <= 300 and origin.count == seen
        record = gateway.new_records(1)[0]
        assert record["event"]["reason"] == "circuit-open" and record["http"]["response"]["status_code"] == 503
        row = listed(gateway)[0]
        assert row["state"] == "open" and row["opened"] == 1 and row["refused"] >= 1
        text = command("upstream", "list", "-c", gateway.config_path, cwd=gateway.folder).stdout
        assert re.search(r"^open +1 +\d+ +http://127", text, re.M), text
        said = scrape(gateway)[1]
        assert f'sallyport_upstream_circuit_opened_total{{upstream="{origin.url}"}} 1' in said
        assert f'sallyport_upstream_circuit_state{{upstream="{origin.url}"}} 1' in said
        assert f'sallyport_upstream_server_up{{server="{origin.url}"}} 1' in said


def test_it_is_tried_and_closes(origin):
    with Sallyport(config(origin, open="300ms")) as gateway:
        origin.default = response(500, b"broken")
        eventually(lambda: gateway.ask() and listed(gateway)[0]["opened"] >= 3, 60, "trials that fail")
        origin.default = response(200, b"fine")
        eventually(lambda: gateway.ask().status == 200 and listed(gateway)[0]["state"] == "closed", 60, "closed")
        assert [gateway.ask().status for _ in range(10)] == [200] * 10


def test_few_failures_among_many_are_no_reason(origin):
    with Sallyport(config(origin)) as gateway:
        for _ in range(4):
            origin.script(response(200, b"a"), response(200, b"b"), response(500, b"c"))
            assert [gateway.ask().status for _ in range(3)] == [200, 200, 500]
        assert listed(gateway)[0]["state"] == "closed"


def test_a_server_that_is_gone_and_a_reload(origin):
    made = config(origin, open="1m")
    with Sallyport(made) as gateway:
        origin.stop()
        assert [gateway.ask().status for _ in range(6)] == [502] * 6
        assert gateway.ask().status == 503 and listed(gateway)[0]["state"] == "open"
        assert gateway.reload(made).returncode == 0
        assert gateway.ask().status == 503 and listed(gateway)[0]["state"] == "open"


def test_status_and_shorthand(origin):
    with Sallyport(config(origin, status="503")) as gateway:
        origin.default = response(500, b"broken")
        assert [gateway.ask().status for _ in range(12)] == [500] * 12
    made = plain({"servers": [origin.url], "breaker": 50})
    with Sallyport(made) as gateway:
        assert len(listed(gateway)) == 1
    with Sallyport(plain({"servers": [origin.url]})) as gateway:
        assert listed(gateway) == []


@pytest.mark.parametrize("breaker", [{"threshold": 101}, {"threshold": 50, "status": "9"}, {"threshold": 50, "trials": 0}])
def test_what_makes_no_sense_is_refused(tmp_path, breaker):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(plain({"servers": ["http://127.0.0.1:9"], "breaker": breaker})))
    assert command("check", "-c", path).returncode == 2
