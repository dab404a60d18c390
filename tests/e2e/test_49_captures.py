"""Groups of a route's regular expression in rewrites and redirects: encoded again, canonical again."""
import pytest

from harness import Origin, Sallyport, command, plain


@pytest.fixture(scope="module")
def origin():
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def gateway(origin):
    routes = [
        {"path": "~^/users/([^/]+)/posts/(.*)$", "rewrite": {"path": "/p/{2}/by/{1}", "query": "user={1}&{query}"}},
        {"path": "~^/dots/(.)(.*)$", "rewrite": {"path": "/safe/{1}{1}/{2}"}},
        {"path": "~^/maybe(/x)?/(y)?$", "rewrite": {"path": "/m{1}/{2}"}},
        {"path": "~^/go(/.*)$", "redirect": {"to": "/{1}"}},
        {"path": "~^/host/(.*)$", "redirect": {"to": "https://new.test/{1}?q={1}"}}]
    with Sallyport(plain(origin, routes=routes)) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def target(gateway, origin, path):
    answer = gateway.ask(path=path)
    return origin.wait(1)[0].message.target if answer.status == 200 else answer.status


@pytest.mark.parametrize("path, sent", [
    ("/users/ann/posts/2024/one", "/p/2024/one/by/ann?user=ann&"),
    ("/users/ann/posts/?a=b", "/p/by/ann?user=ann&a=b"),
    ("/users/a%26b=c/posts/%3Fx", "/p/%3Fx/by/a&b=c?user=a%26b%3Dc&"),
    ("/users/a%20b/posts/%C3%BC", "/p/%C3%BC/by/a%20b?user=a%20b&"),
    ("/maybe/x/y", "/m/x/y"), ("/maybe/", "/m/")])
def test_groups_in_rewrites(gateway, origin, path, sent):
    assert target(gateway, origin, path) == sent


def test_groups_cannot_climb_out(gateway, origin):
    # Two dots that were apart come together: nothing is sent.
    assert target(gateway, origin, "/dots/.x/secret") == 400 and origin.count == 0
    origin.forget()
    assert target(gateway, origin, "/dots/ab") == "/safe/aa/b"


@pytest.mark.parametrize("path, to", [
    ("/go/evil.test/x", "/evil.test/x"), ("/go//evil.test", "/evil.test"), ("/go/%5Cevil.test", None),
    ("/host/a%26b/%23c", "https://new.test/a%26b/%23c?q=a%26b/%23c"),
    ("/host/user:x@evil.test", "https://new.test/user%3Ax%40evil.test?q=user%3Ax%40evil.test")])
def test_groups_in_redirects(gateway, path, to):
    answer = gateway.ask(path=path)
    assert answer.get("location") == to and answer.status == (302 if to else 400)


@pytest.mark.parametrize("site, why", [
    ({"routes": [{"path": "/x/**", "rewrite": {"path": "/{1}"}}]}, "no group {1}"),
    ({"routes": [{"path": "~^/(a)$", "rewrite": {"path": "/{2}"}}]}, "no group {2}"),
    ({"rewrite": {"path": "/{1}"}}, "no group {1}"),
    ({"request_headers": {"set": {"X-A": "{1}"}}}, "for rewrite and redirect")])
def test_mistakes_are_found(origin, site, why):
    with Sallyport(plain(origin, **site), start=False) as gateway:
        done = command("check", "-c", gateway.config_path, cwd=gateway.folder)
        assert done.returncode == 2 and why in done.stdout + done.stderr
