"""Metrics as Prometheus reads them: right, bounded, and in nobody's way."""
import http.client
import json
import os
import re
import socket

import pytest

from harness import ROOT, Sallyport, command, eventually, plain

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"}]
SAMPLE = re.compile(r'sallyport_[a-z0-9_]+(\{([a-z_]+="[^"\\\n]*",?)+\})? (\+Inf|[0-9.e+-]+)')


@pytest.fixture(scope="module")
def gateway(origin):
    config = plain(origin, server={"metrics": "127.0.0.1:0", "workers": 2},
                   waf={"mode": "block", "ruleset": "none", "rules": RULES}, name="shop",
                   routes=[{"path": "/detect", "waf": {"mode": "detect"}}])
    with Sallyport(config) as gateway:
        yield gateway


def port(gateway):
    return int(dict(gateway.said)["metrics"].rsplit(":", 1)[1])


def scrape(gateway, path="/metrics", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port(gateway), timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def values(gateway):
    status, text = scrape(gateway)
    assert status == 200
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert SAMPLE.fullmatch(line), line
            name, value = line.rsplit(" ", 1)
            assert name not in found, name
            found[name] = float(value)
    return found


def test_counts_by_site_and_stage(gateway):
    before = values(gateway)
    for _ in range(5):
        gateway.ask(path="/")
    for _ in range(3):
        assert gateway.ask(path="/?q=evil").status == 403
    gateway.ask(path="/detect?q=evil")
    gateway.ask("POST", "/", body=b"x")
    gateway.ask("BREW", "/")
    def all_counted():  # a worker counts a request in all and by status one after the other
        now = values(gateway)
        counted = sum(number - before.get(name, 0) for name, number in now.items() if "_http_requests_total{" in name)
        return now["sallyport_requests_total"] - before["sallyport_requests_total"] == 11 and counted == 11 and now
    seen = eventually(all_counted)

    def grew(name):
        return seen.get("sallyport_" + name, 0) - before.get("sallyport_" + name, 0)
    assert grew('http_requests_total{site="shop",method="GET",status_class="2xx"}') == 6
    assert grew('http_requests_total{site="shop",method="GET",status_class="4xx"}') == 3
    assert grew('http_requests_total{site="shop",method="POST",status_class="2xx"}') == 1
    assert grew('http_requests_total{site="shop",method="other",status_class="2xx"}') == 1
    assert grew('decisions_total{stage="waf",action="deny"}') == 3
    assert grew('decisions_total{stage="waf",action="detect"}') == 1
    assert grew("requests_denied_total") == 3
    name = 'stage_duration_seconds_%s{stage="waf"%s}'
    total = grew(name % ("count", ""))
    assert total >= 11 and grew(name % ("bucket", ',le="+Inf"')) == total
    eventually(lambda: values(gateway)["sallyport_audit_records_total"] - before["sallyport_audit_records_total"] == 11)


def test_no_client_makes_series(gateway):
    before = set(values(gateway))
    for i in range(20):
        gateway.ask(f"M{i}", f"/path{i}", host=f"host{i}.test", fields=[("User-Agent", f"agent{i}")])
    fresh = set(values(gateway)) - before
    assert not [name for name in fresh if "host" in name or "path" in name or "agent" in name]
    assert len(fresh) <= 2


def test_only_metrics_are_there(gateway):
    assert scrape(gateway, "/")[0] == 404
    assert scrape(gateway, "/metrics", "POST")[0] == 405
    with socket.create_connection(("127.0.0.1", port(gateway))) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 8000)
        assert client.recv(4096).startswith(b"HTTP/1.1 431")


def test_scrapers_that_hang_keep_nobody_out(gateway):
    idle = [socket.create_connection(("127.0.0.1", port(gateway))) for _ in range(30)]
    done = command("status", "-c", gateway.config_path, cwd=gateway.folder)
    assert done.returncode == 0
    for one in idle:
        one.close()
    assert eventually(lambda: scrape(gateway)[0] == 200)


def test_counters_live_over_a_reload(gateway):
    before = values(gateway)
    assert gateway.reload().returncode == 0
    after = eventually(lambda: values(gateway))
    assert all(after.get(name, 0) >= value for name, value in before.items() if name.split("{")[0].endswith("_total"))
    assert after["sallyport_config_generation"] == before["sallyport_config_generation"] + 1


def test_bad_address_is_refused(origin):
    gateway = Sallyport(plain(origin, server={"metrics": "nowhere"}), start=False)
    done = command("check", "-c", gateway.config_path, cwd=gateway.folder)
    assert done.returncode == 2 and "metrics" in done.stderr + done.stdout


def test_traceparent_is_passed_on_and_logged(gateway, origin):
    origin.forget()
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    gateway.forget_records()
    gateway.ask(path="/trace", fields=[("traceparent", good), ("tracestate", "x=1")])
    assert gateway.new_records()[0]["trace"]["id"] == "a" * 32
    seen = origin.wait(1)[0].message
    assert seen.get("traceparent") == good and seen.get("tracestate") == "x=1"


def test_dashboard_and_alerts_name_what_is_there(gateway):
    known = {name.split("{")[0] for name in values(gateway)} | {"sallyport_list_age_seconds"}
    known |= {"sallyport_certificate_expiry_seconds", "sallyport_certificate_failures"}  # test_45_acme.py
    known |= {re.sub("_(bucket|sum|count)$", "", name) for name in known}
    folder = os.path.join(ROOT, "packaging")
    with open(os.path.join(folder, "grafana", "sallyport.json")) as file:
        board = file.read()
    json.loads(board)
    with open(os.path.join(folder, "prometheus", "sallyport.rules.yaml")) as file:
        rules = file.read()
    for name in set(re.findall(r"sallyport_[a-z0-9_]+", board + rules)):
        assert name in known or re.sub("_bucket$", "", name) in known, name
