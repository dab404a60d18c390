"""The runner of conformance tests itself, in front of a program that plays the gateway."""
import os
import subprocess
import sys

RUNNER = os.path.join(os.path.dirname(__file__), "..", "conformance", "run")

# Logs the rules that the field Rules, the target and the cookie `rules` name; answers with the status
# that Status names, and with the fields that Answer names.
FAKE = """#!%s
import json, os, re, socket, sys
text = open(sys.argv[3]).read()
port = int(re.search(r"127.0.0.1:(\\d+)", text).group(1))
folder = os.path.dirname(sys.argv[3])
audit = open(os.path.join(folder, "audit.jsonl"), "a", buffering=1)
server = socket.create_server(("127.0.0.1", port))
print("ready http=127.0.0.1", flush=True)
while True:
    connection, _ = server.accept()
    request = b""
    while b"\\r\\n\\r\\n" not in request:
        request += connection.recv(65536)
    fields = dict(line.split(": ", 1) for line in request.decode().split("\\r\\n")[1:] if ": " in line)
    named = [fields.get("Rules", ""), *re.findall(r"/rules/([\\d,]+)", request.decode().split()[1]),
             *re.findall(r"rules=([\\d,]+)", fields.get("Cookie", ""))]
    rules = [rule for rule in ",".join(named).split(",") if rule]
    matches = [{"rule": int(rule), "msg": "message", "logdata": "data of " + rule} for rule in rules]
    status = int(fields.get("Status", 200))
    more = "".join(line + "\\r\\n" for line in fields.get("Answer", "").split("|") if line).encode()
    if status:
        connection.sendall(b"HTTP/1.1 %%d X\\r\\n%%bContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok"
                           %% (status, more))
    connection.close()
    audit.write(json.dumps({"http": {}, "sallyport": {"matches": matches}}) + "\\n")
""" % sys.executable

OLD = """
meta: {enabled: true}
tests:
  - test_title: 911100-1
    stages: [{stage: {input: {headers: {Host: h, Rules: "911100"}}, output: {log_contains: 'id "911100"'}}}]
  - test_title: 911100-2
    stages: [{stage: {input: {headers: {Host: h}}, output: {log_contains: 'id "911100"'}}}]
  - test_title: 911100-3
    stages: [{stage: {input: {headers: {Host: h, Rules: "1,2"}}, output: {no_log_contains: 'id "911100"'}}}]
  - test_title: 911100-4
    stages: [{stage: {input: {headers: {Host: h, Status: "403"}}, output: {status: [403, 400]}}}]
  - test_title: 911100-5
    stages: [{stage: {input: {headers: {Host: h, Status: "0"}}, output: {expect_error: true}}}]
  - test_title: 911100-6
    enabled: false
    stages: [{stage: {input: {}, output: {status: 999}}}]
"""

NEW = """
meta: {author: a}
rule_id: 942100
tests:
  - test_id: 1
    stages: [{input: {headers: {Rules: "942100,5"}}, output: {log: {expect_ids: [942100], no_expect_ids: [6]}}}]
  - test_id: 2
    stages: [{input: {headers: {Rules: "942100,5"}}, output: {isolated: true, log: {expect_ids: [942100]}}}]
  - test_id: 3
    stages: [{input: {headers: {Rules: "7"}}, output: {log: {match_regex: 'data "data of 7"'}}}]
  - test_id: 4
    stages: [{input: {headers: {Rules: "7"}}, output: {log: {no_match_regex: '\\[id "\\d+"\\]'}}}]
  - test_id: 5
    stages: [{input: {headers: {Status: "201"}}, output: {status: 201, response_contains: ok}}]
"""

STAGES = """
rule_id: 9500100
tests:
  - test_id: 1
    stages:
      - {input: {uri: /a/b, headers: {Status: "302", Answer: "Location: ../rules/5"}}, output: {status: 302}}
      - {input: {uri: /other, follow_redirect: true}, output: {log: {expect_ids: [5]}}}
  - test_id: 2
    stages:
      - {input: {headers: {Answer: "Location: /rules/5"}}, output: {status: 200}}
      - {input: {follow_redirect: true}, output: {}}
  - test_id: 3
    stages:
      - {input: {save_cookie: true, headers: {Answer: "Set-Cookie: rules=6; Path=/"}}, output: {status: 200}}
      - {input: {}, output: {log: {expect_ids: [6]}}}
      - {input: {headers: {Cookie: "rules=7"}}, output: {log: {expect_ids: [7], no_expect_ids: [6]}}}
  - test_id: 4
    stages:
      - {input: {headers: {Answer: "Set-Cookie: rules=6; Path=/"}}, output: {status: 200}}
      - {input: {}, output: {log: {no_expect_ids: [6]}}}
  - test_id: 5
    stages: [{input: {uris: [/rules/8, "/rules/8,9"]}, output: {log: {expect_ids: [8]}}}]
  - test_id: 6
    stages: [{input: {uris: [/rules/8, "/rules/9"]}, output: {log: {expect_ids: [8]}}}]
"""


def run(folder, tests, tmp_path):
    gateway = tmp_path / "gateway"
    gateway.write_text(FAKE)
    gateway.chmod(0o755)
    rules = tmp_path / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "REQUEST-901-INITIALIZATION.conf").write_text("# ver:'OWASP_CRS/3.3.4'\n")
    (tmp_path / "crs-setup.conf").write_text("")
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "tests.yaml").write_text(tests)
    done = subprocess.run([sys.executable, RUNNER, "--crs", str(rules), "--tests", str(tmp_path / folder),
                           "--gateway", str(gateway), "--failures", str(tmp_path / "failures")],
                          capture_output=True, text=True, timeout=60, check=False)
    names = [line.split("\t")[0] for line in (tmp_path / "failures").read_text().splitlines()]
    return done, names


def test_the_format_of_crs_3(tmp_path):
    done, failures = run("911100", OLD, tmp_path)
    assert failures == ["0-2"], done.stderr
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "4 passed, 1 failed, 1 skipped (80.00 %)"


def test_the_format_of_crs_4(tmp_path):
    done, failures = run("new", NEW, tmp_path)
    assert failures == ["942100-2", "942100-4"], done.stderr
    assert done.stdout.splitlines()[-1] == "3 passed, 2 failed, 0 skipped (60.00 %)"


def test_stages_that_go_on_from_those_before(tmp_path):
    done, failures = run("stages", STAGES, tmp_path)
    assert failures == ["9500100-2", "9500100-6"], done.stderr
    assert "the answer before is no redirect" in (tmp_path / "failures").read_text()
