"""Tests of the Core Rule Set in their YAML format: what is sent, and what is expected.

Both generations of the format: that of CRS 3 (stages[].stage, log_contains, stop_magic) and that of
CRS 4 (stages[].input, log.expect_ids, autocomplete_headers).
"""
import base64
import os
import re
import urllib.parse

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FORM = b"application/x-www-form-urlencoded"
WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}
TEMPLATE = re.compile(rb'\{\{-?\s*"((?:[^"\\]|\\.)*)"\s*\|\s*repeat\s+(\d+)\s*-?\}\}')


class Test:
    """One test: its name (rule and number), the folder it is counted under, its stages."""

    def __init__(self, name, group, stages, enabled):
        self.name, self.group, self.stages, self.enabled = name, group, stages, enabled


def read_bytes(value):
    """A scalar of the file as the bytes it stands for."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode("utf-8", "surrogateescape")


def files_below(root):
    if os.path.isfile(root):
        return [root]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(root)
                  for name in names if name.endswith((".yaml", ".yml")))


def tests_of(path, document):
    digits = re.search(r"\d{6,7}", os.path.basename(path))
    rule = document.get("rule_id") or (int(digits.group()) if digits else 0)
    group = os.path.basename(os.path.dirname(path))
    enabled = (document.get("meta") or {}).get("enabled", True)
    for position, test in enumerate(document["tests"], 1):
        title = re.search(r"-(\d+)\w*$", str(test.get("test_title") or ""))
        number = test.get("test_id") or (int(title.group(1)) if title else position)
        stages = [stage.get("stage", stage) for stage in test.get("stages") or []]
        yield Test(f"{rule}-{number}", group,
                   [(stage.get("input") or {}, stage.get("output") or {}) for stage in stages],
                   bool(enabled) and bool(test.get("enabled", True)))


def load(root):
    """All tests of a file or below a folder, and the files that could not be read."""
    tests, broken = [], []
    for path in files_below(root):
        try:
            with open(path, "rb") as file:
                document = yaml.load(file, Loader=LOADER)
        except yaml.YAMLError as error:
            broken.append(f"{path}: {str(error).splitlines()[0]}")
            continue
        if isinstance(document, dict) and document.get("tests"):
            tests.extend(tests_of(path, document))
    return tests, broken


def quote_form(data):
    """Encodes names and values of a form, unless they look encoded already."""
    if b"%" in data or b"+" in data:
        return data
    pairs = []
    for pair in data.split(b"&"):
        name, equals, value = pair.partition(b"=")
        quoted = [urllib.parse.quote_plus(part, safe="~").encode() for part in (name, value)]
        pairs.append(quoted[0] + equals + (quoted[1] if equals else b""))
    return b"&".join(pairs)


def fields_of(given):
    fields = given.get("ordered_headers") or given.get("headers") or {}
    if isinstance(fields, list):
        return [(read_bytes(field["name"]), read_bytes(field.get("value"))) for field in fields]
    return [(read_bytes(name), read_bytes(value)) for name, value in fields.items()]


def values_of(answer, name):
    """The values of a field of an answer."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    return re.findall(rf"(?im)^{name}:[ \t]*(.*?)[ \t]*\r?$", head)


class Journey:
    """What the stages of a test hand on to each other: cookies, and where a redirect leads."""

    def __init__(self):
        self.cookies, self.answer, self.where = {}, b"", "/"

    def redirected(self):
        """The target that the last answer names, if it was a redirect."""
        location = values_of(self.answer, "location")
        if not location or not re.match(rb"HTTP/\d\.\d 30[012378] ", self.answer):
            return None
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(self.where, location[0]))
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def requests(self, given):
        """What a stage sends: as it says, with what stages before it have brought.

        No request at all where it follows a redirect that was none.
        """
        if given.get("follow_redirect"):
            target = self.redirected()
            targets = [] if target is None else [target]
        else:
            targets = given.get("uris") or [given.get("uri")]
        self.where = read_bytes(targets[-1] or "/").decode("latin-1") if targets else "/"
        fields = [{"name": name, "value": value} for name, value in fields_of(given)]
        if self.cookies and not any(field["name"].lower() == b"cookie" for field in fields):
            crumbs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            fields.append({"name": "Cookie", "value": crumbs})
        return [request_of({**given, "uri": target, "ordered_headers": fields})
                for target in targets]

    def arrived(self, given, answer):
        self.answer = answer
        for line in values_of(answer, "set-cookie") if given.get("save_cookie") else []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value.strip()


def body_of(given):
    data = given.get("data")
    if data is None and given.get("encoded_data"):
        return base64.b64decode(given["encoded_data"])
    if isinstance(data, list):
        return b"\r\n".join(read_bytes(line) for line in data)
    return TEMPLATE.sub(lambda found: found.group(1) * int(found.group(2)), read_bytes(data))


def completes(given):
    """Whether fields that a client would add are added."""
    if given.get("autocomplete_headers") is not None:
        return bool(given["autocomplete_headers"])
    return not given.get("stop_magic")


def request_of(given):
    """The bytes that a stage sends."""
    if given.get("encoded_request"):
        return base64.b64decode(given["encoded_request"])
    if given.get("raw_request"):
        return read_bytes(given["raw_request"])

    def line(key, usual):
        return read_bytes(usual if given.get(key) is None else given[key])

    method, uri, version = line("method", "GET"), line("uri", "/"), line("version", "HTTP/1.1")
    fields, body = fields_of(given), body_of(given)

    def values(name):
        return [value for field, value in fields if field.lower() == name]

    if body and completes(given):
        if not values(b"content-type"):
            fields.append((b"Content-Type", FORM))
        if any(value.lower() == FORM for value in values(b"content-type")):
            body = quote_form(body)
    if any(b"multipart/form-data;" in value.lower() for value in values(b"content-type")):
        body = re.sub(rb"(?<!\r)\n", b"\r\n", body)
    if completes(given):
        if not values(b"connection"):
            fields.append((b"Connection", b"close"))
        if not values(b"content-length") and (body or method.decode("latin-1").upper() in WITH_BODY):
            fields.append((b"Content-Length", str(len(body)).encode()))
    head = [method + b" " + uri + b" " + version]
    head += [name + b": " + value for name, value in fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


# ---- what is expected ---------------------------------------------------------------------------

class Outcome:
    """What came of one stage: no status where there was no answer."""

    def __init__(self, status, answer, matches, error=None):
        self.status, self.answer, self.matches, self.error = status, answer, matches, error

    def ids(self):
        return {int(match["rule"]) for match in self.matches}

    def log(self):
        """The matches as lines of a text log, which patterns of tests are written for.

        One line each: control characters are spelled, as that log spells them.
        """
        def spelled(text):
            return re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\x{ord(c.group()):02x}", text)

        lines = []
        for match in self.matches:
            line = f'[id "{match["rule"]}"]'
            for name, key in (("msg", "msg"), ("data", "logdata"), ("severity", "severity")):
                if match.get(key):
                    line += f' [{name} "{spelled(match[key])}"]'
            lines.append(line)
        return "\n".join(lines)


def listed(value):
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def complaints(expected, outcome):
    """Why a stage failed; nothing when it passed."""
    if expected.get("expect_error"):
        if outcome.error is None:
            yield f"status {outcome.status} where an error is expected"
        return
    if outcome.error is not None:
        yield f"no answer: {outcome.error}"
        return
    wanted = [int(status) for status in listed(expected.get("status"))]
    if wanted and outcome.status not in wanted:
        yield f"status {outcome.status}, expected {wanted}"
    needle = expected.get("response_contains") or expected.get("html_contains")
    if needle and not re.search(str(needle), outcome.answer.decode("utf-8", "replace")):
        yield f"the answer lacks {needle!r}"

    log, ids = expected.get("log") or {}, outcome.ids()
    for pattern, there in ((log.get("match_regex"), True), (log.get("no_match_regex"), False),
                           (expected.get("log_contains"), True),
                           (expected.get("no_log_contains"), False)):
        if pattern and bool(re.search(str(pattern), outcome.log())) != there:
            yield f'{"missing" if there else "unexpected"} {pattern} (logged {sorted(ids)})'
    missing = [rule for rule in listed(log.get("expect_ids")) if int(rule) not in ids]
    if missing:
        yield f"missing rules {missing} (logged {sorted(ids)})"
    extra = [rule for rule in listed(log.get("no_expect_ids")) if int(rule) in ids]
    if extra:
        yield f"unexpected rules {extra}"
    if expected.get("isolated") and len(ids) != 1:
        yield f"not isolated: {sorted(ids)}"
