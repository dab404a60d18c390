"""The command line: what is wrong is said with its place, what is right starts."""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import (BINARY, ENVIRONMENT, ROOT, Client, Origin, Sallyport, command, eventually, plain,
                     statistics)

MINIMAL = ("version: 1\nserver: {listen: {http: '127.0.0.1:0'}}\nsites:\n  - host: '*'\n    upstream: http://127.0.0.1:9\n"
           "    waf: {mode: off, ruleset: core}\n")  # to compile the Core Rule Set takes long in the checked build


@pytest.fixture
def check(tmp_path):
    """Checks a text; gives the finished command."""
    def run(text, *more, **options):
        path = tmp_path / "sallyport.yaml"
        path.write_text(text)
        return command("check", "-c", path, *more, cwd=str(tmp_path), **options)
    return run


def test_version():
    done = command("version")
    assert done.returncode == 0
    assert re.search(r"^sallyport \S+", done.stdout)
    for library in ("openssl", "hyperscan", "yaml", "sodium"):
        assert library in done.stdout.lower(), done.stdout


def test_version_as_json():
    assert isinstance(json.loads(command("version", "-o", "json").stdout), dict)


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["help", "run"], ["help", "check"], ["help", "reload"]])
def test_help(arguments):
    done = command(*arguments)
    assert done.returncode == 0 and len(done.stdout) > 100
    assert all(len(line) <= 110 for line in done.stdout.splitlines())


@pytest.mark.parametrize("arguments", [[], ["no-such-verb"], ["run", "--no-such-option"], ["check"], ["run"],
                                       ["run", "-c"], ["run", "--protect"], ["check", "-c", "a", "b"]])
def test_wrong_command_lines(arguments, tmp_path):
    done = command(*arguments, cwd=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr or done.stdout


def test_verb_is_suggested():
    assert "check" in command("chekc").stderr


def test_check_of_a_good_file(check):
    done = check(MINIMAL)
    assert (done.returncode, done.stderr) == (0, "") or done.returncode == 0


def test_unknown_key_is_located(check):
    done = check(MINIMAL.replace("upstream", "upsteam"))
    text = done.stdout + done.stderr
    assert done.returncode == 2
    assert re.search(r"sallyport\.yaml:5:5", text)
    assert "SP0103" in text and 'did you mean "upstream"' in text
    assert "upsteam: http://127.0.0.1:9" in text and "^^^^^^^" in text


def test_all_errors_at_once(check):
    done = check("version: 1\nserver:\n  workrs: 1\n  limits: {header: 9999GiB, idle: soon}\nsites:\n"
                 "  - host: a.test\n    upstream: ftp://x\n    mode: blok\n")
    text = done.stdout + done.stderr
    assert done.returncode == 2
    places = set(re.findall(r"sallyport\.yaml:(\d+:\d+)", text))
    assert {p.split(":")[0] for p in places} >= {"3", "4", "7", "8"}, text
    assert len(places) >= 5
    assert 'did you mean "workers"' in text and 'did you mean "block"' in text


@pytest.mark.parametrize("name,text,place", [
    ("not YAML", "version: 1\nsites: [\n", "sallyport.yaml:"),
    ("tab", "version: 1\nsites:\n\t- host: a\n", "sallyport.yaml:3:1"),
    ("duplicate key", "version: 1\nversion: 1\n" + MINIMAL.split("\n", 1)[1], "sallyport.yaml:2:1"),
    ("alias", "version: &v 1\nsites: *v\n", "sallyport.yaml:1:10"),
    ("wrong shape", "version: 1\nsites: {host: a}\n", "sallyport.yaml:2:"),
    ("missing host", "version: 1\nsites:\n  - upstream: http://127.0.0.1:9\n", "sallyport.yaml:3:"),
    ("no such list", MINIMAL + "    deny: [nobody-knows]\n", "sallyport.yaml:7:"),
    ("bad expression", MINIMAL.replace("mode: off", "rules: [{name: a, when: 'pth == 1', do: block}]"), "sallyport.yaml:6:"),
    ("bad address", MINIMAL + "    deny: {ips: [10.0.0.1/33]}\n", "sallyport.yaml:7:"),
    ("no such certificate", MINIMAL.replace("http:", "https:", 1) + "    tls: {cert: no.pem, key: no.key}\n", "sallyport.yaml:7:"),
    ("two sites of one name", MINIMAL + "  - host: '*'\n    upstream: http://127.0.0.1:9\n", "sallyport.yaml:"),
    ("bad redirect", MINIMAL + "    routes: [{path: /x, redirect: {to: /y, status: 200}}]\n", "sallyport.yaml:7:"),
    ("bad pattern", MINIMAL.replace("mode: off", "rules: [{name: a, match: '(', in: args, do: block}]"), "sallyport.yaml:6:"),
])
def test_located(check, name, text, place):
    done = check(text)
    assert done.returncode == 2
    assert place in done.stdout + done.stderr


def test_errors_as_json(check):
    done = check(MINIMAL.replace("upstream", "upsteam"), "-o", "json")
    said = json.loads(done.stdout)
    text = json.dumps(said)
    assert done.returncode == 2
    assert "SP0103" in text and '"line": 5' in text and '"column": 5' in text


def test_missing_file(tmp_path):
    for verb in ("check", "run"):
        done = command(verb, "-c", tmp_path / "nowhere.yaml")
        assert done.returncode == 2 and "nowhere.yaml" in done.stdout + done.stderr


def test_pipeline(check):
    done = check(MINIMAL + "    limits: ['10/s']\n    routes:\n      - {path: /a/**, waf: {mode: detect}}\n",
                 "--print", "pipeline")
    assert done.returncode == 0
    assert "/a/**" in done.stdout and "detect" in done.stdout and "limits" in done.stdout


def test_config_print_schema_explain(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL)
    assert "upstream" in command("config", "print", "-c", path).stdout
    assert json.loads(command("config", "schema").stdout)
    assert "workers" in command("config", "explain", "server.workers").stdout
    assert "No option of this name" in command("config", "explain", "SP0103").stdout


def test_config_as_json(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL + "    limits: ['10/s']\n    routes:\n      - {path: /a/**, waf: {mode: detect}}\n")
    said = json.loads(command("config", "print", "-c", path, "-o", "json").stdout)
    site = said["sites"][0]
    assert site["upstream"]["servers"][0]["weight"] == 1 and site["websocket"] is True
    assert site["routes"][0]["path"] == "/a/**" and site["routes"][0]["waf"]["mode"] == "detect"
    # What is printed for people says the same.
    printed = tmp_path / "printed.yaml"
    printed.write_text(command("config", "print", "-c", path).stdout)
    assert json.loads(command("config", "print", "-c", printed, "-o", "json").stdout) == said
    assert json.loads(command("config", "schema", "-o", "json").stdout)
    row = json.loads(command("config", "explain", "server.workers", "-o", "json").stdout)
    assert row["key"] == "server.workers" and row["default"] == "0" and row["help"]
    assert json.loads(command("config", "explain", "SP0103", "-o", "json").stdout)["code"] == "SP0103"
    assert command("config", "manual", "-o", "json").returncode == 2
    assert command("config", "explain", "server.workers", "-o", "xml").returncode == 2
    chain = json.loads(command("check", "-c", path, "--print", "pipeline", "-o", "json").stdout)
    routes = chain["sites"][0]["routes"]
    assert [route["path"] for route in routes] == ["/a/**", "default"]
    assert {"phase": "request_head", "stage": "waf", "mode": "detect", "on_error": "deny"} in routes[0]["stages"]
    assert routes[1]["handler"] == "upstream" and routes[1]["servers"]


def test_explain_knows_what_was_meant():
    for asked, meant in (("server.limit.body", "server.limits.body"), ("conns_per_ip", "server.limits.conns_per_ip"),
                         ("sites.waf.rulset", "sites.waf.ruleset"), ("waf.mode", "mean sites.waf.mode?")):
        done = command("config", "explain", asked)
        assert done.returncode == 2 and "did you mean" in done.stderr and meant in done.stderr


def test_explain_knows_what_answers_and_records_say():
    for reason, said in (("http-length", "400. The Content-Length is malformed."), ("no-site", "404. No site")):
        done = command("config", "explain", reason)
        assert done.returncode == 0 and said in done.stdout
        assert json.loads(command("config", "explain", reason, "-o", "json").stdout)["reason"] == reason
    done = command("config", "explain", "http-lenght")
    assert done.returncode == 2 and not done.stdout


@pytest.mark.parametrize("verb", ["run", "check", "reload", "stop", "status", "config", "version", "help"])
def test_help_behind_any_verb(verb):
    for flag in ("--help", "-h"):
        for arguments in ([verb, flag], [verb, flag, "--no-such-flag"]):
            done = command(*arguments)
            assert done.returncode == 0 and done.stdout.startswith(f"sallyport {verb}") and not done.stderr


def test_run_refuses_a_bad_file(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(MINIMAL.replace("upstream", "upsteam"))
    done = command("run", "-c", path)
    assert done.returncode == 2
    assert "bad.yaml:5:5" in done.stderr and "ready" not in done.stdout


def test_run_says_when_a_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "taken.yaml"
        path.write_text(MINIMAL.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = command("run", "-c", path)
    assert done.returncode != 0 and str(port) in done.stderr


def test_ready_line_and_stop(origin):
    with Sallyport(plain(origin)) as gateway:
        assert re.fullmatch(r"ready http=127\.0\.0\.1:\d+ control=\S*control\.sock pid=\d+", gateway.ready_line)
        assert gateway.ask().status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(5) == 0
        assert [row for row in gateway.tree()] == []


def has_ipv6():
    """Many containers have no ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def test_several_listeners(origin):
    hosts = ["127.0.0.1", "127.0.0.1", "::1" if has_ipv6() else "127.0.0.2"]
    listens = [f"[{host}]:0" if ":" in host else f"{host}:0" for host in hosts]
    with Sallyport(plain(origin, server={"listen": {"http": listens}})) as gateway:
        assert len(gateway.ports["http"]) == 3
        for host, port in zip(hosts, gateway.ports["http"]):
            with Client((host, port)) as client:
                assert client.ask().status == 200


def test_protect(origin):
    """No file at all: everything on by default, on loopback, on the next free port if 8080 is taken."""
    with Sallyport(None, arguments=["run", "--protect", origin.url]) as gateway:
        listens = dict(gateway.said)["http"]
        assert listens.startswith("127.0.0.1:80")
        answer = gateway.ask()
        assert answer.status == 200 and answer.body == b"origin"
        assert answer.get("x-content-type-options") == "nosniff"
        assert gateway.ask(path="/?q=%27%20OR%201=1--").status == 403
        assert gateway.ask(path="/?q=%3Cscript%3Ealert(1)%3C/script%3E").status == 403
        with Sallyport(None, arguments=["run", "--protect", origin.url]) as second:
            assert dict(second.said)["http"] != listens
            assert second.ask().status == 200


def test_protect_refuses_garbage():
    assert command("run", "--protect", "not a url").returncode == 2


def test_interrupt_from_the_terminal(origin):
    """Ctrl-C goes to the whole group; the master alone decides, and the end is clean."""
    with Sallyport(plain(origin)) as gateway:
        os.killpg(os.getpgid(gateway.process.pid), signal.SIGINT)
        assert gateway.process.wait(5) == 0
        assert gateway.tree() == []


def test_output_to_a_closed_pipe():
    """`sallyport help | head -1` is no error worth a trace."""
    process = subprocess.Popen([BINARY, "help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    assert b"Sanitizer" not in process.stderr.read()
    process.wait(10)


def test_status(origin):
    with Sallyport(plain(origin)) as gateway:
        gateway.ask()
        done = command("status", "-c", gateway.config_path, cwd=gateway.folder)
        assert done.returncode == 0 and "worker" in done.stdout
        assert json.loads(command("status", "-c", gateway.config_path, "-o", "json", cwd=gateway.folder).stdout)


def test_status_without_a_gateway(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL + "")
    assert command("status", "-c", path, cwd=str(tmp_path)).returncode not in (0, -6, -11)


def test_hosts_and_unknown_hosts(origin):
    with Origin(name="b") as other:
        config = plain(origin, host=["a.test", "*.wild.test"])
        config["sites"].append({**config["sites"][0], "host": "b.test", "upstream": other.url})
        with Sallyport(config) as gateway:
            assert gateway.ask(host="a.test").body == b"origin"
            assert gateway.ask(host="A.Test.:8080").body == b"origin"
            assert gateway.ask(host="x.y.wild.test").body == b"origin"
            assert gateway.ask(host="b.test").body == b"b"
            with gateway.client() as client:
                assert client.ask(host="wild.test").status == 404
                assert client.closed()
        config["server"]["unknown_host"] = "404"
        with Sallyport(config) as gateway, gateway.client() as client:
            assert client.ask(host="unknown.test").status == 404
            assert client.ask(host="b.test").status == 200


def test_routes_in_order(origin):
    routes = [{"path": "/a/b", "respond": {"status": 201}},
              {"path": "/a/**", "methods": ["POST"], "respond": {"status": 202}},
              {"path": "/a/*/c", "respond": {"status": 203}},
              {"path": "/*.php", "respond": {"status": 403}}]
    with Sallyport(plain(origin, routes=routes)) as gateway:
        for method, path, status in [("GET", "/a/b", 201), ("POST", "/a/b", 201), ("POST", "/a/x", 202),
                                     ("GET", "/a/x", 200), ("GET", "/a/x/c", 203), ("GET", "/a/x/y/c", 200),
                                     ("GET", "/x.php", 403), ("GET", "/a/x.php", 200), ("GET", "/a/bb", 200)]:
            assert gateway.ask(method, path).status == status, (method, path)


def test_includes_and_environment(origin, tmp_path):
    config = "version: 1\ninclude: [conf.d/*.yaml]\nserver:\n  listen: {http: '$(env:TEST_LISTEN)'}\n  control: control.sock\n"
    site = f"sites:\n  - host: '*'\n    waf: off\n    upstream: {origin.url}\n"
    with Sallyport(None, start=False, env={"TEST_LISTEN": "127.0.0.1:0"}) as gateway:
        os.mkdir(gateway.folder + "/conf.d")
        gateway.configure(config)
        gateway.write("conf.d/site.yaml", site)
        gateway.start()
        assert gateway.ask().status == 200


def test_time_is_not_wasted_while_idle(origin):
    """No timer spins: a second without requests costs next to nothing."""
    with Sallyport(plain(origin)) as gateway:
        gateway.ask()
        eventually(lambda: gateway.records(), what="the first record")
        before = sum(statistics(row.pid)[2] for row in gateway.tree())
        time.sleep(1)
        assert sum(statistics(row.pid)[2] for row in gateway.tree()) - before <= 0.05


SHIPPED = sorted(os.path.relpath(path, ROOT) for pattern in ("conf/sallyport.yaml", "conf/examples/*.yaml")
                 for path in glob.glob(os.path.join(ROOT, pattern)))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations(name, tmp_path, authority):
    """They are good as they are, once the files that they name are there."""
    shutil.copy(os.path.join(ROOT, name), tmp_path / "s.yaml")
    (tmp_path / "users").write_text("ann:$6$rounds=1000$saltsalt$" + "a" * 86 + "\n")
    os.chmod(tmp_path / "users", 0o600)
    done = command("users", "add", "ann", "--file", tmp_path / "users.db", input="correct horse battery\n")
    assert done.returncode == 0, done.stderr
    (tmp_path / "abusers.txt").write_text("192.0.2.7\n")
    (tmp_path / "tls").mkdir()
    for pair in ("ledger", "gateway"):
        shutil.copy(authority.ca.cert, tmp_path / "tls" / f"{pair}.crt")
        shutil.copy(authority.ca.key, tmp_path / "tls" / f"{pair}.key")
    for ca in ("staff-ca", "backend-ca"):
        shutil.copy(authority.ca.cert, tmp_path / "tls" / f"{ca}.crt")
    done = command("check", "-c", tmp_path / "s.yaml", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_examples():
    assert len(SHIPPED) >= 6
