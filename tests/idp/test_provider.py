"""`make test-idp`: the whole of sign-in against npm's oidc-provider, which somebody else wrote."""
import http.cookiejar
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from harness import Origin, Sallyport, eventually, plain, response, says  # noqa: E402

MODULES = os.environ.get("IDP_MODULES", os.path.join(ROOT, "build", "idp"))
PAGE = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Provider:
    def __init__(self, port, gateway):
        self.port, self.gateway, self.process = port, gateway, None
        self.issuer = f"http://127.0.0.1:{port}"
        self.start()

    def start(self):
        program = os.path.join(ROOT, "tests", "idp", "provider.mjs")
        self.process = subprocess.Popen(["node", program, str(self.port), str(self.gateway)], cwd=MODULES,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "ready"

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    """Cookies of the gateway by hand (they are Secure), those of the provider in a jar."""

    def __init__(self, gateway, provider):
        self.gateway, self.provider, self.cookies = gateway, provider, {}
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(Stay, jar)

    def here(self, path="/", method="GET", body=None):
        fields = list(PAGE)
        if self.cookies:
            fields.append(("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items())))
        if body is not None:
            fields.append(("Content-Type", "application/x-www-form-urlencoded"))
        answer = self.gateway.ask(method, path, host=f"127.0.0.1:{self.provider.gateway}", fields=fields, body=body)
        for line in answer.all("set-cookie"):
            name, value = line.split(";")[0].split("=", 1)
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def there(self, address, data=None):
        """(status, Location or None, body)"""
        address = urllib.parse.urljoin(self.provider.issuer, address)
        data = urllib.parse.urlencode(data).encode() if data is not None else None
        try:
            with self.opener.open(address, data, timeout=20) as answer:
                return answer.status, None, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Location"), error.read().decode()

    def pass_provider(self, address, user):
        """Through its pages, to the address that it sends the browser back to."""
        for _ in range(12):
            status, location, body = self.there(address)
            if location is None:
                form = re.search(r'action="([^"]+)"', body)
                prompt = re.search(r'name="prompt" value="([^"]+)"', body)
                assert form and prompt, (status, body[:500])
                data = {"prompt": prompt[1]}
                if prompt[1] == "login":
                    data.update(login=user, password="anything")
                status, location, body = self.there(form[1], data)
            assert location, (status, body[:500])
            if f":{self.provider.gateway}/" in location:
                parts = urllib.parse.urlsplit(location)
                return parts.path + "?" + parts.query
            address = location
        raise AssertionError("the provider goes round in circles")

    def sign_in(self, user="ann", path="/"):
        answer = self.here(path)
        assert answer.status == 302, (answer.status, answer.body)
        answer = self.here(self.pass_provider(answer.get("location"), user))
        assert answer.status == 303 and answer.get("location") == path, (answer.status, answer.body)


@pytest.fixture(scope="module")
def provider():
    made = Provider(free_port(), free_port())
    yield made
    made.stop()


@pytest.fixture(scope="module")
def gateway(provider):
    with Origin(says(response(200, b"inside"))) as origin:
        config = plain(origin, {"listen": {"http": f"127.0.0.1:{provider.gateway}"}}, oidc={
            "providers": [{"name": "corp", "issuer": provider.issuer, "client_id": "sallyport",
                           "client_secret": "a secret/with+signs&=", "user_claim": "email",
                           "scopes": ["openid", "email", "groups", "offline_access"]}],
            "pass": "X-User", "deadline": "20s"}, policy=[{"groups": ["staff"]}])
        with Sallyport(config) as running:
            running.origin = origin
            eventually(lambda: running.ask(fields=PAGE).status == 302, what="the provider is known")
            yield running


def test_sign_in_and_renewal(gateway, provider):
    browser = Browser(gateway, provider)
    browser.sign_in(path="/report?a=1")
    assert browser.here("/report?a=1").status == 200
    # Its ID token has no more than `sub`: user and groups are of userinfo.
    assert gateway.origin.heads[-1].get("x-user") == "ann@example.org"
    time.sleep(3)  # the access token lasts four seconds
    for _ in range(3):
        assert browser.here("/").status == 200


def test_rp_initiated_and_back_channel_logout(gateway, provider):
    browser, other = Browser(gateway, provider), Browser(gateway, provider)
    browser.sign_in("bob")
    other.opener = browser.opener  # the same browser at the provider, another profile here
    other.sign_in("bob")
    page = browser.here("/.sallyport/oidc/out")
    token = re.search(r'name="token" value="([^"]+)"', page.body.decode())[1]
    answer = browser.here("/.sallyport/oidc/out", "POST", f"token={token}".encode())
    assert answer.status == 200 and browser.here("/").status == 302
    assert other.here("/").status == 200
    end = answer.get("refresh").split("url=", 1)[1]
    status, location, body = browser.there(end)
    assert status == 200, (status, location, body)
    xsrf = re.search(r'name="xsrf" value="([^"]+)"', body)[1]
    status, location, _ = browser.there("/session/end/confirm", {"xsrf": xsrf, "logout": "yes"})
    assert location == f"http://127.0.0.1:{provider.gateway}/.sallyport/oidc/out"
    # The provider has told us, so the other session is over, too.
    eventually(lambda: other.here("/").status == 302, what="back-channel logout")


def test_rotation(gateway, provider):
    browser = Browser(gateway, provider)
    browser.sign_in("cid")
    provider.stop()
    assert browser.here("/").status == 200
    provider.start()  # with another key
    fresh = Browser(gateway, provider)
    fresh.sign_in("dan")
    assert fresh.here("/").status == 200
    assert gateway.origin.heads[-1].get("x-user") == "dan@example.org"


def test_no_pkce_no_code(gateway, provider):
    """The provider insists on PKCE, so what was signed in above had it."""
    browser = Browser(gateway, provider)
    address = browser.here("/").get("location")
    without = re.sub(r"&code_challenge(_method)?=[^&]*", "", address)
    status, location, body = browser.there(without)
    assert location is None or "error=invalid_request" in location
