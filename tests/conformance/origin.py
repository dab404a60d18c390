"""A server that answers as the request's body says (/reflect), with /status/N, or with nothing."""
import asyncio
import base64
import json
import re
import threading


def answer(target, body):
    """Status, fields and body for a request."""
    path = target.split("?")[0]
    status = re.search(r"/status/(\d{3})$", path)
    if status:
        return int(status.group(1)), {"Content-Type": "text/plain"}, b""
    if not path.endswith("/reflect"):
        return 200, {"Content-Type": "text/plain; charset=utf-8"}, b""
    try:
        asked = json.loads(body)
        assert isinstance(asked, dict)
    except (ValueError, AssertionError):
        return 400, {"Content-Type": "text/plain"}, b"the body says nothing"
    fields = {"Content-Type": "text/plain; charset=utf-8"}
    for name, value in (asked.get("headers") or {}).items():
        fields = {key: old for key, old in fields.items() if key.lower() != name.lower()}
        fields[name] = str(value)
    if asked.get("encodedBody"):
        content = base64.b64decode(asked["encodedBody"])
    else:
        content = str(asked.get("body", "")).encode()
    return int(asked.get("status") or 200), fields, content


def answer_bytes(method, target, body, keep=True):
    """The answer as it stands on the wire."""
    status, fields, content = answer(target, body)
    bodiless = status in (204, 304)
    lines = [f"HTTP/1.1 {status} Answer"] + [f"{name}: {value}" for name, value in fields.items()]
    if not bodiless:
        lines.append(f"Content-Length: {len(content)}")
    lines.append(f'Connection: {"keep-alive" if keep else "close"}')
    head = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"
    return head + (b"" if bodiless or method == "HEAD" else content)


async def read_chunks(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0] or b"0", 16)
        if size == 0:
            while (await reader.readline()).strip():
                pass
            return body
        body += await reader.readexactly(size)
        await reader.readline()


async def serve_one(reader, writer):
    """Reads a request and answers it. False: the connection is over."""
    line = (await reader.readline()).decode("latin-1").split()
    if len(line) < 2:
        return False
    fields = {}
    while True:
        field = (await reader.readline()).decode("latin-1")
        if not field.strip():
            break
        name, _, value = field.partition(":")
        fields[name.strip().lower()] = value.strip()
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = await read_chunks(reader)
    else:
        body = await reader.readexactly(int(fields.get("content-length") or 0))
    keep = "close" not in fields.get("connection", "").lower()
    writer.write(answer_bytes(line[0], line[1], body, keep))
    await writer.drain()
    return keep


async def serve(reader, writer):
    try:
        while await serve_one(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


class Origin:
    """The server, in a thread of its own, on a free port."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        starting = asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22)
        self.server = self.loop.run_until_complete(starting)
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
