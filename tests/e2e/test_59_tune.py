"""`tune`: what the log shows to be everyday traffic gets the narrowest exclusion, proved; what one client may have
planted gets none."""
import json
import os

import pytest

from harness import Sallyport, capture_keys, command, eventually

SECLANG = r"""
SecRule ARGS "@rx (?i)select\s.+\sfrom" "id:100001,phase:2,deny,status:403,log,t:none,msg:'SQL'"
SecRule ARGS "@rx (?i)union\s" "id:100002,phase:2,deny,status:403,log,t:none,msg:'SQL union'"
SecRule ARGS|REQUEST_COOKIES "@rx <script" "id:100003,phase:2,deny,status:403,log,t:none,msg:'script'"
"""
CONFIG = """# The shop's gateway
version: 1
server: {listen: {http: "127.0.0.1:0"}, workers: 1, control: control.sock, trusted_proxies: [127.0.0.1/32]}
audit:   # kept for a year
  file: audit.jsonl
  capture: {key: KEY, of: all, rate: 100000}
sites:
  - name: shop
    host: ["*"]
    upstream: UPSTREAM
    limits: []
    bans: off
    headers: off
    waf:
      # the set
      ruleset: none
      seclang: {after: [own.conf]}   # ours
      mode: block
"""


@pytest.fixture
def gateway(origin):
    config = CONFIG.replace("UPSTREAM", origin.url).replace("KEY", capture_keys()[0])
    with Sallyport(config, files={"own.conf": SECLANG}) as gateway:
        yield gateway


def ask(gateway, path, value, client):
    form = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Forwarded-For", client)]
    return gateway.ask("POST", path, fields=form, body=b"title=x&comment=" + value.replace(" ", "+").encode()).status


def tune(gateway, *more, code=0):
    done = command("tune", "-c", gateway.config_path, "--key", capture_keys()[1], "-o", "json", *more,
                   cwd=gateway.folder, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr, done.stderr
    return json.loads(done.stdout)["groups"]


def test_the_narrowest_is_proved_and_written(gateway):
    for number in range(12):
        assert ask(gateway, f"/blog/edit/{number}", "how to select rows from tables", f"198.51.{number}.7") == 403
    for _ in range(30):
        ask(gateway, "/api/run", "select it from there", "203.0.113.66")
    ask(gateway, "/blog/edit/3", "harmless", "198.51.3.7")
    eventually(lambda: len(gateway.records()) == 42)
    first, second = sorted(tune(gateway), key=lambda group: "refused" in group)
    assert (first["rules"], first["field"], first["path"], first["method"]) == \
        ([100001], "args:comment", "/blog/edit/**", "POST")
    assert first["hits"] == 12 and first["networks"] == 12 and "refused" not in first and not first["applied"]
    proof = first["proof"]
    assert (proof["captures"], proof["passing"], proof["others_lost"], proof["attacks_lost"]) == (12, 12, 0, 0)
    assert proof["attacks"] > 10 and proof["others"] == 31
    assert second["path"] == "/api/run" and second["refused"].startswith("one client that is not signed in")
    assert "proof" not in second and "exclusion" not in second

    with open(gateway.config_path) as file:
        before = file.read()
    assert not os.path.exists(gateway.config_path + ".tune")
    human = command("tune", "-c", gateway.config_path, "--key", capture_keys()[1], "--apply", cwd=gateway.folder,
                    timeout=120)
    assert human.returncode == 0 and "applied" in human.stdout and "NOT offered" in human.stdout, human.stdout
    with open(gateway.config_path) as file:
        after = file.read()
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(added) == 1 and after.replace(added[0] + "\n", "") == before  # comments and all
    assert gateway.reload().returncode == 0
    assert ask(gateway, "/blog/edit/99", "how to select rows from tables", "192.0.2.1") == 200
    assert ask(gateway, "/blog/edit/99", "x union all", "192.0.2.1") == 403
    assert ask(gateway, "/blog/other", "how to select rows from tables", "192.0.2.1") == 403
    with gateway.client() as client:
        assert client.ask("GET", "/blog/edit/1?comment=select+a+from+b").status == 403  # another method


def test_not_proved_is_not_applied(gateway):
    for number in range(12):
        ask(gateway, "/form", "select rows from tables", f"198.51.{number}.7")
    eventually(lambda: len(gateway.records()) == 12)
    done = command("tune", "-c", gateway.config_path, "--apply", "-o", "json", cwd=gateway.folder, timeout=120)
    group, = json.loads(done.stdout)["groups"]
    assert not group["applied"] and group["refused"].startswith("not proved")
    with open(gateway.config_path) as file:
        assert "exclude" not in file.read()
    done = command("tune", "-c", gateway.config_path, "since=1s", "until=2020-01-01T00:00:00Z", cwd=gateway.folder)
    assert "no match" in done.stdout
