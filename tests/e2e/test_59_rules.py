"""`sallyport rules`: SecLang rules as they are configured, offline."""
import json
import os
import tempfile

import pytest

from harness import command

RULES = r"""
SecAction "id:1,phase:1,pass,nolog,t:none,setvar:tx.level=1"
SecRule TX:level "@lt 2" "id:2,phase:2,pass,nolog,skipAfter:END"
SecRule ARGS "@rx never" "id:3,phase:2,deny,log"
SecMarker END
SecRule ARGS|!ARGS:skip "@rx union\s+select" \
    "id:4,phase:2,deny,log,t:none,t:urlDecodeUni,t:lowercase,severity:CRITICAL,msg:'SQL',tag:'paranoia-level/1'"
SecRule TX:level "@gt 5" "id:5,phase:2,deny,log"
SecRule ARGS "@rx gone" "id:6,phase:2,deny,log"
SecRule ARGS:long "@gt 5" "id:7,phase:2,pass,log,t:length,msg:'long'"
SecRule ARGS:a "@rx x" "id:8,phase:2,pass,nolog,setvar:tx.unread=1"
"""

CONFIG = """
version: 1
server: {listen: {http: "127.0.0.1:0"}}
sites:
  - host: "*"
    upstream: http://127.0.0.1:9
    waf: {ruleset: none, seclang: rules.conf, exclude: [{rules: [6], reason: a test}]}
"""


@pytest.fixture(scope="module")
def rules():
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("rules.conf", RULES), ("config.yaml", CONFIG)):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        yield lambda *arguments: command("rules", *arguments, "-c", os.path.join(folder, "config.yaml"))


def test_list(rules):
    done = rules("list", "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["sets"][0]["rules"]
    assert [(r["id"], r["state"]) for r in found] == [
        (1, "done"), (2, "done"), (3, "skipped"), (4, "scanned"), (5, "never"), (6, "removed"), (7, "direct"), (8, "unseen")]
    assert found[3] == {"id": 4, "phase": 2, "paranoia": "1", "state": "scanned", "severity": "critical",
                        "message": "SQL"}
    done = rules("list")
    assert "8 rules, 2 of them asked" in done.stdout and "critical" in done.stdout


def test_show(rules):
    done = rules("show", "4")
    assert done.returncode == 0, done.stderr
    for part in ("rules.conf:6", "targets          ARGS|!ARGS:skip", "transformations  urlDecodeUni, lowercase",
                 "matched by       scan", "union\\s+select"):
        assert part in done.stdout, part
    assert "a condition never holds" in rules("show", "5").stdout
    assert "nobody could tell" in rules("show", "8").stdout
    assert "an exclusion removed it" in rules("show", "6").stdout
    link = json.loads(rules("show", "7", "-o", "json").stdout)[0]["links"][0]
    assert link["operator"] == "@gt 5" and link["matched_by"] == "operator" and link["transformations"] == ["length"]
    for wrong in (("show", "99"), ("show", "x"), ("show",), ("list", "4"), ("cost", "1"), ()):
        assert rules(*wrong).returncode == 2, wrong


def test_test(rules):
    done = rules("test", "http://h/?q=1%2520UNION%2520SELECT&long=123456")
    assert done.returncode == 0, done.stderr
    assert "ARGS:q" in done.stdout and "urlDecodeUni, lowercase" in done.stdout
    lines = done.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if "union select" in line)
    assert lines[at].split()[1] == "2" and lines[at + 1].strip() == "^" * len("union select")
    found = json.loads(rules("test", "http://h/?q=1%2520UNION%2520SELECT", "-o", "json").stdout)
    assert [m["rule"] for m in found] == ["4"]
    done = rules("test", "http://h/?skip=union+select")
    assert done.returncode == 0 and "0 matches" in done.stdout
