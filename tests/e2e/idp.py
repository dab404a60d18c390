"""A small OpenID provider for tests, over python3-jwcrypto: another implementation than the gateway's.

It can be down, slow, late, redirect, lie about its name, change its keys; what it was asked is on record.
"""
import http.server
import json
import ssl
import threading
import time

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
    def __init__(self, pair=None, keys=None, port=0):
        self.keys = keys or [make_key()]
        self.asked = []  # (method, path) of every request
        self.broken = {}  # path: function of the handler, in place of what stands there
        self.metadata = {}  # over the document
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
        self.issuer = f"{'https' if pair else 'http'}://{'localhost' if pair else '127.0.0.1'}:{self.port}"
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
        }

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
