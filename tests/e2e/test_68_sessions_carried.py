"""Sessions that the browser carries, sealed: good behind a restart and at another node, over when they are ended, and
keys that change."""
import os

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says
from test_65_login import SESSION, Browser, add_user

SEALED = "__Host-sallyport-sealed"
FIRST, SECOND = "the first secret, of more than 32 bytes", "the second one, of more than 32 bytes too"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carried")
    os.chmod(folder, 0o755)
    with Origin(says(response(200, b"inside"))) as origin:
        users = str(folder / "users.db")
        with Sallyport(config(origin, users, seal=FIRST)) as gateway:
            add_user(gateway, "ann", "--groups", "staff")
            add_user(gateway, "bob")
        yield origin, users


def config(origin, users, **session):
    return plain(origin, {"workers": 2}, login={"users": users, "session": session})


def at(browser, node, cookies=None):
    there = Browser(node)
    there.cookies = dict(browser.cookies if cookies is None else cookies)
    return there


def test_it_is_carried_elsewhere_and_ends(place):
    origin, users = place
    with Sallyport(config(origin, users, seal=FIRST)) as one, Sallyport(config(origin, users, seal=FIRST)) as two:
        browser = Browser(one)
        assert browser.sign_in().status == 303 and set(browser.cookies) >= {SESSION, SEALED}
        assert at(browser, two).get("/").status == 200
        assert at(browser, two).get("/").status == 200
        # Neither of the two cookies is anything without the other, nor beside another's.
        stranger = Browser(one)
        assert stranger.sign_in("bob").status == 303
        for cookies in ({SEALED: browser.cookies[SEALED]},
                        {SESSION: stranger.cookies[SESSION], SEALED: browser.cookies[SEALED]}):
            assert at(browser, two, cookies).get("/").status == 302
        assert at(browser, one, {SESSION: browser.cookies[SESSION]}).get("/").status == 200  # still known here
        # The application sees neither.
        assert "sallyport" not in (origin.heads[-1].get("cookie") or "")

        # Signed out: a copy that somebody kept brings nothing back.
        kept = dict(browser.cookies)
        browser.get("/.sallyport/login/out")
        assert browser.submit().status == 200 and SEALED not in browser.cookies
        assert at(browser, one, kept).get("/").status == 302

        # Ended by an operator, though this node does not know the session itself: all of a name.
        browser.sign_in()
        kept = dict(browser.cookies)
        done = command("sessions", "end-user", "ann", "-c", two.config_path, cwd=two.folder)
        assert done.returncode == 0, done.stderr
        assert at(browser, two, kept).get("/").status == 302
        assert at(browser, one, kept).get("/").status == 200  # nodes that share nothing tell one another nothing
        done = command("sessions", "list", "-c", one.config_path, cwd=one.folder)
        handle = next(line.split()[0] for line in done.stdout.splitlines() if " ann " in line)
        assert command("sessions", "end", handle, "-c", one.config_path, cwd=one.folder).returncode == 0
        assert at(browser, one, kept).get("/").status == 302
        # Who signs in after that is in.
        browser = Browser(two)
        assert browser.sign_in().status == 303 and browser.get("/").status == 200


def test_keys_change(place):
    origin, users = place
    with Sallyport(config(origin, users, seal=FIRST)) as old, \
            Sallyport(config(origin, users, seal=SECOND, seal_before=FIRST)) as both, \
            Sallyport(config(origin, users, seal=SECOND)) as new:
        browser = Browser(old)
        browser.sign_in()
        assert at(browser, new).get("/").status == 302
        carried = at(browser, both)
        assert carried.get("/").status == 200
        assert carried.cookies[SEALED] != browser.cookies[SEALED]  # sealed anew, with the answer
        assert at(carried, new).get("/").status == 200


def test_a_changed_account_ends_it(place):
    origin, users = place
    with Sallyport(config(origin, users, seal=FIRST)) as one, Sallyport(config(origin, users, seal=FIRST)) as two:
        browser = Browser(one)
        browser.sign_in("bob")
        done = command("users", "revoke-sessions", "bob", "-c", two.config_path, cwd=two.folder)
        assert done.returncode == 0, done.stderr
        eventually(lambda: at(browser, two).get("/").status == 302, what="the change")


def test_configuration(place, tmp_path):
    import json
    origin, users = place
    path = tmp_path / "c.json"

    def check(more=None, **session):
        made = config(origin, users, **session)
        made.update(more or {})
        path.write_text(json.dumps(made))
        return command("check", "-c", str(path), cwd=str(tmp_path))
    assert check(seal="x" * 32).returncode == 0
    assert "at least 32" in check(seal="x" * 31).stderr
    assert "there is none" in check(seal_before="x" * 32).stderr
    assert "without a store" in check({"store": {"redis": "unix:/nowhere", "secret": "y" * 32}}, seal="x" * 32).stderr
