"""Plans: limits of who was authenticated, by API key, claim or group; keys of limits that only authentication knows;
and what clients are told on every answer."""
import json
import re
import time

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says
from jwcrypto import jwk, jwt
from redis_server import Redis

KEY = jwk.JWK.generate(kty="EC", crv="P-256", kid="one")
JWKS = json.dumps({"keys": [json.loads(KEY.export_public())]})
ISSUERS = [{"issuer": "https://id.test", "keys": "keys.json", "audience": ["api"]}]
PLANS = {"free": [{"rate": "2/hour"}, {"quota": 50, "window": "month", "zone": "Europe/Berlin", "anchor": 15}],
         "gold": {"groups": ["partners"], "limits": [{"rate": "4/hour", "name": "hourly"}]},
         "crew": {"keys": ["aaaabbbbcccc"], "limits": [{"rate": "3/hour"}]}}


def token(sub, **claims):
    made = jwt.JWT(header={"alg": "ES256", "kid": "one"},
                   claims={"iss": "https://id.test", "aud": "api", "sub": sub, "exp": int(time.time()) + 300, **claims})
    made.make_signed_token(KEY)
    return [("Authorization", "Bearer " + made.serialize())]


def run(limits, **more):
    config = plain(None, {"workers": 1}, jwt={"issuers": ISSUERS}, limits=limits, routes=[
        {"path": "/a/**", "respond": {"status": 200, "body": "a"}}, {"path": "/**", "respond": {"status": 200}}], **more)
    return Sallyport(config, files={"keys.json": JWKS})


def passes(gateway, fields, count=8, path="/"):
    with gateway.client() as client:
        return [client.ask(path=path, fields=fields).status for _ in range(count)].count(200)


def test_who_has_which_plan():
    with run({"plans": PLANS, "default_plan": "free"}) as gateway:
        assert passes(gateway, token("ann", plan="gold")) == 4
        assert passes(gateway, token("bob", groups=["staff", "partners"])) == 4
        assert passes(gateway, token("cid")) == 2
        assert passes(gateway, token("dan", plan="platinum")) == 2, "a plan that is none"
        assert passes(gateway, token("eve", plan=["gold", "free"])) == 2, "two plans are none"
        assert passes(gateway, token("fay", key="aaaabbbbcccc")) == 2, "a claim is no API key"
        assert passes(gateway, token("gil", plan="free", groups=["partners"])) == 2, "the claim goes before the group"
        # Each user alone, whichever route of the site it is.
        assert passes(gateway, token("hal", plan="gold"), 3, "/a/x") == 3
        assert passes(gateway, token("hal", plan="gold"), 3) == 1
        refused = gateway.ask(fields=token("hal", plan="gold"))
        assert refused.status == 429 and refused.get("ratelimit-policy") == '"gold.hourly";q=4;w=3600'
        records = [r["sallyport"]["limit"]["name"] for r in gateway.records() if "limit" in r["sallyport"]]
        assert set(records) <= {"gold.hourly", "free.2-per-hour"}


def test_without_a_default_only_those_who_have_one():
    with run({"rules": ["100/hour"], "plans": PLANS}) as gateway:
        assert passes(gateway, token("ann", plan="gold")) == 4
        assert passes(gateway, token("cid")) == 8


def test_plans_of_api_keys():
    with Origin(says(response(200, b"in"))) as origin:
        config = plain(origin, api_keys={"file": "api.keys"}, limits={"plans": PLANS, "default_plan": "free"})
        with Sallyport(config, files={"api.keys": ""}) as gateway:
            made = {}
            for plan in ("gold", "none"):
                done = command("keys", "add", "--user", plan, *(["--plan", "gold"] if plan == "gold" else []), "-c",
                               gateway.config_path, "-o", "json", cwd=gateway.folder)
                assert done.returncode == 0, done.stderr
                made[plan] = [("X-API-Key", json.loads(done.stdout)["key"])]
            deadline = time.monotonic() + 20
            while gateway.ask(fields=made["none"]).status == 401:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert passes(gateway, made["gold"]) == 4
            assert passes(gateway, made["none"]) <= 2


def test_keys_that_authentication_knows():
    limits = [{"rate": "3/hour", "per": "claim:tenant", "name": "tenant", "on_missing": "skip"},
              {"rate": "2/hour", "per": "group", "name": "group", "on_missing": "skip"}]
    with run(limits) as gateway:
        assert passes(gateway, token("ann", tenant="t1"), 2) == 2
        assert passes(gateway, token("bob", tenant="t1"), 2) == 1
        assert passes(gateway, token("bob", tenant="t2"), 2) == 2
        assert passes(gateway, token("cid", tenant=["t1", "t2"]), 5) == 5, "of two tenants it is neither's"
        assert passes(gateway, token("dan", groups=["g"]), 1) == 1
        assert passes(gateway, token("eve", groups=["g"]), 3) == 1
        assert passes(gateway, token("fay", groups=["g", "h"]), 3) == 3


def test_missing_can_be_refused():
    with run([{"rate": "9/hour", "per": "claim:tenant", "on_missing": "reject"}]) as gateway:
        assert gateway.ask(fields=token("ann")).status == 400
        assert gateway.ask(fields=token("ann", tenant="t")).status == 200


def told(answer, name):
    return re.fullmatch(r'"([^"]+)";r=(\d+);t=(\d+)', answer.get(name)).groups()


def test_every_answer_tells():
    rules = [{"rate": "60/min", "burst": 10, "name": "minute"}, {"quota": 5, "window": "day", "name": "day", "per": "site"},
             {"rate": "1/hour", "burst": 1, "name": "watch", "shadow": True, "per": "site"}, {"concurrency": 9}]
    with run({"rules": rules, "always": True, "plans": {"p": [{"rate": "3/hour", "name": "h"}]}, "default_plan": "p"}) as gateway:
        answer = gateway.ask(fields=token("ann"))
        assert answer.get("ratelimit-policy") == '"minute";q=60;w=60, "day";q=5;w=86400, "p.h";q=3;w=3600'
        parts = [re.fullmatch(r'"([^"]+)";r=(\d+);t=(\d+)', part).groups() for part in answer.get("ratelimit").split(", ")]
        assert [(name, left) for name, left, _ in parts] == [("minute", "9"), ("day", "4"), ("p.h", "2")]
        assert int(parts[0][2]) == 1 and 0 < int(parts[1][2]) <= 86400 and 1190 < int(parts[2][2]) <= 1200
        record = gateway.new_records(1)[0]["sallyport"]["limit"]
        assert (record["name"], record["remaining"], record["store"]) == ("p.h", 2, "local")
        for left in (1, 0):
            assert f'"p.h";r={left};' in gateway.ask(fields=token("ann")).get("ratelimit")
        refused = gateway.ask(fields=token("ann"))
        assert refused.status == 429 and told(refused, "ratelimit")[:2] == ("p.h", "0")
        assert refused.get("ratelimit-policy") == '"p.h";q=3;w=3600'


def test_what_is_left_in_the_store():
    """The second stage asks later than the request began; that time is not taken from the limit."""
    limits = {"rules": ["1000/min"], "plans": {"p": ["200/s"]}, "default_plan": "p", "always": True}
    with Redis() as redis:
        config = plain(None, {"workers": 1}, limits=limits, routes=[{"path": "/**", "respond": {"status": 200}}])
        config["store"] = {"redis": f"unix:{redis.socket}", "timeout": "1s", "secret": "of the tests"}
        with Sallyport(config) as gateway:
            eventually(lambda: gateway.ask().status == 200 and redis.ask("KEYS", "sallyport:l:*"), 20, "the store in use")
            time.sleep(0.05)  # ten of them
            left = re.search(r'"p.200-per-s";r=(\d+);', gateway.ask().get("ratelimit"))[1]
            assert left in ("199", "200")


@pytest.mark.parametrize("fields, prefix", [("legacy", "ratelimit-"), ("github", "x-ratelimit-"), ("none", None)])
def test_the_older_forms_tell_of_the_nearest(fields, prefix):
    rules = [{"rate": "60/min", "burst": 60, "name": "wide"}, {"rate": "4/hour", "burst": 4, "name": "near", "per": "site"}]
    with run({"rules": rules, "always": True, "fields": fields}) as gateway:
        answer = gateway.ask(fields=token("ann"))
        if prefix is None:
            assert not [name for name, _ in answer.fields if "ratelimit" in name.lower()]
            return
        assert answer.get(prefix + "limit") == "4" and answer.get(prefix + "remaining") == "3"
        reset = int(answer.get(prefix + "reset")) - (time.time() if fields == "github" else 0)
        assert 800 < reset <= 902
        assert answer.get("ratelimit") is None


def test_mistakes(tmp_path):
    path = tmp_path / "sallyport.yaml"

    def refused(limits):
        path.write_text("version: 1\nsites:\n  - {host: a, waf: off, upstream: 'http://127.0.0.1:1', limits: " + json.dumps(limits) + "}\n")
        done = command("check", "-c", str(path))
        assert done.returncode == 2
        return done.stdout + done.stderr

    assert "default_plan is not one of the plans" in refused({"plans": PLANS, "default_plan": "silver"})
    assert "an API key stands in two plans" in refused(
        {"plans": {"a": {"keys": ["k"], "limits": []}, "b": {"keys": ["k"], "limits": []}}})
    assert "a plan's name" in refused({"plans": {"a b": ["1/s"]}})
    assert "same name" in refused({"plans": {"a": ["1/s", "1/s"]}})
    assert "at most 8" in refused({"plans": {"a": [f"{n}/s" for n in range(1, 10)]}})
    assert "a limit counts by" in refused(["1/s per claim:"])
