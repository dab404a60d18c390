"""A real browser signs in to a dashboard by form and second factor: Chromium, over its own pipe."""
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest
from harness import Origin, Sallyport, command, eventually, plain, response, says
from test_65_login import PASSWORD, enrol, fresh_step, totp

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PAGE = b"<!doctype html><title>Boards</title><h1 id=in>inside</h1>"


class Chromium:
    """The few commands of the DevTools protocol that a person's clicks come to; NUL ends a message."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sallyport-chromium-")
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()

        def place():
            # Above both first, so that neither lands on the other.
            read, write = os.dup2(to_read, 50), os.dup2(to_write, 51)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={self.folder}", "--remote-debugging-pipe", "about:blank"],
            close_fds=False, preexec_fn=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        os.set_blocking(self.of, False)
        self.number, self.buffer, self.session = 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        os.close(self.to)
        os.close(self.of)
        shutil.rmtree(self.folder, ignore_errors=True)

    def message(self, end):
        while b"\0" not in self.buffer:
            assert time.monotonic() < end and self.process.poll() is None, "chromium does not answer"
            try:
                self.buffer += os.read(self.of, 65536)
            except BlockingIOError:
                time.sleep(0.02)
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            answer = self.message(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script):
        return self.call("Runtime.evaluate", expression=script)["result"].get("value")

    def wait(self, script, what):
        return eventually(lambda: self.run(script), 60, what)

    def fill(self, **fields):
        """As a person does, by keys: the page's policy allows no script of its own."""
        for name, value in fields.items():
            self.run(f"document.getElementById('{name}').focus()")
            self.call("Input.insertText", text=value)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                      windowsVirtualKeyCode=13)


def test_a_real_browser_signs_in_and_out():
    page = response(200, PAGE, [("Content-Type", "text/html")])
    with Origin(says(page)) as origin, Sallyport(plain(origin, login="users.db"), start=False) as gateway:
        done = command("users", "add", "ann", "-c", gateway.config_path, cwd=gateway.folder, input=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr
        told = enrol(gateway, "ann")
        gateway.start()
        url = "http://{}:{}/boards?id=7".format(*gateway.address())
        with Chromium() as browser:
            browser.call("Page.navigate", url=url)
            browser.wait("!!document.getElementById('password')", "the form")
            assert browser.run("getComputedStyle(document.querySelector('button')).cursor") == "pointer"  # styled
            browser.fill(user="ann", password=PASSWORD)
            browser.wait("!!document.getElementById('code')", "the second step")
            browser.fill(code=totp(told["secret"], fresh_step()))
            browser.wait("!!document.getElementById('in')", "the dashboard")
            assert browser.run("location.pathname + location.search") == "/boards?id=7"
            assert browser.run("document.cookie") == ""  # out of reach of scripts
            browser.call("Page.navigate", url=url.replace("/boards?id=7", "/.sallyport/login/out"))
            browser.wait("document.title.startsWith('Signed in')", "who is signed in")
            browser.run("document.querySelector('button').click()")
            browser.wait("document.title.startsWith('Signed out')", "the end")
            browser.call("Page.navigate", url=url)
            browser.wait("!!document.getElementById('password')", "the form again")
