"""Address lists of other servers: fetched, checked, kept over whatever goes wrong."""
import http.server
import json
import os
import signal
import threading

import pytest

from harness import Sallyport, command, eventually, plain
from test_50_stages import TRUSTED, status

GOOD = "".join(f"192.0.2.{n}\n" for n in range(100))
ON, OFF = "192.0.2.99", "192.0.3.1"


class Server:
    """Answers with `answer`: a status, a body, and fields. Knows what was asked."""

    def __init__(self, answer=(200, GOOD, {})):
        self.answer, self.asked = answer, []
        self.paths = {}  # other answers, by path
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append((self.path, self.headers.get("If-None-Match")))
                code, body, fields = outer.paths.get(self.path, outer.answer)
                if code == 200 and fields.get("ETag") and self.headers.get("If-None-Match") == fields["ETag"]:
                    code, body = 304, ""
                self.send_response(code)
                for name, value in fields.items():
                    self.send_header(name, value)
                if code != 304:
                    self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"" if code == 304 else body.encode())
                self.close_connection = True
                outer.answered = code

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/list.txt"
        self.answered = None
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def config(origin, url, **row):
    config = plain(origin, server=dict(TRUSTED), deny={"lists": ["feed"]})
    config["lists"] = {"feed": {"url": url, "refresh": "1s", "allow_private": True, **row}}
    return config


def told(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    if done.returncode != 0:
        return {}
    return [row for row in json.loads(done.stdout)["lists"] if row["name"] == "feed"][0]


def denied(gateway, address=ON):
    return status(gateway, address) == 403


def fetched(gateway):
    eventually(lambda: denied(gateway), what="the list is fetched", seconds=20)


def refused(gateway, why):
    eventually(lambda: why in told(gateway).get("trouble", ""), what=f"it is told: {why}", seconds=20)
    assert denied(gateway), why
    assert status(gateway, OFF) == 200


def test_fetched_changed_and_not_modified(origin):
    with Server((200, GOOD, {"ETag": '"1"'})) as server, Sallyport(config(origin, server.url)) as gateway:
        fetched(gateway)
        assert status(gateway, OFF) == 200
        assert server.asked[0] == ("/list.txt", None)
        eventually(lambda: server.answered == 304, what="it is asked with the ETag", seconds=20)
        assert server.asked[-1][1] == '"1"'
        said = told(gateway)
        assert said["url"] == server.url and said["ranges"] == 100 and said["stale"] is False and "trouble" not in said
        version = said["version"]
        server.answer = (200, GOOD + OFF + "\n", {"ETag": '"2"'})
        eventually(lambda: denied(gateway, OFF), what="the new list", seconds=20)
        assert told(gateway)["version"] == version + 1, "304 publishes nothing"


BAD = [  # what is answered where {good} has been, and what is said of it
    ((500, "oops", {}), "200"),
    ((200, "", {}), "empty"),
    ((404, "{good}", {}), "200"),
    ((302, "", {"Location": "https://127.0.0.2:1/"}), "private"),
    ((200, "<html>Sorry</html>", {}), "malformed"),
    ((302, "", {"Location": "https://127.0.0.1:1/"}), "private"),  # another port is another server
    ((200, "{less}", {}), "max_shrink"),
    ((302, "", {"Location": "https://localhost:1/"}), "private"),
    ((200, "{good}0.0.0.0/2\n", {}), "max_cover"),
    ((302, "", {"Location": "http://127.0.0.2:1/"}), "https"),
    ((200, "{good}127.0.0.0/8\n", {}), "trusted proxy"),
    ((200, "{good}# " + "x" * 5000, {}), "too large"),
    ((302, "", {"Location": "{path}"}), "too often"),
    ((302, "", {}), "Location"),
]


def test_nothing_bad_replaces_the_good_list(origin):
    """A list for each bad answer, all at a time: each has taken its good one before."""
    with Server() as server:
        def entries(number, count):
            return "".join(f"192.0.{number}.{n}\n" for n in range(count))

        def answer(number, told):
            code, body, fields = told
            body = body.replace("{good}", entries(number, 100)).replace("{less}", entries(number, 40))
            return code, body, {name: value.replace("{path}", f"/{number}") for name, value in fields.items()}

        setup = config(origin, server.url, max_bytes="4KiB")
        setup["lists"] = {f"feed{number}": {**setup["lists"]["feed"], "url": server.url.replace("/list.txt", f"/{number}")}
                          for number in range(len(BAD))}
        setup["sites"][0]["deny"] = {"lists": list(setup["lists"])}
        server.paths = {f"/{number}": (200, entries(number, 100), {}) for number in range(len(BAD))}

        def rows(gateway):
            done = command("status", "--control", gateway.control, "-o", "json")
            said = {row["name"]: row for row in json.loads(done.stdout)["lists"]}
            return [said[f"feed{number}"] for number in range(len(BAD))]

        def troubles(gateway):
            return [row.get("trouble", "") for row in rows(gateway)]

        with Sallyport(setup) as gateway:
            eventually(lambda: all("fetched" in row for row in rows(gateway)), what="the lists are fetched", seconds=20)
            server.paths = {f"/{number}": answer(number, told) for number, (told, _) in enumerate(BAD)}
            eventually(lambda: all(why in said for said, (_, why) in zip(troubles(gateway), BAD)), what="each is told", seconds=20)
            for number, (_, why) in enumerate(BAD):
                assert denied(gateway, f"192.0.{number}.99"), why
            assert status(gateway, "198.51.100.1") == 200
            server.paths = {f"/{number}": (200, entries(number, 100), {}) for number in range(len(BAD))}
            eventually(lambda: not any(troubles(gateway)), what="good again", seconds=20)


def test_private_addresses_are_asked_where_allowed_only(origin, tmp_path):
    with Server() as server:
        url = server.url.replace("http:", "https:")
        with Sallyport(config(origin, url, allow_private=False)) as gateway:
            eventually(lambda: "private" in told(gateway).get("trouble", ""), what="refused", seconds=20)
            assert server.asked == [] and told(gateway)["stale"] is True
    (tmp_path / "sallyport.yaml").write_text(json.dumps(config(origin, server.url, allow_private=False)))
    done = command("check", "-c", tmp_path / "sallyport.yaml", cwd=str(tmp_path))
    assert done.returncode == 2 and "allow_private" in done.stderr + done.stdout


def test_redirect_on_the_same_server(origin):
    with Server((302, "", {"Location": "/other"})) as server, Sallyport(config(origin, server.url)) as gateway:
        eventually(lambda: ("/other", None) in server.asked, what="followed", seconds=20)
        server.answer = (200, GOOD, {})
        fetched(gateway)


def test_kept_over_reload_and_a_killed_steward(origin):
    """The server is gone: the first request of a new configuration is judged by the last good list."""
    with Server() as server:
        setup = config(origin, server.url)
        with Sallyport(setup) as gateway:
            fetched(gateway)
            server.answer = (500, "", {})
            refused(gateway, "200")
            setup["lists"]["feed"]["without"] = ["192.0.2.7"]
            for _ in range(2):
                assert gateway.reload(setup).returncode == 0
                assert denied(gateway)
            eventually(lambda: status(gateway, "192.0.2.7") == 200, what="what is left out now", seconds=20)
            before = eventually(lambda: kill_steward(gateway), what="a steward to kill")
            assert denied(gateway)
            eventually(lambda: processes(gateway).get("steward", before) != before, what="another steward", seconds=20)
            refused(gateway, "200")
            assert told(gateway)["ranges"] == 99
            assert gateway.reload(setup).returncode == 0
            assert denied(gateway)
            server.answer = (200, GOOD + OFF, {})
            eventually(lambda: denied(gateway, OFF), what="it goes on", seconds=20)


def kill_steward(gateway):
    """Its pid; None: it has just given way to another generation's."""
    try:
        pid = processes(gateway)["steward"]
        os.kill(pid, signal.SIGKILL)
        return pid
    except (KeyError, ProcessLookupError):
        return None


def processes(gateway):
    done = command("status", "--control", gateway.control, "-o", "json")
    return json.loads(done.stdout)["processes"] if done.returncode == 0 else {}


def test_stale_is_told_and_still_counts(origin):
    with Server() as server, Sallyport(config(origin, server.url, max_age="2s")) as gateway:
        fetched(gateway)
        server.answer = (500, "", {})
        eventually(lambda: told(gateway).get("stale") is True, what="stale", seconds=20)
        assert denied(gateway)
        eventually(lambda: "stale" in "".join(gateway.stderr), what="it stands in the log", seconds=20)
        done = command("status", "--control", gateway.control)
        assert ", stale" in done.stdout
        server.answer = (200, GOOD, {})
        eventually(lambda: told(gateway).get("stale") is False, what="heard again", seconds=20)


def test_a_file_counts_until_there_is_an_answer(origin):
    with Server((500, "", {})) as server:
        with Sallyport(config(origin, server.url, file="seed.txt"), files={"seed.txt": OFF + "\n"}) as gateway:
            assert denied(gateway, OFF) and not denied(gateway)
            eventually(lambda: "trouble" in told(gateway), what="asked", seconds=20)
            assert denied(gateway, OFF)
            server.answer = (200, GOOD, {})
            fetched(gateway)
            assert not denied(gateway, OFF)


@pytest.mark.parametrize("row, why", [({"ips": ["192.0.2.1"]}, "ips"), ({"watch": True}, "watch"),
                                      ({"url": "ftp://example.com/"}, "url"), ({"url": "dns://example.com/"}, "url"), ({"ca": "none.pem"}, "authorities")])
def test_what_does_not_load(origin, tmp_path, row, why):
    (tmp_path / "sallyport.yaml").write_text(json.dumps(config(origin, "https://example.com/", **row) if "url" not in row
                                                        else config(origin, row["url"])))
    done = command("check", "-c", tmp_path / "sallyport.yaml", cwd=str(tmp_path))
    assert done.returncode == 2 and why in done.stderr + done.stdout
