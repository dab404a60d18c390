"""A real browser passes the challenge: with scripts, and, where the way without is on, without. Over TLS it is scored
as what it is."""
import pytest
from harness import Origin, Sallyport, eventually, plain, response, says
from test_66_login_browser import CHROMIUM, Chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PAGE = b"<!doctype html><title>Shop</title><link rel=icon href=data:,><h1 id=in>inside</h1>"
BOTS = {"mode": "challenge", "threshold": {"challenge": 0}, "no_js_wait": "1s"}


@pytest.fixture(scope="module")
def gateway(authority):
    page = response(200, PAGE, [("Content-Type", "text/html")])
    pair = authority.issue("shop.test", "shop.test", "127.0.0.1")
    with Origin(says(page)) as origin:
        config = plain(origin, {"listen": {"https": "127.0.0.1:0"}, "workers": 2}, bots=BOTS,
                       tls={"cert": pair.cert, "key": pair.key}, headers={},
                       routes=[{"path": "/script/**", "bots": {"no_js": False}}])
        with Sallyport(config) as gateway:
            gateway.origin = origin
            yield gateway


@pytest.fixture(scope="module")
def browser():
    with Chromium() as browser:
        browser.call("Security.enable")
        browser.call("Security.setIgnoreCertificateErrors", ignore=True)
        browser.call("Network.enable")
        browser.call("Page.enable")
        yield browser


def url(gateway, path, scheme="http"):
    return "{}://{}:{}{}".format(scheme, *gateway.address(scheme), path)


def outcomes(gateway):
    return [r["sallyport"].get("bots", {}).get("outcome") for r in gateway.records()]


@pytest.mark.parametrize("scheme, cookie", [("http", "sallyport-clear4"), ("https", "__Host-sallyport-clear4")])
def test_with_scripts(gateway, browser, scheme, cookie):
    browser.call("Network.clearBrowserCookies")
    browser.call("Page.navigate", url=url(gateway, "/a?b=%20c#part", scheme))
    browser.wait("!!document.getElementById('in')", "the page")
    assert browser.run("location.pathname + location.search + location.hash") == "/a?b=%20c#part"
    assert browser.run("document.cookie") == ""  # out of reach of scripts
    kept = browser.call("Network.getCookies")["cookies"]
    assert [(c["name"], c["httpOnly"], c["secure"]) for c in kept] == [(cookie, True, scheme == "https")]
    browser.call("Page.navigate", url=url(gateway, "/next", scheme))
    browser.wait("location.pathname == '/next' && !!document.getElementById('in')", "another page, at once")
    assert "cookie" not in gateway.origin.heads[-1].names()
    eventually(lambda: outcomes(gateway)[-1] == "cleared", what="the record")


def test_a_browser_is_scored_as_what_it_is(gateway, browser):
    """Nothing is held against Chromium but what it says of itself: that it is headless."""
    rows = [r["sallyport"]["bots"] for r in gateway.records() if r["url"].get("scheme") == "https" and
            "score" in r["sallyport"].get("bots", {})]
    assert rows and {r["reason"] for row in rows for r in row["reasons"]} == {"agent-headless"}


def test_without_scripts(gateway, browser):
    browser.call("Network.clearBrowserCookies")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=url(gateway, "/quiet?x=1", "https"))
        shown = eventually(lambda: next((h for h in gateway.origin.heads if h.target == "/quiet?x=1"), None), 60,
                           "the page, after the wait")
        assert "cookie" not in shown.names()
        browser.call("Network.clearBrowserCookies")
        seen = len(gateway.records())
        browser.call("Page.navigate", url=url(gateway, "/script/x", "https"))
        eventually(lambda: len(gateway.records()) > seen, 60, "the challenge")
        assert all(h.target != "/script/x" for h in gateway.origin.heads)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_browser_that_keeps_no_cookies_is_told(gateway, browser):
    """And is not sent round in a circle."""
    browser.call("Network.clearBrowserCookies")
    browser.call("Page.addScriptToEvaluateOnNewDocument",
                 source="Object.defineProperty(Navigator.prototype, 'cookieEnabled', {get: () => false})")
    seen = len(gateway.records())
    browser.call("Page.navigate", url=url(gateway, "/none"))
    browser.wait("document.getElementById('state').textContent.includes('cookies')", "what is wrong")
    assert browser.run("document.getElementById('manual').hidden") is False
    assert browser.run("getComputedStyle(document.getElementById('bar')).display") == "none"
    assert outcomes(gateway)[seen:].count("proved") == 0
