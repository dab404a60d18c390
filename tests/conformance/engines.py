"""What requests are sent through: the gateway, or a driver of one of the evaluators.

Each has send(request, patience), which returns an ftw.Outcome.
"""
import json
import os
import re
import select
import socket
import subprocess
import time

import ftw
import origin

READY_SECONDS = 600
LOG_SECONDS = 5.0

CONFIGURATION = """\
version: 1
server:
  listen: {{http: "127.0.0.1:{port}"}}
  workers: 1
  control: "{folder}/control.sock"
audit: {{file: "{folder}/audit.jsonl", record: [all]}}
sites:
  - host: "*"
    upstream: http://127.0.0.1:{upstream}
    limits: []
    bans: off
    bots: {{mode: off}}
    headers: off
    waf:
      mode: detect
      ruleset: crs
      crs: {{path: "{rules}", setup: [{setup}]}}
      seclang: {{before: ["{before}"]}}
      paranoia: 4
      response: true
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NoAnswer(Exception):
    pass


class Reply:
    """An answer as it is read from a connection."""

    def __init__(self, connection, deadline):
        self.connection, self.deadline, self.data, self.ended = connection, deadline, b"", False

    def more(self):
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.connection], [], [], left)[0]:
            raise NoAnswer(f"nothing more after {len(self.data)} bytes")
        try:
            chunk = self.connection.recv(65536)
        except OSError:
            chunk = b""
        self.ended = not chunk
        self.data += chunk

    def head(self):
        """The status of the final answer; what stands before its body is taken off."""
        while True:
            while b"\r\n\r\n" not in self.data and not self.ended:
                self.more()
            head, found, rest = self.data.partition(b"\r\n\r\n")
            status = re.match(rb"HTTP/\d\.\d (\d{3})", head)
            if not found or not status:
                raise NoAnswer(f"closed after {len(self.data)} bytes")
            if int(status.group(1)) >= 200:
                return int(status.group(1)), head
            self.data = rest

    def rest(self):
        try:
            while not self.ended:
                self.more()
        except NoAnswer:
            pass


def exchange(port, request, patience):
    """Sends bytes on a connection of their own. Status, and all that was answered."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=patience)
    except OSError as error:
        raise NoAnswer(str(error)) from error
    with connection:
        try:
            connection.sendall(request)
        except OSError:
            pass  # the other side may have answered early
        reply = Reply(connection, time.monotonic() + patience)
        status, head = reply.head()
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if re.search(rb"(?i)\r\nconnection: *close", head):
            reply.rest()
        elif length and not request.startswith(b"HEAD "):
            wanted = len(head) + 4 + int(length.group(1))
            while len(reply.data) < wanted and not reply.ended:
                reply.more()
        return status, reply.data


class Gateway:
    """The gateway with a rule set, in front of a server that answers as it is asked to."""

    def __init__(self, binary, crs, before, folder):
        self.folder, self.origin, self.port = folder, origin.Origin(), free_port()
        self.origin.__enter__()
        configuration = os.path.join(folder, "sallyport.yaml")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(
                port=self.port, upstream=self.origin.port, folder=folder, rules=crs.rules,
                setup=", ".join(f'"{path}"' for path in crs.setup), before=before))
        self.errors = open(os.path.join(folder, "errors"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([binary, "run", "-c", configuration], text=True,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.await_ready()
        self.audit = AuditFile(os.path.join(folder, "audit.jsonl"))

    def await_ready(self):
        ready, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        if ready and self.process.stdout.readline().startswith("ready"):
            return
        self.close()
        self.errors.seek(0)
        raise SystemExit(f"the gateway did not start:\n{self.errors.read()[-4000:]}")

    def send(self, request, patience):
        self.audit.skip()
        try:
            status, answer = exchange(self.port, request, patience)
        except NoAnswer as why:
            return ftw.Outcome(None, b"", self.audit.next(0.3), str(why))
        return ftw.Outcome(status, answer, self.audit.next(LOG_SECONDS))

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.origin.__exit__()


class AuditFile:
    """The records that come in at the end of a file."""

    def __init__(self, path):
        deadline = time.monotonic() + LOG_SECONDS
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.file = open(path, "rb")
        self.partial = b""

    def lines(self):
        *complete, self.partial = (self.partial + self.file.read()).split(b"\n")
        return complete

    def skip(self):
        self.lines()

    def next(self, patience):
        """The matches of the next record: requests go one at a time, so it is this one's."""
        deadline = time.monotonic() + patience
        while True:
            for line in self.lines():
                record = json.loads(line)
                if "http" in record or "sallyport" in record:
                    return record.get("sallyport", {}).get("matches", [])
            if time.monotonic() > deadline:
                return []
            time.sleep(0.001)


class Driver:
    """A program that reads requests and answers and prints what an evaluator logged for them."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self.process.stdout.readline().startswith(b"ready"):
            raise SystemExit("the driver did not start")

    def send(self, request, _patience):
        answer = reflected(request)
        frame = b"%d %d\n" % (len(request), len(answer)) + request + answer
        self.process.stdin.write(frame)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the driver ended")
        said = json.loads(line)
        status = said["status"]
        if status == 0:
            return ftw.Outcome(None, b"", said["matches"], "the request is not complete")
        return ftw.Outcome(status, answer, said["matches"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def reflected(request):
    """The answer that the server would give."""
    head, _, body = request.partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0].decode("latin-1").split()
    if len(line) < 2:
        line = ["GET", "/"]
    return origin.answer_bytes(line[0], line[1], body)
