"""A small OpenID provider for tests, over python3-jwcrypto: another implementation than the gateway's.

It can be down, slow, late, redirect, lie about its name, change its keys; what it was asked is on record.
"""
import base64
import hashlib
import http.server
import json
import secrets
import ssl
import threading
import time
import urllib.parse

from jwcrypto import jwk, jwt


def make_key(alg="ES256", kid="k1"):
    if alg.startswith(("RS", "PS")):
        return jwk.JWK.generate(kty="RSA", size=2048, kid=kid, use="sig", alg=alg)
    if alg == "EdDSA":
        return jwk.JWK.generate(kty="OKP", crv="Ed25519", kid=kid, use="sig", alg=alg)
    return jwk.JWK.generate(kty="EC", crv="P-256", kid=kid, use="sig", alg=alg)


def sign(key, claims, **header):
    made = jwt.JWT(header={"alg": key["alg"], "kid": key["kid"], **header}, claims=claims, algs=[key["alg"]])
    made.make_signed_token(key)
    return made.serialize()


class Idp:
    def __init__(self, pair=None, keys=None, port=0, name="localhost"):
        self.keys = keys or [make_key()]
        self.asked = []  # (method, path) of every request
        self.broken = {}  # path: function of the handler, in place of what stands there
        self.metadata = {}  # over the document
        self.client = ("sallyport", "s3cret/+&")
        self.user = {"sub": "ann-1", "email": "ann@example.org", "email_verified": True, "groups": ["staff"]}
        self.in_id_token = {"sub", "email", "email_verified", "groups", "sid", "auth_time"}
        self.codes, self.refresh, self.access = {}, {}, {}
        self.lasts = 300
        self.asked_to = []  # parameters of /authorize
        self.twist = lambda claims: claims  # of an ID token
        self.signer = None  # another key than the first
        self.lock = threading.Lock()
        idp = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def say(self, status, body=b"", content_type="application/json", **fields):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                for name, value in fields.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                path = self.path.split("?")[0]
                with idp.lock:
                    idp.asked.append((self.command, path))
                way = idp.broken.get(path) or idp.ways().get(path)
                if way is None:
                    self.say(404, b"nothing", "text/plain")
                else:
                    way(self)

            do_GET = do_POST = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.cert, pair.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.issuer = f"{'https' if pair else 'http'}://{name if pair else '127.0.0.1'}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def count(self, path):
        with self.lock:
            return sum(1 for _, asked in self.asked if asked == path)

    def ways(self):
        return {
            "/.well-known/openid-configuration": lambda h: h.say(200, self.document()),
            "/keys": lambda h: h.say(200, self.jwks()),
            "/authorize": self.authorize,
            "/token": self.token,
            "/userinfo": self.userinfo,
            "/end": lambda h: h.say(200, b"bye", "text/plain"),
        }

    # ---- sign-in ---------------------------------------------------------------------------------

    def authorize(self, handler):
        """Signs in whoever comes, as self.user."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(handler.path).query))
        self.asked_to.append(asked)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"]}
        if self.document().get("authorization_response_iss_parameter_supported"):
            back["iss"] = self.issuer
        handler.say(302, b"", Location=asked["redirect_uri"] + "?" + urllib.parse.urlencode(back))

    def client_is_right(self, handler, form):
        name, secret = form.get("client_id"), form.get("client_secret")
        given = handler.headers.get("Authorization", "")
        if given.startswith("Basic "):
            pair = base64.b64decode(given[6:]).decode().split(":", 1)
            name, secret = (urllib.parse.unquote_plus(part) for part in pair)
        return (name, secret) == self.client

    def id_token(self, **claims):
        now = int(time.time())
        made = {"iss": self.issuer, "aud": self.client[0], "iat": now, "exp": now + 300}
        made.update({name: value for name, value in self.user.items() if name in self.in_id_token})
        made.update(claims)
        made = self.twist(made)
        return sign(self.signer or self.keys[0], {k: v for k, v in made.items() if v is not None})

    def token(self, handler):
        form = dict(urllib.parse.parse_qsl(handler.body.decode()))
        if not self.client_is_right(handler, form):
            handler.say(401, {"error": "invalid_client"})
            return
        answer = {"token_type": "Bearer", "expires_in": self.lasts, "access_token": secrets.token_urlsafe(16)}
        if form.get("grant_type") == "authorization_code":
            asked = self.codes.pop(form.get("code"), None)
            proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if asked is None or proof.rstrip(b"=").decode() != asked.get("code_challenge") \
                    or form.get("redirect_uri") != asked["redirect_uri"]:
                handler.say(400, {"error": "invalid_grant"})
                return
            answer["id_token"] = self.id_token(nonce=asked.get("nonce"))
            if "offline_access" in asked["scope"]:
                answer["refresh_token"] = secrets.token_urlsafe(16)
                self.refresh[answer["refresh_token"]] = self.user["sub"]
        else:
            sub = self.refresh.pop(form.get("refresh_token"), None)  # each is good once
            if sub is None:
                handler.say(400, {"error": "invalid_grant"})
                return
            answer["id_token"] = self.id_token()
            answer["refresh_token"] = secrets.token_urlsafe(16)
            self.refresh[answer["refresh_token"]] = sub
        self.access[answer["access_token"]] = dict(self.user)
        handler.say(200, answer)

    def userinfo(self, handler):
        user = self.access.get(handler.headers.get("Authorization", "")[7:])
        handler.say(200 if user else 401, user or {})

    def logout_token(self, key=None, **claims):
        now = int(time.time())
        made = {"iss": self.issuer, "aud": self.client[0], "iat": now, "exp": now + 120, "jti": secrets.token_hex(8),
                "sub": self.user["sub"], "events": {"http://schemas.openid.net/event/backchannel-logout": {}}, **claims}
        return sign(key or self.keys[0], {k: v for k, v in made.items() if v is not None})

    def jwks(self):
        return {"keys": [json.loads(key.export_public()) for key in self.keys]}

    def document(self):
        return {"issuer": self.issuer, "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token", "userinfo_endpoint": self.issuer + "/userinfo",
                "end_session_endpoint": self.issuer + "/end", "jwks_uri": self.issuer + "/keys",
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True, **self.metadata}

    def access_token(self, key=None, issuer=None, **claims):
        claims = {"iss": issuer or self.issuer, "aud": "api", "sub": "ann", "exp": int(time.time()) + 300, **claims}
        return sign(key or self.keys[0], claims)
