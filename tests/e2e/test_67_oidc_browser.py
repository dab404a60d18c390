"""A real browser signs in to a dashboard at an OpenID provider, and out again at both."""
import pytest
from harness import Origin, Sallyport, eventually, plain, response, says
from idp import Idp
from test_66_login_browser import CHROMIUM, PAGE, Chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def test_a_real_browser_signs_in_and_out():
    page = response(200, PAGE, [("Content-Type", "text/html")])
    with Origin(says(page)) as origin, Idp() as idp:
        config = plain(origin, oidc={
            "providers": [{"name": "corp", "issuer": idp.issuer, "client_id": idp.client[0],
                           "client_secret": idp.client[1], "user_claim": "email"}], "pass": "X-User"})
        with Sallyport(config) as gateway, Chromium() as browser:
            eventually(lambda: gateway.ask(fields=[("Accept", "text/html")]).status == 302, what="the provider is known")
            url = "http://{}:{}/boards?id=7".format(*gateway.address())
            browser.call("Page.navigate", url=url)
            browser.wait("!!document.getElementById('in')", "the dashboard")
            assert browser.run("location.pathname + location.search") == "/boards?id=7"
            assert browser.run("document.cookie") == ""  # out of reach of scripts
            assert origin.heads[-1].get("x-user") == "ann@example.org"
            assert "sallyport" not in (origin.heads[-1].get("cookie") or "")
            assert idp.count("/token") == 1
            browser.call("Page.navigate", url=url)
            browser.wait("!!document.getElementById('in')", "the dashboard again")
            assert idp.count("/token") == 1  # by the session
            browser.call("Page.navigate", url=url.replace("/boards?id=7", "/.sallyport/oidc/out"))
            browser.wait("document.title.startsWith('Signed in')", "who is signed in")
            browser.run("document.querySelector('button').click()")
            browser.wait("document.body.innerText.includes('bye')", "the provider's own end, without another click")
            assert idp.count("/end") == 1
            browser.call("Page.navigate", url=url)
            browser.wait("!!document.getElementById('in')", "a new sign-in")
            assert idp.count("/token") == 2
