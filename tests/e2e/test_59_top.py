"""`top` shows rates, from the metrics, through the control socket."""
import json
import threading

from harness import Sallyport, command, plain

RULES = [{"name": "no-evil", "match": "evil", "in": "args", "do": "block"}]


def test_rates(origin):
    with Sallyport(plain(origin, waf={"mode": "block", "ruleset": "none", "rules": RULES})) as gateway:
        for number in range(10):
            gateway.ask(path="/?q=evil" if number % 2 else "/")
        stop = threading.Event()

        def load():
            while not stop.is_set():
                gateway.ask()
        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        done = command("top", "--control", gateway.control, "--every", "1s", "--count", "2", "-o", "json", timeout=60)
        human = command("top", "-c", gateway.config_path, "--every", "1s", "--count", "1", timeout=60, cwd=gateway.folder)
        stop.set()
        thread.join(20)
        assert done.returncode == 0, done.stderr
        looks = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(looks) == 2
        assert looks[1]["sallyport_requests_total"]["rate"] > 0
        assert looks[1]["sallyport_requests_denied_total"] == {"rate": 0.0, "total": 5}
        assert human.returncode == 0 and "\033" not in human.stdout
        assert 'stage="waf",action="deny"' in human.stdout and "requests" in human.stdout


def test_misuse_and_absence_are_said(tmp_path):
    assert command("top", "--every", "never", "--control", "x").returncode == 2
    assert command("top", "--count", "x", "--control", "x").returncode == 2
    done = command("top", "--control", str(tmp_path / "none.sock"))
    assert done.returncode != 0 and "cannot reach" in done.stderr
