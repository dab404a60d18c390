"""Bans: made by offences, honeypots and operators; shared by workers and, through Redis, by nodes."""
import json
import subprocess
import time

import pytest

from harness import BINARY, ENVIRONMENT, Origin, Sallyport, command, eventually, plain, soon
from redis_server import Redis
from wire import response

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"], "workers": 2}


def from_address(address):
    return [("X-Forwarded-For", address)]


def status(gateway, address, path="/", **more):
    return gateway.ask(path=path, fields=from_address(address), **more).status


def ban(gateway, *words, env=None):
    done = command("ban", *words, "--control", gateway.control, "-o", "json", env={**ENVIRONMENT, **(env or {})})
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def rule(text):
    return {"rules": [{"name": "no", "when": f'path == "{text}"', "do": "block"}], "ruleset": "none", "mode": "block"}


def test_offences_ban():
    with Origin(response(200, b"ok")) as origin:
        config = plain(origin, TRUSTED, waf=rule("/bad"), bans={"after": "3 blocks/10m", "for": "1h"})
        with Sallyport(config) as gateway:
            attacker, other = "192.0.2.66", "192.0.2.67"
            for _ in range(2):
                assert status(gateway, attacker, "/bad") == 403
            assert status(gateway, attacker) == 200
            assert status(gateway, attacker, "/bad") == 403
            eventually(lambda: status(gateway, attacker) == 403, 20, "the ban")
            # On both workers, and for nobody else.
            for _ in range(8):
                answer = gateway.ask(fields=from_address(attacker))
                assert answer.status == 403
            assert 3590 <= int(answer.get("retry-after")) <= 3600
            assert status(gateway, other) == 200
            record = eventually(lambda: [r for r in gateway.records() if r["sallyport"].get("reason") == "banned"],
                                what="a record")
            assert record[0]["http"]["response"]["status_code"] == 403
            # Why: the three requests, by their ids.
            code, why = ban(gateway, "why", attacker)
            assert code == 0 and why["banned"] and why["ban"]["cause"] == "rule"
            blocked = [r["http"]["request"]["id"] for r in gateway.records() if r["sallyport"].get("reason") == "rule"]
            assert {one["request"] for one in why["evidence"]} == set(blocked) and len(blocked) == 3
            code, listed = ban(gateway, "list")
            assert [one["net"] for one in listed["bans"]] == [attacker]
            # Lifted, at once, and with a clean record.
            assert ban(gateway, "del", attacker)[0] == 0
            assert status(gateway, attacker) == 200
            assert ban(gateway, "del", attacker)[0] == 1
            assert ban(gateway, "list")[1]["bans"] == []
            for _ in range(2):
                assert status(gateway, attacker, "/bad") == 403
            assert status(gateway, attacker) == 200


def test_second_ban_is_longer_and_ends():
    config = plain(None, TRUSTED, bans={"for": "1s", "factor": 3, "honeypots": ["/.env", "/wp-admin/**"]},
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        for length in (1, 3):
            began = time.monotonic()
            assert status(gateway, "192.0.2.1", "/wp-admin/x") == 403
            assert status(gateway, "192.0.2.1") == 403
            eventually(lambda: status(gateway, "192.0.2.1") == 200, soon(10), "the end of the ban")
            assert length - 1.2 < time.monotonic() - began < soon(length + 3)
        assert ban(gateway, "why", "192.0.2.1")[1]["bans_so_far"] == 2


def test_ipv6_is_one_network():
    config = plain(None, TRUSTED, bans={"honeypots": ["/.env"]}, routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        assert status(gateway, "2001:db8:1:2::3", "/.env") == 403
        assert status(gateway, "2001:db8:1:2:ffff::9") == 403
        assert status(gateway, "2001:db8:1:3::3") == 200
        assert ban(gateway, "list")[1]["bans"][0]["net"] == "2001:db8:1:2::/64"
        assert ban(gateway, "add", "2001:db8:1::/48")[0] == 0
        assert status(gateway, "2001:db8:1:3::3") == 403


def test_storms_of_missing_pages_and_limits():
    with Origin(response(404, b"no")) as origin:
        config = plain(origin, TRUSTED, bans={"after": "1/10m"})
        with Sallyport(config) as gateway:
            got = [status(gateway, "192.0.2.9") for _ in range(12)]
            assert got[:10] == [404] * 10  # a request is judged when it is over, which may be a moment later
            eventually(lambda: status(gateway, "192.0.2.9") == 403, 20, "the ban")
    config = plain(None, TRUSTED, bans={"after": "1/10m"}, limits=[{"rate": "1/min", "burst": 1}],
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        got = [status(gateway, "192.0.2.9") for _ in range(8)]
        assert got[:6] == [200] + [429] * 5
        eventually(lambda: status(gateway, "192.0.2.9") == 403, 20, "the ban")


def test_allowed_and_never_win():
    config = plain(None, TRUSTED, bans={"honeypots": ["/.env"], "never": ["office", "203.0.113.0/24"]},
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    config["lists"] = {"office": {"ips": ["198.51.100.0/24"]}}
    with Sallyport(config) as gateway:
        for address in ("198.51.100.7", "203.0.113.7"):
            assert status(gateway, address, "/.env") == 200
            assert status(gateway, address) == 200
            code, answer = ban(gateway, "add", address)
            assert code == 1 and "never" in answer["error"]
            assert ban(gateway, "add", address, "--force")[0] == 0
            assert status(gateway, address) == 200
            assert ban(gateway, "why", address)[1]["never"]


def test_by_hand():
    config = plain(None, TRUSTED, bans={}, routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        assert status(gateway, "192.0.2.5") == 200
        code, answer = ban(gateway, "add", "192.0.2.5", "--for", "2h", "--reason", "ticket-91")
        assert code == 0 and answer["left_s"] == 7200
        for _ in range(6):
            assert status(gateway, "192.0.2.5") == 403
        row, = ban(gateway, "list")[1]["bans"]
        assert (row["cause"], row["reason"]) == ("operator", "ticket-91")
        assert ban(gateway, "add", "192.0.2.0/24")[0] == 0
        assert status(gateway, "192.0.2.200") == 403
        for bad in ("192.0.2.0/23", "nonsense", "0.0.0.0/0", "2001:db8::/32"):
            assert ban(gateway, "add", bad)[0] == 1
        # Not oneself.
        assert ban(gateway, "add", "127.0.0.1")[0] == 2
        session = {"SSH_CONNECTION": "192.0.2.77 50000 10.0.0.1 22"}
        assert ban(gateway, "add", "192.0.2.77", env=session)[0] == 2
        assert ban(gateway, "add", "192.0.2.0/24", env=session)[0] == 2
        # Also behind sudo, which passes that on to nobody.
        above = subprocess.run(["sh", "-c", 'env -u SSH_CONNECTION "$@"; exit $?', "sh", BINARY, "ban", "add", "192.0.2.77", "--control",
                                gateway.control], env={**ENVIRONMENT, **session}, capture_output=True, text=True, timeout=30)
        assert above.returncode == 2 and "yourself" in above.stderr
        assert ban(gateway, "add", "192.0.2.77", "--force", env=session)[0] == 0
        # A network is named by any of its addresses.
        assert ban(gateway, "add", "2001:db8::5/64")[1]["net"] == "2001:db8::/64"
        assert ban(gateway, "del", "2001:db8::9")[0] == 0
        # A reload forgives nobody, and so does the steward's end.
        assert gateway.reload().returncode == 0
        assert status(gateway, "192.0.2.5") == 403
        eventually(lambda: ban(gateway, "list")[0] == 0 and len(ban(gateway, "list")[1]["bans"]) == 3, what="the list")
        human = command("ban", "--control", gateway.control)
        assert human.returncode == 0 and "ticket-91" in human.stdout


def test_detect_bans_nobody():
    config = plain(None, TRUSTED, bans={"honeypots": ["/.env"], "mode": "detect"},
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        assert status(gateway, "192.0.2.5", "/.env") == 200
        assert status(gateway, "192.0.2.5") == 200
        code, why = ban(gateway, "why", "192.0.2.5")
        assert not why["banned"] and why["evidence"][0]["cause"] == "honeypot"


def test_nodes_share():
    def config(redis):
        config = plain(None, TRUSTED, bans={"honeypots": ["/.env"], "for": "1h"},
                       routes=[{"path": "/**", "respond": {"status": 200}}])
        config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "200ms", "secret": "$(env:STORE_SECRET)"}
        return config

    env = {"STORE_SECRET": "of the tests"}
    with Redis() as redis, Sallyport(config(redis), env) as a:
        with Sallyport(config(redis), env) as b:
            time.sleep(0.3)
            assert status(a, "192.0.2.5", "/.env") == 403
            began = time.monotonic()
            eventually(lambda: status(b, "192.0.2.5") == 403, soon(5), "the ban on the other node")
            assert time.monotonic() - began < soon(2)
            # Also there it can be told why.
            why = eventually(lambda: (said := ban(b, "why", "192.0.2.5")[1])["evidence"] and said, what="the evidence")
            assert why["ban"]["cause"] == "honeypot" and why["ban"]["site"] == "*"
            assert [one["request"] for one in why["evidence"]] == [r["http"]["request"]["id"] for r in a.records()]
            assert ban(b, "add", "192.0.2.6", "--reason", "ticket")[0] == 0
            eventually(lambda: status(a, "192.0.2.6") == 403, 5, "the operator's ban on the other node")
            eventually(lambda: any(one.get("reason") == "ticket" for one in ban(a, "list")[1]["bans"]), 5, "its reason")
            assert ban(a, "del", "192.0.2.6")[0] == 0
            eventually(lambda: status(b, "192.0.2.6") == 200, 5, "the lifted ban on the other node")
            time.sleep(0.4)
            assert status(a, "192.0.2.6") == 200
            # Each is told once, however many workers there are.
            assert redis.ask("XLEN", "sallyport:bans") == 3
        # Who comes later hears of it; what is malformed in there is passed over.
        for junk in (("a", "not an address", "u", "1"), ("u", "99999999999"), ("a", "10.0.0.1/32"),
                     ("a", "0.0.0.0/0", "u", str(int(time.time()) + 999)),
                     ("a", "192.0.2.9/32", "u", str(int(time.time()) + 10**9))):
            redis.ask("XADD", "sallyport:bans", "*", *junk)
        redis.ask("XADD", "sallyport:bans", "*", "a", "192.0.2.8/32", "u", str(int(time.time()) + 999), "r", "\x1b[31m")
        with Sallyport(config(redis), env) as c:
            eventually(lambda: status(c, "192.0.2.5") == 403, 5, "the ban on a new node")
            eventually(lambda: status(c, "192.0.2.8") == 403, 5, "what stands behind junk")
            for address in ("10.0.0.1", "192.0.2.9", "8.8.8.8", "192.0.2.6"):
                assert status(c, address) == 200
            assert all("\x1b" not in json.dumps(one) for one in ban(c, "list")[1]["bans"])


@pytest.mark.parametrize("cut", [True])
def test_cut(cut):
    config = plain(None, TRUSTED, bans={"honeypots": ["/.env"], "cut": cut},
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    with Sallyport(config) as gateway:
        with pytest.raises(Exception):
            status(gateway, "192.0.2.5", "/.env")
        with pytest.raises(Exception):
            status(gateway, "192.0.2.5")
        assert status(gateway, "192.0.2.6") == 200


def test_bans_and_quotas_survive_a_restart():
    limits = [{"quota": 5, "per": "site", "name": "five"}]
    config = plain(None, TRUSTED, bans={"honeypots": ["/.env"], "for": "1h"}, limits=limits,
                   routes=[{"path": "/**", "respond": {"status": 200}}])
    config["store"] = {"snapshot": "state.db"}
    with Sallyport(config) as gateway:
        assert [status(gateway, "192.0.2.1") for _ in range(3)] == [200] * 3
        assert status(gateway, "192.0.2.5", "/.env") == 403
        assert ban(gateway, "add", "192.0.2.6", "--reason", "ticket")[0] == 0
        assert ban(gateway, "add", "192.0.2.7", "--for", "2s")[0] == 0
        time.sleep(0.5)
        gateway.signal(15)
        gateway.process.wait(20)
        time.sleep(2)
        gateway.ports = {}
        gateway.start()
        eventually(lambda: status(gateway, "192.0.2.5") == 403, 5, "what was saved")  # read once it serves
        assert status(gateway, "192.0.2.6") == 403
        rows = eventually(lambda: ban(gateway, "list")[1]["bans"], what="the list")
        assert {(row["net"], row["cause"], row.get("reason")) for row in rows} == \
            {("192.0.2.5", "honeypot", None), ("192.0.2.6", "operator", "ticket")}
        got = [status(gateway, "192.0.2.7") for _ in range(4)]
        # One that came before the state was read is not counted with it.
        assert got.count(200) <= 3 and got[-1] == 429
        # A lifted ban does not come back with the next steward.
        assert ban(gateway, "del", "192.0.2.6")[0] == 0
        assert gateway.reload().returncode == 0
        time.sleep(0.5)
        assert status(gateway, "192.0.2.6") == 429
        assert status(gateway, "192.0.2.5") == 403


def test_quota_show_and_reset():
    limits = [{"quota": 5, "per": "header:X-Tenant+route", "name": "five"}, {"quota": 9, "name": "nine"}]
    config = plain(None, TRUSTED, routes=[{"path": "/**", "respond": {"status": 200}, "limits": limits}])
    config["store"] = {"snapshot": "state.db"}  # its key is known outside of the gateway, too
    with Sallyport(config) as gateway:
        def quota(*words):
            done = command("quota", *words, "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
            return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

        def asked(count):
            fields = [("X-Tenant", "acme"), *from_address("192.0.2.9")]
            return [gateway.ask(fields=fields).status for _ in range(count)]

        key = "acme+/**+*"
        assert quota("show", "five", key)[1]["used"] == 0
        assert asked(7) == [200] * 5 + [429] * 2
        code, answer = quota("show", "five", key)
        assert code == 0 and (answer["used"], answer["quota"]) == (5, 5)
        assert quota("show", "nine", "192.0.2.9")[1]["used"] == 5
        assert quota("show", "five", "other+/**+*")[1]["used"] == 0
        assert quota("reset", "five", key)[0] == 0
        assert asked(6) == [200] * 4 + [429] * 2  # the other one has nine in all
        assert quota("show", "six", key)[0] == 2
        assert "which is header:X-Tenant+route+site" in quota("show", "five", "acme")[1]
        assert quota("show", "nine", "nonsense")[0] == 2
