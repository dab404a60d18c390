"""`explain` of the bytes of a request decides as the gateway did: checked for everything that a gateway was asked.

Requests come out of the captures of the gateway (audit.capture), each with the record that it left. What a decision
rests on beside bytes, address and TLS, `explain` cannot know: what came before (limits, bans, sessions, challenges), other
servers' words, client certificates, a body that was not kept whole, HTTP/2; nor which of several routes with a `share`
is drawn. Such requests are counted, not compared.
"""
import collections
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

BATCH = 60  # requests of one command
ASKING = {"forward_auth", "oidc", "login"}
PSEUDONYM = re.compile("<redacted:[0-9a-f]*>")  # keyed anew by each process


def reason_to_skip(facts, record):
    """Why this one is not compared, or None."""
    ours = record["sallyport"]
    if not facts["whole"]:
        return "body not kept whole"
    if facts["http2"]:
        return "HTTP/2"
    if facts["words"] or "user" in facts and facts.get("identity"):
        return "rests on what came before"
    if "fingerprint" in facts.get("tls", {}):
        return "client certificate"
    if "ja4" in ours.get("client", {}):
        return "a handshake's fingerprint"
    if any(s["stage"] in ASKING for s in ours.get("stages", [])) or {"verified", "cleared"} & set(ours.get("bots", {})):
        return "other servers' words, or what came before"
    if ours.get("reason") in ("slow-body", "slow-head", "challenge", "bot-challenge", "bot-uncleared"):
        return "rests on time"
    return None


def decision(record, forwarded):
    """What is compared. Of a request that went on to upstream only what was decided before."""
    ours = record["sallyport"]
    phases = ("connect", "request_head", "request_body")
    said = {"site": ours.get("site"), "route": ours.get("route"), "path": record["url"].get("path"),
            "host": record["url"].get("domain"), "user": record.get("user", {}).get("name"),
            "stages": [(s["stage"], s["phase"], s["action"], s.get("reason"), s["enforced"])
                       for s in ours.get("stages", []) if s["phase"] in phases]}
    if forwarded:
        return {**said, "forwarded": True}
    return {**said, "action": record["event"]["action"], "reason": ours.get("reason"), "detail": ours.get("detail"),
            "status": record["http"]["response"]["status_code"], "score": ours.get("score"),
            "matches": [(m["rule"], m.get("field"), PSEUDONYM.sub("<redacted>", m.get("sample", "")), m.get("offset"))
                        for m in ours.get("matches", [])]}


def read_records(path):
    found = {}
    for name in glob.glob(path + "*"):
        if name.endswith((".seal", ".state", ".spill", ".idx", ".zst")) or ".capture" in name:
            continue
        with open(name, "rb") as file:
            for line in file:
                if line.endswith(b"\n") and b'"request":{"id"' in line:
                    record = json.loads(line)
                    found[record["http"]["request"]["id"]] = record
    return found


def run(gateway, *arguments):
    return subprocess.run([gateway.binary, *arguments], cwd=gateway.folder, env=gateway.environment, text=True,
                          capture_output=True, timeout=600)


def captured(gateway, key):
    done = run(gateway, "capture", "list", "-c", gateway.config_path, "--key", key, "-o", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def explain(gateway, folder, group, peer, tls):
    """{id: record} as `explain` says."""
    said = {}
    for at in range(0, len(group), BATCH):
        ids = group[at:at + BATCH]
        done = run(gateway, "explain", "-c", gateway.config_path, "-o", "json", "--from", peer,
                   *(["--https"] if tls else []), *[os.path.join(folder, one + ".http") for one in ids])
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == len(ids), f"{len(lines)} answers to {len(ids)} requests: {done.stderr[-2000:]}"
        said.update(zip(ids, map(json.loads, lines)))
    return said


def check(gateway, key, log):
    with open(gateway.config_path) as file:
        if '"share"' in file.read():
            return
    records, groups, skipped, wrong = read_records(gateway.audit_path), collections.defaultdict(list), collections.Counter(), []
    folder = tempfile.mkdtemp(prefix="sallyport-explained-")
    try:
        done = run(gateway, "capture", "export", "-c", gateway.config_path, "--key", key, "--to", folder)
        if done.returncode == 2:
            return  # a file that the configuration names is another one by now
        assert done.returncode == 0, done.stderr
        for facts in captured(gateway, key):
            record = records.get(facts["id"])
            why = reason_to_skip(facts, record) if record else "no record"
            if why:
                skipped[why] += 1
            else:
                groups[facts["peer"], "tls" in facts].append(facts["id"])
        same = 0
        for (peer, tls), group in groups.items():
            for one, told in explain(gateway, folder, group, peer, tls).items():
                live = records[one]
                forwarded = "upstream" in live["sallyport"] or live["event"]["action"] == "fail"
                before, now = decision(live, forwarded), decision(told, forwarded)
                if before == now:
                    same += 1
                    continue
                with open(os.path.join(folder, one + ".http"), "rb") as file:
                    wrong.append((file.read()[:300], {k: (before[k], now.get(k)) for k in before if before[k] != now.get(k)}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with open(log, "a") as file:
        file.write(json.dumps({"same": same, "otherwise": len(wrong), "skipped": dict(skipped)}) + "\n")
    assert not wrong, f"{len(wrong)} decided otherwise, {same} alike; the first:\n" + \
        "\n".join(f"{bytes_!r}\n    {difference}" for bytes_, difference in wrong[:5])
