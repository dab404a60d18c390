"""Two hundred secrets in every place where clients and applications put them: none of them in any record, log, metric,
capture, or core. An attack stands beside each one, so that matches, samples and log data are made of what is around it."""
import base64
import json
import os
import re
import signal
import urllib.parse

import pytest

from harness import Sallyport, capture_keys, command, eventually, plain
from wire import response

ATTACK = "<script>alert(1)</script>"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def quoted(text):
    return urllib.parse.quote(text, safe="")


def basic(secret):
    return "Basic " + base64.b64encode(f"ann:{secret}".encode()).decode()


def multipart(secret):
    return (f'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n{secret}{ATTACK}\r\n'
            f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{ATTACK}\r\n--x--\r\n').encode()


# What is asked, with a secret in it: method, target, fields, body.
PLACES = {
    "authorization basic": lambda s: ("GET", "/", [("Authorization", basic(s))], b""),
    "authorization bearer": lambda s: ("GET", f"/?a={quoted(ATTACK)}", [("Authorization", f"Bearer {s}")], b""),
    "proxy authorization": lambda s: ("GET", "/", [("Proxy-Authorization", basic(s))], b""),
    "cookie": lambda s: ("GET", "/", [("Cookie", f"session={s}; b={ATTACK}")], b""),
    "cookie with the attack": lambda s: ("GET", "/", [("Cookie", f"session={s}{ATTACK}")], b""),
    "api key": lambda s: ("GET", "/", [("X-Api-Key", s + ATTACK)], b""),
    "auth token": lambda s: ("GET", "/", [("X-Auth-Token", s)], b""),
    "csrf token": lambda s: ("GET", "/", [("X-Csrf-Token", s + "' or 1=1--")], b""),
    "query": lambda s: ("GET", f"/?password={s}&a={quoted(ATTACK)}", [], b""),
    "query with the attack": lambda s: ("GET", f"/?password={s}{quoted(ATTACK)}", [], b""),
    "query, name encoded": lambda s: ("GET", f"/?%70assword={s}{quoted(ATTACK)}", [], b""),
    "query, upper case": lambda s: ("GET", f"/?PASSWORD={s}{quoted(ATTACK)}", [], b""),
    "query, of brackets": lambda s: ("GET", f"/?user[password]={s}{quoted(ATTACK)}", [], b""),
    "query, by pattern": lambda s: ("GET", f"/?my_token_x={s}&a={quoted(ATTACK)}", [], b""),
    "query behind a semicolon": lambda s: ("GET", f"/?a=1;secret={s}", [], b""),
    "referrer": lambda s: ("GET", "/", [("Referer", f"http://a.test/?access_token={s}&a={ATTACK}")], b""),
    "refused head": lambda s: ("GET", f"/%00?password={s}", [("Cookie", f"a={s}")], b""),
    "form": lambda s: ("POST", "/", [("Content-Type", FORM)], f"password={s}&a={quoted(ATTACK)}".encode()),
    "form with the attack": lambda s: ("POST", "/", [("Content-Type", FORM)], f"pwd={s}{quoted(ATTACK)}".encode()),
    "json": lambda s: ("POST", "/", [("Content-Type", JSON)], json.dumps({"password": s + ATTACK, "a": ATTACK}).encode()),
    "json within": lambda s: ("POST", "/", [("Content-Type", JSON)],
                              json.dumps({"u": {"api_key": s + "' or 1=1--"}}).encode()),
    "multipart": lambda s: ("POST", "/", [("Content-Type", "multipart/form-data; boundary=x")], multipart(s)),
    "body of no type": lambda s: ("POST", "/", [("Content-Type", "text/plain")], f"password={s}{ATTACK}".encode()),
    "answer's cookie": lambda s: ("GET", "/set/cookie", [("X-Plant", s)], b""),
    "answer's body": lambda s: ("GET", "/set/body", [("X-Plant", s)], b""),
}
COUNT = 200
MARK = "ZqPlantedSecret"  # every one of them begins so


def plant(exchange):
    """The application hands a secret out."""
    secret = re.search(rb"(?i)x-plant: (\w+)", exchange.raw)[1].decode()
    exchange.send(response(200, f"<p>You have an error in your SQL syntax near {secret}</p>".encode(),
                           [("Set-Cookie", f"session={secret}; HttpOnly"), ("Content-Type", "text/html")]))


def forms():
    """How a secret could stand in a file: as it is, or in base64 at each of its three phases."""
    yield MARK.encode()
    for pad in range(3):
        yield base64.b64encode(b" " * pad + MARK.encode())[4:-4]


def core_limit(pid):
    with open(f"/proc/{pid}/limits") as file:
        return re.search(r"Max core file size\s+(\S+)", file.read())[1]


@pytest.mark.parametrize("ruleset", ["core", "off"])
def test_none_of_them_is_found(origin, ruleset):
    config = plain(origin, waf={"mode": "detect", "ruleset": ruleset} if ruleset == "core" else {"mode": "off"})
    config["audit"]["capture"] = {"key": capture_keys()[0], "of": "all", "rate": 100000}
    origin.forget()
    secrets = {}
    with Sallyport(config) as gateway:
        kinds = list(PLACES.items())
        for number in range(COUNT):
            name, make = kinds[number % len(kinds)]
            secret = MARK + os.urandom(12).hex()
            secrets[secret] = name
            method, target, fields, body = make(secret)
            if name.startswith("answer"):
                origin.script(plant)
            with gateway.client() as client:
                lines = [f"{method} {target} HTTP/1.1", "Host: secrets.test", "User-Agent: t"]
                lines += [f"{key}: {value}" for key, value in fields] + ([f"Content-Length: {len(body)}"] if body else [])
                client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body).answer(method)
        eventually(lambda: len(gateway.records()) >= COUNT, what="all records")
        if ruleset == "core":
            assert sum("matches" in record["sallyport"] for record in gateway.records()) > COUNT / 3
        status = command("status", "--control", gateway.control, "-o", "json").stdout
        pids = [gateway.one(role) for role in ("worker", "recorder", "steward")]
        assert [core_limit(pid) for pid in pids] == ["0"] * 3
        os.kill(gateway.one("worker"), signal.SIGABRT)
        eventually(lambda: set(gateway.role("worker")) - {pids[0]}, what="another worker")
        sinks = {"standard error": "".join(gateway.stderr).encode(), "status": status.encode()}
        for name in os.listdir(gateway.folder):
            path = os.path.join(gateway.folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    sinks[name] = file.read()
        assert len(sinks["audit.jsonl"]) > 100 * COUNT and len(sinks["audit.jsonl.capture"]) > 100 * COUNT
        assert not [name for name in sinks if name.startswith("core")]
        leaks = {(where, next((name for secret, name in secrets.items() if secret.encode() in content), "in base64"))
                 for where, content in sinks.items() if any(form in content for form in forms())}
        assert leaks == set()
