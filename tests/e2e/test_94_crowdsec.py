"""CrowdSec: its decisions become lists, whatever its LAPI answers; our bans become its alerts. One test is of the real one."""
import json
import os
import signal

import pytest

import mmdb
from crowdsec import KEY, MACHINE, PASSWORD, CrowdSec, Lapi, decision
from acme import free_port
from harness import Sallyport, command, eventually, plain
from redis_server import Redis
from test_50_stages import TRUSTED, status
from test_91_bots import HTML

BAD, WORSE, OTHER = "192.0.2.9", "2001:db8::9", "198.51.100.1"


def config(origin, lapi, **row):
    setup = plain(origin, server=dict(TRUSTED), deny={"lists": ["crowdsec"]},
                  bots={"mode": "challenge", "lists": ["crowdsec-challenge"], "weights": {"agent-none": 0, "listed": 100}})
    setup["crowdsec"] = {"lapi": lapi.url, "key": KEY, "refresh": "200ms", **row}
    return setup


def told(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    return json.loads(done.stdout)["crowdsec"] if done.returncode == 0 else {}


def why(gateway, address):
    done = command("ip", "why", address, "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["lists"]


def write(path, networks):
    with open(path, "wb") as file:
        file.write(mmdb.build(networks))


def banned(gateway, address=BAD):
    return status(gateway, address) == 403


def challenged(gateway, address):
    return gateway.ask(fields=[*HTML, ("X-Forwarded-For", address)]).status == 403


def refused(gateway, address):
    return [r for r in gateway.records() if r["client"]["ip"] == address and r["event"]["action"] == "block"]


def becomes(condition, what):
    eventually(condition, seconds=20, what=what)


def rounds(gateway, count=2):
    """So many more questions have been answered."""
    before = told(gateway)["rounds"]
    becomes(lambda: told(gateway).get("rounds", 0) >= before + count, "more rounds")


def test_decisions_come_and_go(origin):
    with Lapi() as lapi:
        lapi.decide(decision(BAD), decision(WORSE, type="captcha"), decision("203.0.113.0/24", scope="Range", type="ban"))
        with Sallyport(config(origin, lapi)) as gateway:
            becomes(lambda: banned(gateway), "the first decisions")
            assert banned(gateway, "203.0.113.77") and not banned(gateway, OTHER)
            assert not banned(gateway, WORSE) and challenged(gateway, WORSE) and not challenged(gateway, OTHER)
            record = eventually(lambda: refused(gateway, BAD))[0]["sallyport"]
            assert record["list"] == "crowdsec" and record["reason"] == "address-denied"
            row = record["lists"][0]
            assert row["prefix"] == BAD + "/32" and row["source"] == "crowdsec" and row["reason"] == "crowdsecurity/ssh-bf" and "expires" in row
            assert {"list": "crowdsec", "denies": True, "found": None, **row}.items() >= why(gateway, BAD)[0].items()
            assert lapi.whole() == 1 and lapi.agent.startswith("sallyport/")
            lapi.decide(decision(OTHER))
            becomes(lambda: banned(gateway, OTHER), "a new one")
            lapi.lift(BAD)
            becomes(lambda: not banned(gateway), "one lifted")
            assert lapi.whole() == 1 and banned(gateway, OTHER) and why(gateway, BAD) == []
            said = told(gateway)
            assert (said["bans"], said["challenges"]) == (2, 1) and "trouble" not in said


BROKEN = [
    ((200, [], b"<html>"), "object"),
    ((200, [], b'{"new":[{"scope":"Ip","value":"198.51.100.1","type":"ban","duration":"1h"}'), "array"),
    ((200, [], b'{"new":' + b"[" * 9999), "object"),
    ((302, [("Location", "http://127.0.0.1:1/")], b""), "200"),
    ((200, [], b'{"new":[' + b"0" * 70000), "too large"),
    ((403, [], b'{"message":"access forbidden"}'), "key"),
    ((200, [], json.dumps({"new": [decision(f"{n}.0.0.0/6", scope="Range") for n in (16, 32, 64, 128)]}).encode()), "max_cover"),
    ((500, [], b"{}"), "200"),
    ((200, [], json.dumps({"new": [decision(code, scope="Country") for code in ("AT", "BE", "CH", "DE", "ES")]}).encode()), "max_cover"),
]


def test_the_last_set_stays_and_a_gap_is_made_good(origin):
    with Lapi() as lapi:
        lapi.decide(decision(BAD))
        with Sallyport(config(origin, lapi, max_bytes="64KiB", max_cover=2, without=["10.0.0.0/8"])) as gateway:
            becomes(lambda: banned(gateway), "the first decisions")
            for answer, why_not in BROKEN:
                lapi.raw = answer
                becomes(lambda: why_not in told(gateway).get("trouble", ""), f"it is told: {why_not}")
                assert banned(gateway) and not banned(gateway, OTHER), why_not
            lapi.lift(BAD)
            lapi.decide(decision("10.1.2.3"), decision("127.0.0.1"), decision("0.0.0.0/0", scope="Range"), decision(OTHER))
            before, lapi.raw = lapi.whole(), None
            becomes(lambda: banned(gateway, OTHER), "all of it anew")
            assert not banned(gateway) and lapi.whole() == before + 1
            assert not banned(gateway, "10.1.2.3"), "passed over"
            assert status(gateway) == 200, "a trusted proxy is never banned, nor is everybody"
            assert told(gateway)["refused"] == 2 and "trouble" not in told(gateway)


def test_kept_while_the_lapi_is_away(origin):
    port = free_port()
    with Lapi(port=port) as lapi:
        lapi.decide(decision(BAD))
        setup = config(origin, lapi)
        gateway = Sallyport(setup)
        gateway.__enter__()
        becomes(lambda: banned(gateway), "the first decisions")
    try:
        becomes(lambda: "trouble" in told(gateway), "it is missed")
        assert gateway.reload(setup).returncode == 0
        assert banned(gateway), "a new configuration begins with what was known"
        os.kill(gateway.status()["processes"]["steward"], signal.SIGKILL)
        assert banned(gateway)
        becomes(lambda: "trouble" in told(gateway), "another steward")
        assert banned(gateway)
        with Lapi(port=port) as lapi:
            lapi.decide(decision(OTHER))
            becomes(lambda: banned(gateway, OTHER) and not banned(gateway), "the LAPI is back, with another set")
    finally:
        gateway.__exit__(None, None, None)


def test_countries_and_networks(origin, tmp_path):
    here, There = "81.2.69.1", "84.1.2.3"
    country, asn = str(tmp_path / "country.mmdb"), str(tmp_path / "asn.mmdb")
    write(country, {"81.2.69.0/24": mmdb.country("CN"), "84.0.0.0/8": mmdb.country("DE")})
    write(asn, {"84.1.0.0/16": mmdb.network(64500, "Example")})
    with Lapi() as lapi:
        lapi.decide(decision("CN", scope="Country"), decision("64500", scope="AS", type="captcha"), decision("root", scope="username"))
        setup = config(origin, lapi)
        setup["geoip"] = {"country": country, "asn": asn}
        with Sallyport(setup) as gateway:
            becomes(lambda: banned(gateway, here), "a country")
            assert challenged(gateway, There) and not banned(gateway, There)
            record = eventually(lambda: refused(gateway, here))[0]["sallyport"]
            assert record["lists"][0]["place"] == "country:CN" and why(gateway, here)[0]["place"] == "country:CN"
            assert why(gateway, There)[0]["place"] == "asn:64500" and told(gateway)["unusable"] == 1


def test_networks_are_weighed(origin, tmp_path):
    """By the database, which may change; one that is too large is passed over, and too many together are refused."""
    os.chmod(tmp_path, 0o755)
    asn, (small, large, one, two) = str(tmp_path / "asn.mmdb"), (64500, 64501, 64502, 64503)
    networks = {"84.1.0.0/16": small, "16.0.0.0/6": large, "24.0.0.0/7": one, "28.0.0.0/7": two}
    write(asn, {prefix: mmdb.network(number, "Example") for prefix, number in networks.items()})
    with Lapi() as lapi:
        lapi.decide(*(decision(f"AS{number}", scope="AS") for number in (small, large, one)))
        setup = config(origin, lapi, max_cover=1)
        setup["geoip"] = {"asn": asn}
        with Sallyport(setup) as gateway:
            becomes(lambda: banned(gateway, "84.1.2.3"), "a network")
            assert banned(gateway, "24.1.2.3") and not banned(gateway, "16.1.2.3") and told(gateway)["refused"] == 1
            assert any("asn:64501" in line for line in gateway.stderr)
            lapi.decide(decision(f"AS{two}", scope="AS"))
            becomes(lambda: "max_cover" in told(gateway).get("trouble", ""), "together they are too many")
            assert banned(gateway, "24.1.2.3") and not banned(gateway, "28.1.2.3"), "the last set stays"
            fresh = str(tmp_path / "fresh.mmdb")
            write(fresh, {"84.1.0.0/16": mmdb.network(small, "Example"), "28.0.0.0/16": mmdb.network(two, "Example")})
            os.rename(fresh, asn)
            becomes(lambda: banned(gateway, "28.0.2.3"), "by another database they are not")
            assert "trouble" not in told(gateway)


@pytest.mark.parametrize("way", ["https", "unix"])
def test_by_tls_and_by_socket(origin, authority, tmp_path, way):
    os.chmod(tmp_path, 0o755)
    pair = authority.issue("lapi", "localhost") if way == "https" else None
    with Lapi(pair=pair, path=str(tmp_path / "lapi.sock") if way == "unix" else None) as lapi:
        lapi.decide(decision(BAD))
        row = {"ca": authority.ca.cert} if way == "https" else {}
        with Sallyport(config(origin, lapi, **row)) as gateway:
            becomes(lambda: banned(gateway), way)


def another_steward(gateway):
    before = gateway.status()["processes"]["steward"]
    os.kill(before, signal.SIGKILL)
    becomes(lambda: gateway.status()["processes"].get("steward") not in (None, 0, before) and told(gateway), "another steward")


def test_our_bans_are_told(origin):
    with Lapi() as lapi:
        setup = config(origin, lapi, alerts={"machine": MACHINE, "password": PASSWORD})
        setup["sites"][0]["bans"] = {"after": "2 blocks/10m", "for": "1h"}
        setup["sites"][0]["waf"] = {"mode": "block", "ruleset": "none", "rules": [{"name": "no", "when": 'path == "/bad"', "do": "block"}]}
        lapi.post = ("/v1/alerts", 500, {})
        with Sallyport(setup) as gateway:
            for address in (BAD, WORSE):
                for _ in range(2):
                    assert status(gateway, address, path="/bad") == 403
            becomes(lambda: "201" in told(gateway).get("alerts", {}).get("trouble", ""), "it cannot be told")
            assert status(gateway, OTHER) == 200 and lapi.alerts == []
            another_steward(gateway)
            lapi.post, lapi.life = None, 3600
            becomes(lambda: len(lapi.alerts) == 2, "the next steward tells it")
            one, two = lapi.alerts
            assert one["scenario"] == "sallyport/rule" and one["source"] == {"scope": "Ip", "value": BAD}
            made = one["decisions"][0]
            assert made["origin"] == f"sallyport/{MACHINE}" and made["type"] == "ban" and 3500 < int(made["duration"][:-1]) <= 3600
            assert two["source"] == {"scope": "Range", "value": "2001:db8::/64"}
            assert {"key", "value"} == set(one["events"][0]["meta"][0]) and told(gateway)["alerts"]["sent"] == 2
            another_steward(gateway)
            lapi.decide(decision(OTHER, origin=made["origin"]), decision("198.51.100.2"))
            becomes(lambda: banned(gateway, "198.51.100.2"), "a round")
            assert not banned(gateway, OTHER), "our own word does not come back"
            # A LAPI that has forgotten the token is logged in to again; one that refuses the ban is not asked for ever.
            lapi.logins.append(None)
            assert command("ban", "add", "198.51.100.3", "--for", "1h", "--control", gateway.control).returncode == 0
            becomes(lambda: len(lapi.alerts) == 3, "after another log-in")
            assert lapi.alerts[2]["scenario"] == "sallyport/operator"
            lapi.post = ("/v1/alerts", 422, {})
            assert command("ban", "add", "198.51.100.4", "--for", "1h", "--control", gateway.control).returncode == 0
            becomes(lambda: told(gateway)["alerts"]["rejected"] == 1, "refused")
            # What was told is taken back; what never was because its end came first, is not told any more.
            lapi.post = ("/v1/decisions", 500, {})
            for words in (["del", BAD], ["add", "198.51.100.5", "--for", "1h"], ["del", "198.51.100.5"], ["del", "2001:db8::/64"]):
                assert command("ban", *words, "--control", gateway.control).returncode == 0
            becomes(lambda: "200" in told(gateway)["alerts"].get("trouble", ""), "it cannot be told")
            assert lapi.removed == [] and status(gateway, BAD) == 200
            another_steward(gateway)
            lapi.post = None
            becomes(lambda: told(gateway)["alerts"]["lifted"] == 3, "the next steward tells it")
            assert lapi.removed == [{"origin": made["origin"], "value": value} for value in (BAD, "198.51.100.5", "2001:db8::/64")]
            assert len(lapi.alerts) == 3 and "trouble" not in told(gateway)["alerts"]
            lapi.post = ("/v1/decisions", 404, {})
            assert command("ban", "del", "198.51.100.3", "--control", gateway.control).returncode == 0
            becomes(lambda: told(gateway)["alerts"]["rejected"] == 1, "refused")
            text = gateway.stderr + [json.dumps(told(gateway))]
            assert not [line for line in text if KEY in line or "pass " in line]


def test_each_node_tells_its_own(origin):
    with Lapi() as lapi, Redis() as redis:
        def setup(**row):
            made = config(origin, lapi, **row)
            made["store"] = {"redis": f"unix:{redis.socket}", "secret": "s" * 32}
            made["sites"][0]["bans"] = {"after": "2 blocks/10m", "for": "1h"}
            return made

        with Sallyport(setup()) as other, Sallyport(setup(alerts={"machine": MACHINE, "password": PASSWORD})) as gateway:
            def ban(node, *words):
                assert command("ban", *words, "--control", node.control).returncode == 0

            ban(other, "add", BAD, "--for", "1h")
            becomes(lambda: banned(gateway), "it is shared")
            ban(gateway, "add", OTHER, "--for", "1h")
            becomes(lambda: lapi.alerts and banned(other, OTHER), "its own is told")
            assert [one["source"]["value"] for one in lapi.alerts] == [OTHER]
            ban(other, "del", OTHER)
            becomes(lambda: lapi.removed, "it takes its own back, whoever lifted it")
            assert lapi.removed == [{"origin": f"sallyport/{MACHINE}", "value": OTHER}] and status(gateway, OTHER) == 200


LOADS_NOT = [
    ({"key": ""}, "key"), ({"key": "two words"}, "key"), ({"lapi": "http://8.8.8.8:8080"}, "https"), ({"lapi": "dns://lapi:80"}, "URL"),
    ({"alerts": {"machine": "x"}}, "password"), ({"ca": "none.pem"}, "ca"),
]


@pytest.mark.parametrize("row, word", LOADS_NOT)
def test_what_does_not_load(origin, tmp_path, row, word):
    setup = plain(origin)
    setup["crowdsec"] = {"lapi": "http://127.0.0.1:1/", "key": KEY, **row}
    (tmp_path / "sallyport.yaml").write_text(json.dumps(setup))
    done = command("check", "-c", tmp_path / "sallyport.yaml", cwd=str(tmp_path))
    assert done.returncode == 2 and word in done.stderr + done.stdout


def test_the_real_one(origin):
    """Debian's package, without its hub and without the Internet."""
    with CrowdSec(free_port()) as real:
        real.start()
        real.url = f"http://127.0.0.1:{real.port}"
        real.cscli("decisions", "add", "-i", BAD, "-d", "1h")
        real.cscli("decisions", "add", "-r", "203.0.113.0/24", "-d", "1h")
        real.cscli("decisions", "add", "-i", WORSE, "-d", "1h", "-t", "captcha")
        setup = config(origin, real, key=real.key, alerts={"machine": MACHINE, "password": PASSWORD})
        setup["sites"][0]["bans"] = {"after": "2 blocks/10m", "for": "1h"}
        with Sallyport(setup) as gateway:
            becomes(lambda: banned(gateway), "the first decisions")
            assert banned(gateway, "203.0.113.4") and challenged(gateway, WORSE) and not banned(gateway, OTHER)
            real.cscli("decisions", "delete", "-i", BAD)
            becomes(lambda: not banned(gateway), "one lifted")
            assert banned(gateway, "203.0.113.4")
            assert command("ban", "add", "198.51.100.3", "--for", "10m", "--control", gateway.control).returncode == 0
            becomes(lambda: told(gateway)["alerts"]["sent"] == 1, "our ban is told")
            mine = [one for alert in real.decisions() for one in alert["decisions"] if one["value"] == "198.51.100.3"]
            assert mine[0]["origin"] == f"sallyport/{MACHINE}" and mine[0]["scenario"] == "sallyport/operator", mine
            # Another's decision of the same address is not ours to take back.
            real.cscli("decisions", "add", "-i", "198.51.100.3", "-d", "1h")
            assert command("ban", "del", "198.51.100.3", "--control", gateway.control).returncode == 0
            becomes(lambda: told(gateway)["alerts"]["lifted"] == 1, "its end is told")
            left = [one["origin"] for alert in real.decisions() for one in alert["decisions"] if one["value"] == "198.51.100.3" and not one["duration"].startswith("-")]
            assert left == ["cscli"], left
            real.stop()
            becomes(lambda: "trouble" in told(gateway), "it is missed")
            assert banned(gateway, "203.0.113.4")
            real.start()
            real.cscli("decisions", "add", "-i", OTHER, "-d", "1h")
            becomes(lambda: banned(gateway, OTHER), "it is back")
