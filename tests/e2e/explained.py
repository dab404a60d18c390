"""`explain` decides as the gateway did: checked for everything that a gateway was asked.

Requests come out of the captures of the gateway (audit.capture), each with the record that it left. Where a decision
rests on bytes, address and TLS alone, `explain` is given these. Where it rests on more, on what came before (limits,
bans, sessions, challenges), other servers' words, a handshake's fingerprint or a client's certificate, HTTP/2, a draw
between routes, `explain` is given the request's id and the key: it knows the rest from the capture. What not even a
capture can tell is counted by its reason, not compared.
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


def needs_more(facts, record, fetched):
    """Whether bytes, address and TLS are not all that it was decided by. `fetched`: stages that rest on it."""
    ours, stages = record["sallyport"], {s["stage"] for s in record["sallyport"].get("stages", [])}
    return facts["http2"] or facts["words"] or "fingerprint" in facts.get("tls", {}) or "ja4" in ours.get("client", {}) or \
        stages & (ASKING | fetched) or {"verified", "cleared"} & set(ours.get("bots", {})) or \
        ours.get("reason") in ("challenge", "bot-challenge", "bot-uncleared")


def decision(record, forwarded):
    """What is compared. Of a request that went on to upstream only what was decided before."""
    ours = record["sallyport"]
    phases = ("connect", "request_head", "request_body")
    said = {"site": ours.get("site"), "route": ours.get("route"),
            "path": PSEUDONYM.sub("<redacted>", record["url"].get("path", "")),
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
    if done.returncode == 2:
        return []  # a file that the configuration names is another one by now
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def explain(gateway, what, *flags):
    """The records that `explain` makes of these, each asked for by its name."""
    said = []
    for at in range(0, len(what), BATCH):
        some = what[at:at + BATCH]
        done = run(gateway, "explain", "-c", gateway.config_path, "-o", "json", *flags, *some)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        lines = done.stdout.splitlines()
        if len(lines) != len(some):
            alone = {one: run(gateway, "explain", "-c", gateway.config_path, "-o", "json", *flags, one) for one in some}
            for one, only in alone.items():
                assert only.stdout.count("\n") == 1, f"{one}: {only}"
        said += map(json.loads, lines)
    return said


def decided(record):
    """As the facts of a capture say it: of a request of which no record was wanted."""
    action, ours = record["event"]["action"], record["sallyport"]
    forwarded = action in ("pass", "detect", "fail")
    said = {"action": "forward" if forwarded else action, "rules": [m["rule"] for m in ours.get("matches", [])]}
    if not forwarded:
        said.update(reason=ours.get("reason"), status=record["http"]["response"]["status_code"])
    return said


def difference(facts, live, now):
    """{what: (then, now)}"""
    if live is None:
        now = decided(now)
        before = {key: facts["decision"].get(key) for key in now}
    else:
        # It went on to upstream, or was about to when its client left.
        forwarded = "upstream" in live["sallyport"] or live["event"]["action"] == "fail" or "response" not in live["http"]
        before, now = decision(live, forwarded), decision(now, forwarded)
    return {key: (before[key], now.get(key)) for key in before if before[key] != now.get(key)}


def check(gateway, key, log):
    with open(gateway.config_path) as file:
        text = file.read()
    if "ja4" in text:
        return  # a condition on a handshake's fingerprint, which captures do not keep
    drawn, fetched = '"share"' in text, set()
    if '"keys_url"' in text or '"discover"' in text:
        fetched |= {"jwt"}
    if '"url"' in text or '"crowdsec"' in text:
        fetched |= {"deny"}
    records, captures, groups = read_records(gateway.audit_path), captured(gateway, key), collections.defaultdict(list)
    same, skipped, wrong = collections.Counter(), collections.Counter(), []
    if not captures:
        return
    folder = tempfile.mkdtemp(prefix="sallyport-explained-")
    try:
        done = run(gateway, "capture", "export", "-c", gateway.config_path, "--key", key, "--to", folder)
        assert done.returncode == 0, done.stderr
        for facts in captures:
            bare = facts["whole"] and facts["id"] in records and not drawn and \
                not needs_more(facts, records[facts["id"]], fetched)
            groups[(facts["peer"], "tls" in facts) if bare else None].append(facts)
        for group, asked in groups.items():
            if group:
                flags = ["--from", group[0], *(["--https"] if group[1] else [])]
                told = explain(gateway, [os.path.join(folder, facts["id"] + ".http") for facts in asked], *flags)
            else:
                told = explain(gateway, [facts["id"] for facts in asked], "--key", key)
            for facts, now in zip(asked, told):
                if "unknown" in now:
                    skipped[now["unknown"]] += 1
                    continue
                assert "seq" not in now["sallyport"], "that is what was recorded"
                if now["sallyport"]["config"] != facts["config"]:
                    skipped["another configuration"] += 1
                    continue
                if "deny" in fetched and now["sallyport"].get("reason") == "address-denied" != facts["decision"].get("reason"):
                    skipped["a list's file, which what was fetched had taken the place of"] += 1
                    continue
                other = difference(facts, records.get(facts["id"]), now)
                same["by bytes" if group else "by record"] += not other
                if other:
                    name = os.path.join(folder, facts["id"] + ".http")
                    wrong.append((open(name, "rb").read()[:300] if os.path.exists(name) else facts, other))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with open(log, "a") as file:
        file.write(json.dumps({"test": os.environ.get("PYTEST_CURRENT_TEST"), "same": same, "otherwise": len(wrong),
                               "skipped": skipped}) + "\n")
    assert not wrong, f"{len(wrong)} decided otherwise, {sum(same.values())} alike; the first:\n" + \
        "\n".join(f"{bytes_!r}\n    {other}" for bytes_, other in wrong[:5])
