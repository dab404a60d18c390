"""`sallyport limits simulate`: limits over the requests of an audit log."""
import json

import yaml

from harness import Sallyport, command, eventually, plain


def record(at, client, site="*", route="default", action="pass"):
    return json.dumps({"@timestamp": f"2027-01-14T09:{at // 60:02}:{at % 60:02}.000Z", "client": {"ip": client},
                       "sallyport": {"site": site, "route": route, "action": action}}, separators=(",", ":")) + "\n"


def simulate(folder, records, limits, code):
    config, log = folder / "sallyport.yaml", folder / "log.jsonl"
    config.write_text(yaml.safe_dump(plain("http://127.0.0.1:9", limits=limits)))
    log.write_text("".join(records))
    done = command("limits", "simulate", log, "-c", config, "-o", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def first(found):
    limit = found["limits"][0]
    return limit["requests"], limit["refused"], limit["clients"], limit["clients_refused"]


def test_rate(tmp_path):
    """Five at once and one a second: of 12 at once 5 pass, 10 s later 5 more."""
    records = [record(0, "192.0.2.1")] * 12 + [record(0, "192.0.2.2")] * 5 + [record(10, "192.0.2.1")] * 6
    found = simulate(tmp_path, records, [{"rate": "60/m", "burst": 5}], 3)
    assert first(found) == (23, 8, 2, 1)
    assert (found["records"], found["seconds"]) == (23, 10)


def test_nothing_refused(tmp_path):
    records = [record(i, "192.0.2.1") for i in range(30)]
    assert first(simulate(tmp_path, records, [{"rate": "60/m", "burst": 5}], 0)) == (30, 0, 1, 0)


def test_refusal_of_one_charges_no_other(tmp_path):
    """Two limits: what the narrow one refuses the wide one does not count."""
    records = [record(0, "192.0.2.1")] * 10 + [record(59, "192.0.2.1")]
    limits = [{"rate": "60/m", "burst": 1, "name": "narrow"}, {"rate": "2/h", "burst": 2, "name": "wide"}]
    found = simulate(tmp_path, records, limits, 3)["limits"]
    refused = {limit["limit"]: limit["refused"] for limit in found if limit["simulated"]}
    assert refused == {"narrow": 9, "wide": 0}


def test_what_cannot_be_simulated_is_named(tmp_path):
    records = [record(0, "192.0.2.1")] * 3 + [record(0, "192.0.2.1", route="gone"), "no record\n",
                                              record(0, "192.0.2.1", action="repeat")]
    limits = [{"rate": "1/m", "per": "header:X-Tenant"}, {"rate": "1/m", "name": "posts", "when": 'method == "POST"'}]
    found = simulate(tmp_path, records, limits, 0)
    why = [limit["why_not"] for limit in found["limits"]]
    assert "records do not have what it counts by" in why and "its condition needs the request" in why
    assert (found["records"], found["elsewhere"], found["repeats"]) == (4, 1, 1)


def test_as_the_gateway_decided(origin):
    """Over its own log the same requests are refused, those that a route's own limit has apart."""
    limits = [{"rate": "3/h", "burst": 3}]
    routes = [{"path": "/free/**", "limits": []}, {"path": "/tight/**", "limits": [{"rate": "1/h", "burst": 1}]}]
    with Sallyport(plain(origin, limits=limits, routes=routes)) as gateway:
        with gateway.client() as client:
            answers = {path: [client.ask(path=path).status for _ in range(6)] for path in ("/a", "/free/a", "/tight/a")}
        eventually(lambda: sum(1 for _ in open(gateway.audit_path)) >= 18, what="the records")
        done = command("limits", "simulate", gateway.audit_path, "-c", gateway.config_path, "-o", "json",
                       cwd=gateway.folder)
    assert done.returncode == 3, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["records"] == 18 and found["elsewhere"] == 6
    refused = {limit["route"]: limit["refused"] for limit in found["limits"] if limit["simulated"]}
    assert refused == {"": answers["/a"].count(429), "/tight/**": answers["/tight/a"].count(429)} == {
        "": 3, "/tight/**": 5}


def test_usage(tmp_path):
    assert command("limits", "simulate").returncode == 2
    config = tmp_path / "sallyport.yaml"
    config.write_text(yaml.safe_dump(plain("http://127.0.0.1:9", limits=[{"rate": "1/m"}])))
    assert command("limits", "simulate", tmp_path / "nowhere", "-c", config).returncode == 1
