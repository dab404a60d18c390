"""Geo databases: countries and networks in allow and deny, expressions, limits and records; databases that change,
or break, while requests run."""
import json
import os
import threading
import time

import mmdb
import pytest
from harness import Cut, Origin, Sallyport, command, echo, eventually, merge, plain

GB, DE, US, NOWHERE = "81.2.69.142", "84.1.2.3", "12.34.56.78", "9.9.9.9"
COUNTRIES = {"81.2.69.0/24": mmdb.country("GB"), "84.0.0.0/8": mmdb.country("DE"),
             "12.0.0.0/8": mmdb.country("US", "NA"), "2a02:d300::/29": mmdb.country("NO")}
NETWORKS = {"81.2.0.0/16": mmdb.network(20712, "Andrews & Arnold Ltd"), "12.34.0.0/16": mmdb.network(64500, "Example")}
TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
FILES = {"country.mmdb": mmdb.build(COUNTRIES), "asn.mmdb": mmdb.build(NETWORKS, 28)}


@pytest.fixture(scope="module")
def origin():
    with Origin(echo) as server:
        yield server


def configured(origin, **site):
    return merge(plain(origin, server=TRUSTED, **site), {"geoip": {"country": "country.mmdb", "asn": "asn.mmdb"}})


def status(gateway, address, target="/"):
    return gateway.ask("GET", target, fields=[("X-Forwarded-For", address)]).status


def recorded(gateway, address, target="/"):
    gateway.forget_records()
    status(gateway, address, target)
    return gateway.new_records()[-1]


def test_countries_and_networks_decide(origin):
    config = configured(origin, deny={"countries": ["GB", "NO"], "asns": ["AS64500"], "except": ["friends"]})
    config["lists"] = {"friends": ["81.2.69.7"]}
    with Sallyport(config, files=FILES) as gateway:
        for address, expected, reason, name in (
                (GB, 403, "country-denied", "country:GB"), ("81.2.69.7", 200, None, None), (DE, 200, None, None),
                (US, 403, "network-denied", "asn:64500"), (NOWHERE, 200, None, None),
                ("2a02:d300::1", 403, "country-denied", "country:NO"), ("::ffff:81.2.69.142", 403, "country-denied", "country:GB"),
                ("10.0.0.1", 200, None, None)):
            record = recorded(gateway, address)
            assert record["http"]["response"]["status_code"] == expected, address
            assert record["sallyport"].get("reason") == reason and record["sallyport"].get("list") == name, address


def test_records_name_country_and_network(origin):
    with Sallyport(configured(origin), files=FILES) as gateway:
        for address, geo, network in ((GB, {"country_iso_code": "GB", "continent_code": "EU"}, {"number": 20712}),
                                      (US, {"country_iso_code": "US", "continent_code": "NA"}, {"number": 64500}),
                                      ("10.1.2.3", {"country_iso_code": "ZZ"}, None), (NOWHERE, None, None)):
            client = recorded(gateway, address)["client"]
            assert client.get("geo") == geo and client.get("as") == network, address


def test_allow_lets_a_country_in_but_not_past_deny(origin):
    config = configured(origin, allow={"countries": ["de", "ZZ"], "ips": ["12.34.56.78"]}, deny=["84.1.2.4"])
    with Sallyport(config, files=FILES) as gateway:
        wanted = {DE: 200, "84.1.2.4": 403, US: 200, GB: 403, NOWHERE: 403, "192.168.0.1": 200}
        assert {address: status(gateway, address) for address in wanted} == wanted


def test_expressions_and_limits_ask(origin):
    config = configured(origin, routes=[
        {"path": "/asn", "when": "client.asn == 20712", "respond": 201},
        {"path": "/country", "when": 'client.country in ["GB", "US"] and client.continent != "NA"', "respond": 202},
        {"path": "/org", "when": 'client.as_org contains "Arnold"', "respond": 203},
        {"path": "/limited", "limits": [{"rate": "2/h", "per": "client.country"}]}])
    with Sallyport(config, files=FILES) as gateway:
        assert [status(gateway, a, "/asn") for a in (GB, US)] == [201, 200]
        assert [status(gateway, a, "/country") for a in (GB, US, NOWHERE)] == [202, 200, 200]
        assert [status(gateway, a, "/org") for a in (GB, US)] == [203, 200]
        assert [status(gateway, f"84.0.0.{n}", "/limited") for n in range(3)] == [200, 200, 429]
        assert status(gateway, GB, "/limited") == 200


def test_configuration_is_checked(tmp_path):
    base = {"version": 1, "sites": [{"host": "*", "waf": "off", "upstream": "http://127.0.0.1:1"}]}
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "torn.mmdb").write_bytes(FILES["country.mmdb"][:-30])
    good = {"geoip": {"country": "country.mmdb"}}
    for change, words in (
            ({"defaults": {"deny": {"countries": ["GB"]}}}, "need a database"),
            ({"defaults": {"limits": [{"rate": "1/s", "per": "client.asn"}]}}, "need a database"),
            ({"defaults": {"deny": {"lists": [], "unless": 'client.country == "GB"'}}}, "needs a database"),
            ({**good, "defaults": {"deny": {"countries": ["UK"]}}}, "write GB"),
            ({**good, "defaults": {"deny": {"countries": ["Germany"]}}}, "not the code of a country"),
            ({**good, "defaults": {"deny": {"asns": ["ASX"]}}}, "not the number of a network"),
            ({"geoip": {"country": "torn.mmdb"}}, "torn.mmdb"),
            ({"geoip": {"asn": "absent.mmdb"}}, "absent.mmdb")):
        (tmp_path / "c.yaml").write_text(json.dumps({**base, **change}))
        said = command("check", "-c", tmp_path / "c.yaml")
        assert said.returncode == 2 and words in said.stdout + said.stderr, (change, said)
    (tmp_path / "c.yaml").write_text("version: 1\ngeoip: {country: country.mmdb}\nsites:\n"
                                     "  - {host: '*', waf: off, upstream: 'http://127.0.0.1:1', deny: {countries: [NO]}}\n")
    assert command("check", "-c", tmp_path / "c.yaml").returncode == 0, "Norway is not a boolean"


def test_a_database_is_swapped_under_load_and_a_broken_one_is_not(origin):
    with Sallyport(configured(origin, deny={"countries": ["GB"]}), files=FILES) as gateway:
        failures, stop = [], threading.Event()

        def ask():
            with gateway.client() as client:
                while not stop.is_set():
                    answer = client.ask(fields=[("X-Forwarded-For", DE)])
                    if answer.status != 200:
                        failures.append(answer.status)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert status(gateway, GB) == 403
        gateway.write("country.mmdb", mmdb.build({**COUNTRIES, "81.2.69.0/24": mmdb.country("FR"),
                                                  "9.0.0.0/8": mmdb.country("GB")}, 32))
        eventually(lambda: status(gateway, GB) == 200, 15, "the new database is used")
        assert status(gateway, NOWHERE) == 403

        path = os.path.join(gateway.folder, "country.mmdb")
        whole = open(path, "rb").read()
        for number, broken in enumerate((whole[:len(whole) // 2], b"", b"\xff" * len(whole), whole[:40])):
            with open(path, "wb") as file:  # in place: what is mapped would change, or end
                file.write(broken)
            eventually(lambda: sum("watched file not taken" in line for line in gateway.stderr) > 0, 15, "it says so")
            time.sleep(0.3)
            assert status(gateway, NOWHERE) == 403 and status(gateway, GB) == 200, number
        os.unlink(path)
        time.sleep(0.3)
        assert status(gateway, NOWHERE) == 403
        said = command("status", "--control", gateway.control, "-o", "json", cwd=gateway.folder).stdout
        databases = {row["name"]: row for row in json.loads(said)["lists"]}
        assert "gone" in databases["geoip.country"]["trouble"] and "trouble" not in databases["geoip.asn"]
        gateway.write("country.mmdb", FILES["country.mmdb"])
        eventually(lambda: status(gateway, GB) == 403, 15, "a good one is taken again")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []


def test_at_the_door(origin):
    """`connect`: a private address is ZZ, and is told from a list by the reason."""
    config = merge(plain(origin), {"geoip": {"country": "country.mmdb"}, "connect": {"deny": {"countries": ["ZZ"]}}})
    with Sallyport(config, files=FILES) as gateway:
        with pytest.raises((Cut, ConnectionError)):  # it may be closed before connect() has returned
            gateway.ask()
        record = eventually(lambda: gateway.refusals())[0]
        assert record["event"]["reason"] == "country-denied" and record["sallyport"]["list"] == "country:ZZ"


def test_build_from_tables(origin, tmp_path):
    (tmp_path / "v4").write_text("# made by hand\n1359103232,1359103487,GB\n84.0.0.0/8,DE\n9.0.0.0/8,??\n")
    (tmp_path / "v6").write_text("2a02:d300::,2a02:d307:ffff:ffff:ffff:ffff:ffff:ffff,NO\n")
    made = tmp_path / "made.mmdb"
    said = command("geoip", "build", "--to", made, tmp_path / "v4", tmp_path / "v6")
    assert said.returncode == 0 and "3 ranges of 3 countries, 1 of none" in said.stdout, said
    with Sallyport(configured(origin, deny={"countries": ["GB", "NO"]}),
                   files={**FILES, "country.mmdb": made.read_bytes()}) as gateway:
        assert [status(gateway, a) for a in (GB, DE, NOWHERE, "2a02:d301::1", "2a02:d308::1")] == [403, 200, 200, 403, 200]
        for address, code in ((GB, 3), (DE, 0)):  # as the gateway decides
            said = command("explain", "-c", gateway.config_path, "http://test/", "--from", address, cwd=gateway.folder)
            assert said.returncode == code, said.stdout + said.stderr


def test_build_takes_a_table_whole_or_not_at_all(tmp_path):
    (tmp_path / "bad").write_text("1.0.0.0/24,AU\n1.0.1.0/24\n")
    (tmp_path / "empty").write_text("1.0.0.0/24,??\n")
    old = tmp_path / "old.mmdb"
    old.write_bytes(b"as before")
    for table, words in (("bad", "line 2"), ("empty", "name no country"), ("absent", "No such file")):
        said = command("geoip", "build", "--to", old, tmp_path / table)
        assert said.returncode == 1 and words in said.stderr, said
    assert old.read_bytes() == b"as before" and sorted(os.listdir(tmp_path)) == ["bad", "empty", "old.mmdb"]
    assert command("geoip", "build").returncode == 2
