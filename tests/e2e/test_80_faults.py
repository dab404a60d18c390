"""No stage fails open: each stage, in each of its phases, fails in every way there is.

The checked build takes a request field that makes one stage fail in one phase: `error` (it could not decide),
`deadline` (it never answers), `late` (its answer comes after the deadline), `kill` (its worker dies). With the
default `on_error: deny` upstream sees nothing of the request (or, where the request is upstream already, the
client sees nothing of the answer); with `on_error: pass` the request goes on. Either way there is one record.
"""
import time

import pytest

from harness import Cut, Sallyport, eventually, has_faults, plain, response

pytestmark = pytest.mark.skipif(not has_faults(), reason="needs a build with faults")

# Everything on, so that every stage is in the chain.
STAGES = {
    "allow": {"ips": ["127.0.0.0/8"]},
    "deny": {"ips": ["192.0.2.0/24"]},
    "restrict": {"methods": ["GET", "POST"], "args": 50},
    "limits": {"rules": ["100000/s"]},
    "waf": {"mode": "block", "ruleset": "none", "rules": [
        {"name": "body", "match": "no-such-thing-here", "in": ["args", "body"], "do": "block"}]},
    "headers": {"preset": "strict"},
}
# (stage, phase): what each does. The test below holds this list to what a record says.
PAIRS = [("allow", "request_head"), ("deny", "request_head"), ("restrict", "request_head"), ("limits", "request_head"),
         ("restrict", "request_body"), ("waf", "request_head"), ("waf", "request_body"), ("waf", "response_head"),
         ("basic", "request_head"), ("headers", "response_head")]
KINDS = ["error", "deadline", "late", "kill"]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
SECRET = b"answer-of-upstream"


def options(on_error):
    common = {"on_error": on_error, "deadline": "60ms"}
    return {stage: {**rows, **common} for stage, rows in STAGES.items()}


@pytest.fixture(scope="module")
def gateways(origin):
    """One for each policy; /gate/** has basic authentication, too."""
    import crypt
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        users = "ann:" + crypt.crypt("ann", "$6$rounds=1000$saltsalt$") + "\n"
    origin.default = response(200, SECRET)
    made = {}
    for policy in ("deny", "pass"):
        gate = {"path": "/gate/**", "basic": {"file": "users", "on_error": policy, "deadline": "60ms"}}
        made[policy] = Sallyport(plain(origin, routes=[gate], **options(policy)), files={"users": users})
    yield made
    for gateway in made.values():
        gateway.stop()


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def ask(gateway, stage=None, phase=None, kind=None, **more):
    fields = list(FORM)
    path = "/x"
    if stage == "basic" or more.get("gate"):
        path = "/gate/x"
        fields.append(("Authorization", "Basic YW5uOmFubg=="))  # ann:ann
    if stage:
        fields.append(("X-Sallyport-Fault", f"stage={stage};phase={phase};kind={kind}"))
    return gateway.ask("POST", path, fields=fields, body=b"a=1&b=2", timeout=15)


def records_of(gateway, path, before):
    return [r for r in gateway.records()[before:] if r["url"].get("path") == path]


def test_all_stages_and_phases_are_here(gateways):
    """A new stage, or one that takes part in another phase, must be added to PAIRS."""
    gateway = gateways["deny"]
    gateway.forget_records()
    assert ask(gateway, gate=True).status == 200
    stages = gateway.new_records()[0]["sallyport"]["stages"]
    assert {(s["stage"], s["phase"]) for s in stages} == set(PAIRS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage,phase", PAIRS)
def test_deny(gateways, origin, stage, phase, kind):
    gateway = gateways["deny"]
    gateway.forget_records()
    path = "/gate/x" if stage == "basic" else "/x"
    before = gateway.seen
    if kind == "kill":
        killed_worker = gateway.one("worker")
        with pytest.raises((Cut, ConnectionError)):
            ask(gateway, stage, phase, kind)
        eventually(lambda: gateway.role("worker") and killed_worker not in gateway.role("worker"), 10, "a new worker")
        gateway.forget_records()
        assert len(records_of(gateway, path, before)) <= 1
    else:
        answer = ask(gateway, stage, phase, kind)
        assert answer.status == 503 and SECRET not in answer.body
        record = gateway.new_records()[0]
        assert record["http"]["response"]["status_code"] == 503
        assert record["sallyport"]["reason"] == ("stage-failed" if kind == "error" else "stage-deadline")
        failed = [s for s in record["sallyport"]["stages"] if (s["stage"], s["phase"]) == (stage, phase)]
        # The refusal is an answer, too, and the fault meets that one as well.
        assert len(failed) == (2 if phase == "response_head" else 1)
        assert all(s["action"] == "fail" for s in failed)
        time.sleep(0.15 if kind == "late" else 0)
        gateway.forget_records()
        assert len(records_of(gateway, path, before)) == 1
    if not phase.startswith("response"):
        assert origin.count == 0 and origin.bytes_seen == 0
    assert ask(gateway).status == 200  # and service goes on


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("stage,phase", PAIRS)
def test_pass(gateways, origin, stage, phase, kind):
    gateway = gateways["pass"]
    gateway.forget_records()
    before = gateway.seen
    answer = ask(gateway, stage, phase, kind)
    assert answer.status == 200 and answer.body == SECRET
    assert origin.count == 1
    record = gateway.new_records()[0]
    failed = [s for s in record["sallyport"]["stages"] if (s["stage"], s["phase"]) == (stage, phase)]
    assert len(failed) == 1 and failed[0]["action"] == "fail" and failed[0]["enforced"] is False
    time.sleep(0.15 if kind == "late" else 0)
    gateway.forget_records()
    assert len(records_of(gateway, "/gate/x" if stage == "basic" else "/x", before)) == 1


def test_detect_mode_passes_failures(origin):
    """A stage that only watches must not stop a request by failing."""
    rows = options("deny")
    for row in rows.values():
        row["mode"] = "detect"
    with Sallyport(plain(origin, **rows)) as gateway:
        for stage, phase in PAIRS:
            if stage != "basic":
                assert ask(gateway, stage, phase, "error").status == 200, (stage, phase)


def test_the_field_is_not_for_upstream(gateways, origin):
    """The hook is a thing of this build; it is the test's own field, nothing else."""
    assert ask(gateways["deny"], "nobody", "request_head", "error").status == 200


def test_kept_connection_behind_a_failure(gateways, origin):
    """The answer to a failed request does not get into the next one on the same connection."""
    gateway = gateways["deny"]
    with gateway.client() as client:
        for _ in range(3):
            fault = [("X-Sallyport-Fault", "stage=deny;phase=request_head;kind=deadline")]
            assert client.ask(path="/x", fields=fault).status == 503
            assert client.ask(path="/x").body == SECRET


def test_all_at_once(gateways, origin):
    """Fifty requests whose stages fail at different times: fifty records, none of them upstream."""
    gateway = gateways["deny"]
    gateway.forget_records()
    clients = [gateway.client() for _ in range(48)]
    from wire import request
    for number, client in enumerate(clients):
        stage, phase = [p for p in PAIRS if p[0] not in ("basic", "headers")][number % 7]
        client.send(request("POST", f"/{number}", fields=FORM + [
            ("X-Sallyport-Fault", f"stage={stage};phase={phase};kind={KINDS[number % 3]}")], body=b"a=1"))
    for client in clients:
        assert client.answer().status == 503
        client.close()
    paths = [r["url"]["path"] for r in gateway.new_records(48)]
    assert sorted(paths, key=lambda p: int(p[1:])) == [f"/{n}" for n in range(48)]
    assert origin.count == 0


@pytest.mark.parametrize("on_error", ["deny", "pass"])
@pytest.mark.parametrize("kind", KINDS)
def test_bodies_of_answers(origin, on_error, kind):
    """A stage that fails while it looks at an answer: the client gets nothing of it, or all."""
    rules = 'SecRuleEngine On\nSecRule RESPONSE_BODY "@contains no-such-thing" "id:1,phase:4,deny,status:403"\n'
    waf = {"mode": "block", "ruleset": "none", "seclang": {"before": ["own.conf"]}, "response": True, "on_error": on_error,
           "deadline": "60ms"}
    origin.default = response(200, SECRET, [("Content-Type", "text/html")])
    with Sallyport(plain(origin, waf=waf), files={"own.conf": rules}) as gateway:
        assert gateway.ask(path="/x").body == SECRET
        gateway.forget_records()
        fault = [("X-Sallyport-Fault", f"stage=waf;phase=response_body;kind={kind}")]
        if kind == "kill":
            with pytest.raises((Cut, ConnectionError)):
                gateway.ask(path="/x", fields=fault)
            eventually(lambda: gateway.role("worker"), 10, "a new worker")
            return
        answer = gateway.ask(path="/x", fields=fault)
        assert (answer.status, answer.body == SECRET) == ((200, True) if on_error == "pass" else (503, False))
        assert SECRET not in answer.body or on_error == "pass"
        record = gateway.new_records()[0]
        failed = [s for s in record["sallyport"]["stages"] if s["phase"] == "response_body" and s["action"] == "fail"]
        assert len(failed) == 1 and failed[0]["enforced"] is (on_error == "deny")
    origin.default = response(200, SECRET)
