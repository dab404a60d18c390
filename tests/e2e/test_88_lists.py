"""Address lists from files: formats, why an address is on one, and what a file may not do."""
import json

import pytest

from harness import Sallyport, command, eventually, plain
from test_50_stages import TRUSTED, status


def feed(origin, **row):
    config = plain(origin, server=dict(TRUSTED), deny={"lists": ["feed"]})
    config["lists"] = {"feed": {"file": "feed.txt", "watch": True, **row}}
    return config


FILES = [
    ("prefix,reason,expires,source\n192.0.2.0/24,wide,,abuse\n192.0.2.7,scanner,2099-01-31T00:00:00Z,honeypot\n",
     {"list": "feed", "prefix": "192.0.2.7/32", "source": "honeypot", "reason": "scanner",
      "expires": "2099-01-31T00:00:00.000Z"}),
    ("192.0.2.0/24 ; SBL1234\n", {"list": "feed", "prefix": "192.0.2.0/24", "reason": "SBL1234"}),
    ('{"cidr":"192.0.2.0/24","sblid":"SBL9"}\n{"type":"metadata"}\n',
     {"list": "feed", "prefix": "192.0.2.0/24", "reason": "SBL9"}),
    ("192.0.2.0/24\n", {"list": "feed", "prefix": "192.0.2.0/24", "reason": "because"}),
]


@pytest.mark.parametrize("text, want", FILES)
def test_why_is_on_record(origin, text, want):
    with Sallyport(feed(origin, reason="because"), files={"feed.txt": text}) as gateway:
        assert status(gateway, "192.0.2.7") == 403
        assert status(gateway, "192.0.3.7") == 200
        record = eventually(lambda: [r for r in gateway.records() if r["event"]["action"] == "block"])[0]
        assert record["sallyport"]["list"] == "feed"
        assert record["sallyport"]["lists"] == [want]


def test_a_list_in_an_expression_is_told(origin):
    config = plain(origin, server=dict(TRUSTED), deny={"ips": ["192.0.2.0/24"], "unless": "client.ip in @feed"})
    config["lists"] = {"feed": {"file": "feed.txt"}}
    with Sallyport(config, files={"feed.txt": "192.0.2.7 # our scanner\n"}) as gateway:
        assert status(gateway, "192.0.2.8") == 403
        assert status(gateway, "192.0.2.7") == 200
        record = eventually(lambda: [r for r in gateway.records() if r["client"]["ip"] == "192.0.2.7"])[0]
        assert record["sallyport"]["lists"] == [{"list": "feed", "prefix": "192.0.2.7/32", "reason": "our scanner"}]


def trouble(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    return [row.get("trouble") for row in json.loads(done.stdout)["lists"] if row["name"] == "feed"][0]


REFUSED = [
    ("0.0.0.0/2\n", "max_cover"),
    ("127.0.0.0/8\n", "trusted proxy"),
    ("198.51.100.9\n", "allow-list"),
    ("".join(f"192.0.2.{n}\n" for n in range(40)), "max_shrink"),
    ("192.0.2.1\nnonsense\n", "malformed"),
]


def test_what_a_changed_file_may_not_do(origin):
    config = feed(origin, without=["10.0.0.0/8"])
    config["sites"][0]["routes"] = [{"path": "/office/**", "allow": ["198.51.100.0/24"]}]
    good = "".join(f"192.0.2.{n}\n" for n in range(100))
    with Sallyport(config, files={"feed.txt": good}) as gateway:
        for text, why in REFUSED:
            gateway.write("feed.txt", text)
            eventually(lambda: why in (trouble(gateway) or ""), what=f"the file is refused: {why}")
            assert status(gateway, "192.0.2.99") == 403, why
            assert status(gateway, "198.51.100.9") == 200
        gateway.write("feed.txt", good + "192.0.2.200\n10.0.0.0/8\n")
        eventually(lambda: trouble(gateway) is None and status(gateway, "192.0.2.200") == 403,
                   what="the good file is taken")
        assert status(gateway, "10.1.2.3") == 200, "what stands in `without` is passed over"


@pytest.mark.parametrize("text, why", [r for r in REFUSED if r[1] not in ("max_shrink", "allow-list")])
def test_a_bad_file_does_not_load(origin, tmp_path, text, why):
    (tmp_path / "feed.txt").write_text(text)
    (tmp_path / "sallyport.yaml").write_text(json.dumps(feed(origin)))
    done = command("check", "-c", tmp_path / "sallyport.yaml", cwd=str(tmp_path))
    assert done.returncode == 2 and ("no address and no prefix" if why == "malformed" else why) in done.stderr + done.stdout


# ---- `ip why` ----------------------------------------------------------------------------------------


def test_ip_why(origin):
    """Lists with their reasons, bans, and the last requests; nothing of a feed moves a terminal's cursor."""
    config = feed(origin, reason="because")
    config["lists"]["friends"] = {"ips": ["192.0.2.7"]}
    config["sites"][0]["bans"] = {"after": "100 blocks/10m", "for": "10m"}
    with Sallyport(config, files={"feed.txt": "192.0.2.0/24 # nasty \x1b[31m one\n"}) as gateway:
        for _ in range(12):
            assert status(gateway, "192.0.2.7", path="/a%20b") == 403
        eventually(lambda: len(gateway.records()) == 12)
        done = command("ip", "why", "192.0.2.7", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["ip"] == "192.0.2.7" and said["private"] and not said["trusted_proxy"]
        assert said["lists"] == [{"list": "feed", "prefix": "192.0.2.0/24", "reason": "nasty ?[31m one", "denies": True},
                                 {"list": "friends", "prefix": "192.0.2.7/32", "denies": False}]
        assert said["bans"]["banned"] is False
        assert said["records_24h"] == 12 and len(said["records"]) == 10
        done = command("ip", "why", "192.0.2.7", "-c", gateway.config_path, cwd=gateway.folder)
        assert done.returncode == 0 and "\x1b" not in done.stdout
        assert "feed (denied): 192.0.2.0/24, reason nasty ?[31m one" in done.stdout
        assert "12 in the last 24 hours" in done.stdout and "address-denied" in done.stdout
        assert command("ip", "why", "127.0.0.1", "-c", gateway.config_path, cwd=gateway.folder).stdout.startswith(
            "address    127.0.0.1, private, a trusted proxy")
        done = command("ip", "why", "192.0.2.7", "-c", gateway.config_path, "--control", "/nowhere", cwd=gateway.folder)
        assert done.returncode == 0 and "feed (denied)" in done.stdout, "without a gateway the rest is told"


@pytest.mark.parametrize("arguments", [[], ["why"], ["why", "nowhere"], ["what", "192.0.2.1"]])
def test_ip_why_wants_an_address(origin, tmp_path, arguments):
    (tmp_path / "feed.txt").write_text("")
    (tmp_path / "sallyport.yaml").write_text(json.dumps(feed(origin)))
    assert command("ip", *arguments, "-c", tmp_path / "sallyport.yaml").returncode == 2
