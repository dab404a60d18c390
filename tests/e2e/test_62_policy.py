"""Policies: by token and path, and `policy test`, which decides as the gateway does."""
import json
import time

import pytest
from harness import Origin, Sallyport, command, plain, response, says
from jwcrypto import jwk, jwt

KEY = jwk.JWK.generate(kty="OKP", crv="Ed25519", kid="ed")
RULES = [
    {"name": "no-guests", "do": "deny", "groups": ["guests"]},
    {"name": "public", "paths": ["/public/**"]},
    {"name": "admin", "groups": ["ops"], "paths": ["/admin/**"], "require": ["mfa"]},
    {"name": "not-admin", "do": "deny", "paths": ["/admin/**"]},
    {"name": "read", "groups": ["staff"], "methods": ["GET", "HEAD"]},
    {"name": "gold", "claims": {"plan": "gold"}, "methods": ["POST"]},
]


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, policy=RULES, jwt={
            "issuers": [{"issuer": "https://id.test", "keys": "keys.json", "audience": ["app"]}]})
        with Sallyport(config, files={"keys.json": json.dumps({"keys": [KEY.export_public(as_dict=True)]})}) as running:
            yield running


def token(user, groups=(), mfa=False, **claims):
    claims = {"iss": "https://id.test", "aud": "app", "sub": user, "exp": int(time.time()) + 300,
              "groups": list(groups), "amr": ["mfa"] if mfa else ["pwd"], **claims}
    made = jwt.JWT(header={"alg": "EdDSA", "kid": "ed"}, claims=claims, algs=["EdDSA"])
    made.make_signed_token(KEY)
    return made.serialize()


# method, path, groups, mfa, claims, detail (None: allowed)
CASES = [
    ("GET", "/public/x", [], False, {}, None),
    ("GET", "/public/x", ["guests"], False, {}, "policy-no-guests"),
    ("GET", "/x", [], False, {}, "policy-default"),
    ("GET", "/x", ["staff"], False, {}, None),
    ("POST", "/x", ["staff"], False, {}, "policy-default"),
    ("POST", "/x", [], False, {"plan": "gold"}, None),
    ("GET", "/admin/x", ["ops", "staff"], True, {}, None),
    ("GET", "/admin/x", ["ops", "staff"], False, {}, "policy-mfa"),
    ("GET", "/admin/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "/admin;a=b/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "/%61dmin/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "//admin/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "/public/../admin/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "/public/%2e%2e/admin/x", ["staff"], True, {}, "policy-not-admin"),
    ("GET", "/x?path=/public/x", [], False, {}, "policy-default"),
]


@pytest.mark.parametrize("method,path,groups,mfa,claims,detail", CASES)
def test_gateway_and_command_decide_alike(gateway, method, path, groups, mfa, claims, detail):
    gateway.forget_records()
    answer = gateway.ask(method=method, path=path,
                         fields=[("Authorization", "Bearer " + token("ann", groups, mfa, **claims)),
                                 ("User-Agent", "kube-probe/1"), ("X-Original-URL", "/public/x")])
    record = gateway.new_records(1)[0]
    assert answer.status == (200 if detail is None else 403)
    if detail is not None:
        assert record["sallyport"]["detail"] == detail and record["user"]["name"] == "ann"
    done = command("policy", "test", method, "http://test" + path, "--user", "ann", "--groups", ",".join(groups),
                   *(["--mfa"] if mfa else []), *[f"--claims={k}={v}" for k, v in claims.items()],
                   "-c", gateway.config_path, "-o", "json", cwd=gateway.folder)
    said = json.loads(done.stdout)
    assert said["decision"] == ("allow" if detail is None else "deny") and said["gates"] == ["jwt"]
    assert done.returncode == (0 if detail is None else 1)
    assert detail is None or said["detail"] == detail


def test_nobody_is_asked_to_sign_in_first(gateway):
    assert gateway.ask(path="/public/x").status == 401
    done = command("policy", "test", "GET", "http://test/public/x", "-c", gateway.config_path, cwd=gateway.folder)
    assert done.returncode == 1 and done.stdout.startswith("sign-in (auth-required)")


@pytest.mark.parametrize("words", [["test"], ["test", "GET", "/x"], ["test", "GET", "http://test/%00"],
                                   ["test", "GET", "http://test/x", "--from", "here"],
                                   ["test", "GET", "http://test/x", "--claims", "gold"], ["else"]])
def test_misuse_is_said(gateway, words):
    done = command("policy", *words, "-c", gateway.config_path, cwd=gateway.folder)
    assert done.returncode == 2 and done.stderr.startswith("error:")


OFFLINE = """version: 1
server: {listen: {http: "127.0.0.1:0"}}
sites:
  - host: test
    upstream: http://127.0.0.1:9
    waf: {mode: off}
    policy:
      - {name: by-key, auth: [api_keys], paths: [/two/**]}
      - {name: fresh, users: [ann], paths: [/two/fresh], require: ["recent(10m)"]}
      - {name: day, users: [ann], days: [mon], hours: "09:00-17:00"}
    routes:
      - path: /two/**
        api_keys: {file: api.keys}
        basic: {users: {ann: "$2b$04$l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"}}
      - path: /scoped
        policy: []
        api_keys: {file: api.keys, scopes: [orders.read]}
      - path: /**
        basic: {users: {ann: "$2b$04$l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"}}
"""


@pytest.mark.parametrize("path,words,said", [
    ("/two/x", ["--auth", "api_keys"], "allow (policy-by-key)"),
    ("/two/x", ["--auth", "basic", "--at", "2030-01-07T12:00"], "allow (policy-day)"),
    ("/two/x", ["--auth", "login"], "sign-in (auth-required)"),
    ("/two/fresh", ["--auth", "basic", "--proved", "9m"], "allow (policy-fresh)"),
    ("/two/fresh", ["--auth", "basic", "--proved", "11m"], "deny (policy-recent)"),
    ("/x", ["--at", "2030-01-07T12:00"], "allow (policy-day)"),  # a Monday
    ("/x", ["--at", "2030-01-07T17:30"], "deny (policy-default)"),
    ("/scoped", ["--claims", "scope=orders.write"], "deny (key-scope)"),
    ("/scoped", ["--claims", "scope=orders.write,scope=orders.read"], "allow (no-policy)"),
])
def test_when_and_by_which_way(tmp_path, path, words, said):
    (tmp_path / "s.yaml").write_text(OFFLINE)
    done = command("policy", "test", "GET", "http://test" + path, "--user", "ann", *words, "-c", "s.yaml", cwd=tmp_path)
    assert done.stdout.startswith(said), done.stdout + done.stderr
    assert done.returncode == (0 if said.startswith("allow") else 1)


@pytest.mark.parametrize("words", [["--at", "2030-01-07T12:00x"], ["--proved", "soon"]])
def test_misuse_of_times_is_said(tmp_path, words):
    (tmp_path / "s.yaml").write_text(OFFLINE)
    done = command("policy", "test", "GET", "http://test/x", "--user", "ann", *words, "-c", "s.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "error: " + words[0] in done.stderr
