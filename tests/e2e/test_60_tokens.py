"""Bearer tokens end to end: made by another implementation (python3-jwcrypto), checked by the gateway."""
import json
import time

import pytest
from harness import Origin, Sallyport, command, plain, response, says
from jwcrypto import jwk, jwt

ISSUER = "https://id.test"
KEYS = {
    "RS256": jwk.JWK.generate(kty="RSA", size=2048, kid="rsa"),
    "PS384": jwk.JWK.generate(kty="RSA", size=3072, kid="pss"),
    "ES256": jwk.JWK.generate(kty="EC", crv="P-256", kid="p256"),
    "ES384": jwk.JWK.generate(kty="EC", crv="P-384", kid="p384"),
    "EdDSA": jwk.JWK.generate(kty="OKP", crv="Ed25519", kid="ed"),
    "HS256": jwk.JWK.generate(kty="oct", size=256, kid="oct"),
}
JWKS = json.dumps({"keys": [json.loads(key.export() if alg == "HS256" else key.export_public())
                            for alg, key in KEYS.items()]})


def token(alg="ES256", key=None, header=None, **claims):
    claims = {"iss": ISSUER, "aud": "api", "sub": "ann", "exp": int(time.time()) + 300, **claims}
    made = jwt.JWT(header={"alg": alg, "kid": KEYS[alg]["kid"], **(header or {})}, claims=claims,
                   algs=[alg])
    made.make_signed_token(key or KEYS[alg])
    return made.serialize()


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, jwt={
            "issuers": [{"issuer": ISSUER, "keys": "keys.json", "audience": ["api"],
                         "algorithms": list(KEYS)}], "pass": "X-User"})
        with Sallyport(config, files={"keys.json": JWKS}) as running:
            running.origin = origin
            yield running


def ask(gateway, text, path="/", **more):
    fields = [("Authorization", f"Bearer {text}")] if text else []
    return gateway.ask(path=path, fields=fields + more.pop("fields", []), **more)


@pytest.mark.parametrize("alg", KEYS)
def test_each_algorithm_of_another_implementation(gateway, alg):
    made = token(alg)
    for _ in range(2):  # the second time from the cache
        answer = ask(gateway, made, fields=[("X_User", "root")])
        assert answer.status == 200
        seen = gateway.origin.heads[-1]
        assert seen.get("x-user") == "ann"
        assert seen.get("x_user") is None and seen.get("authorization") is None


def test_without_and_with_a_bad_one(gateway):
    gateway.forget_records()
    answer = ask(gateway, None)
    assert answer.status == 401 and answer.get("www-authenticate") == 'Bearer realm="Restricted"'
    answer = ask(gateway, token(key=jwk.JWK.generate(kty="EC", crv="P-256", kid="p256")))
    assert answer.status == 401 and 'error="invalid_token"' in answer.get("www-authenticate")
    answer = ask(gateway, token(exp=int(time.time()) - 120))
    assert answer.status == 401 and b"expired" not in answer.body
    details = [record["sallyport"].get("detail") for record in gateway.new_records(3)]
    assert details == [None, "token-signature", "token-expired"]


def test_the_record_says_who(gateway):
    gateway.forget_records()
    assert ask(gateway, token(sub="bob")).status == 200
    record = gateway.new_records(1)[0]
    assert record["user"]["name"] == "bob" and record["sallyport"]["auth"] == "jwt"


def test_a_token_in_the_query_is_none(gateway):
    assert ask(gateway, None, path=f"/?access_token={token()}").status == 401


def test_reload_takes_a_key_away_at_once(gateway):
    made = token("EdDSA")
    assert ask(gateway, made).status == 200
    keys = json.loads(JWKS)
    gateway.write("keys.json", json.dumps({"keys": [k for k in keys["keys"] if k["kid"] != "ed"]}))
    assert gateway.reload().returncode == 0
    assert ask(gateway, made).status == 401
    assert ask(gateway, token("RS256")).status == 200
    gateway.write("keys.json", "not keys")
    assert gateway.reload().returncode == 2
    assert ask(gateway, token("RS256")).status == 200
    gateway.write("keys.json", JWKS)
    assert gateway.reload().returncode == 0
    assert ask(gateway, made).status == 200


def test_the_selftest_ships():
    done = command("selftest", "auth", "-o", "json", timeout=120)
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["failed"] == 0 and said["passed"] >= 100
    assert len(said["cases"]) == said["passed"]
    assert command("selftest").returncode == 2
