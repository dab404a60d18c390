"""What upstream is told: fields, and an assertion that another implementation can check."""
import json
import time

import pytest
from harness import Origin, Sallyport, plain, response, says
from jwcrypto import jwk, jwt

KEY = jwk.JWK.generate(kty="EC", crv="P-256", kid="k")


@pytest.fixture(scope="module")
def gateway():
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(
            origin, {"workers": 2}, name="app",
            identity={"user": "X-User", "groups": "X-Groups", "assertion": "X-Assertion"},
            jwt={"issuers": [{"issuer": "i", "keys": "keys.json", "audience": ["app"]}]},
            routes=[{"path": "/open/**", "jwt": {"mode": "off"}, "identity": {"mode": "off"}}])
        files = {"keys.json": json.dumps({"keys": [KEY.export_public(as_dict=True)]})}
        with Sallyport(config, files=files) as running:
            running.origin = origin
            yield running


def ask(gateway, path="/", fields=()):
    made = jwt.JWT(header={"alg": "ES256", "kid": "k"},
                   claims={"iss": "i", "aud": "app", "sub": "ann", "groups": ["ops"], "exp": int(time.time()) + 60})
    made.make_signed_token(KEY)
    answer = gateway.ask(path=path, fields=[("Authorization", "Bearer " + made.serialize()), *fields])
    assert answer.status == 200
    return gateway.origin.heads[-1]


def test_upstream_can_check_it(gateway):
    page = gateway.ask(path="/.sallyport/jwks")
    assert page.status == 200 and page.get("content-type") == "application/jwk-set+json"
    keys = jwk.JWKSet.from_json(page.body.decode())
    for _ in range(6):  # both workers
        seen = ask(gateway)
        made = jwt.JWT(jwt=seen.get("x-assertion"), key=keys, algs=["EdDSA"],
                       check_claims={"iss": "sallyport", "aud": "app", "sub": "ann"})
        claims = json.loads(made.claims)
        assert claims["groups"] == ["ops"] and claims["auth"] == "jwt"
        assert claims["jti"] == seen.get("x-request-id") and claims["exp"] - claims["iat"] == 120
        assert seen.get("x-user") == "ann" and seen.get("x-groups") == "ops"


@pytest.mark.parametrize("path", ["/", "/open/x"])
def test_a_clients_own_copies_go_no_further(gateway, path):
    seen = ask(gateway, path, [("X-User", "root"), ("x_groups", "root"), ("X.Assertion", "root"), ("X_User", "root")])
    assert "root" not in json.dumps([str(pair) for pair in seen.fields])


def test_the_page_outlives_a_reload(gateway):
    before = gateway.ask(path="/.sallyport/jwks").body
    assert gateway.reload().returncode == 0
    assert gateway.ask(path="/.sallyport/jwks").body == before
    assert gateway.ask(path="/.sallyport/jwks", method="POST").status == 405
    assert gateway.ask(path="/.sallyport/jwks/x").status == 404
