#!/usr/bin/env python3
"""The pages against the binary and the tables that they are made from.

    tests/docs.sh            compare; "N passed, N failed", exit status 0 or 1
    tests/docs.sh --write    make what is generated anew

Generated: docs/reference.md, docs/schema.json, docs/errors.md, and the process table in
SECURITY.md. Checked besides: every whole configuration in the pages passes `sallyport check`,
every link between pages leads somewhere, and the pages name every stage, every word of the
expression language and every command.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = (ROOT / os.environ.get("SALLYPORT", "build/debug/sallyport")).resolve()
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
BEGIN, END = "<!-- processes: begin -->\n", "<!-- processes: end -->"
# The public key of RFC 8037, appendix A.
JWKS = '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
# Rules are compiled: see tests/e2e/harness.py.
COMPILING = {**os.environ, "ASAN_OPTIONS": "malloc_context_size=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}
WORDS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'


def sallyport(*arguments):
    """What the command prints; a failure of it ends the run with its words."""
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"docs: sallyport {' '.join(arguments)}: {done.returncode}\n{done.stderr}")
    return done.stdout


# ---- generated pages ----


def plain(words):
    """Adjacent C strings as one text, for a cell of a table."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', words)
    return re.sub(r"\\(.)", r"\1", "".join(parts)).replace("|", "\\|")


def rows(path, macro, pattern):
    """The arguments of each line of a .def file, as `pattern` has them."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)
    found = re.findall(macro + r"\(" + pattern + r"\s*\)", text)
    assert len(found) == len(re.findall(rf"^{macro}\(", text, re.MULTILINE)), path
    return found


def errors_page():
    lines = [
        "# Errors",
        "",
        "Three lists: what `sallyport check` says, why a request was answered by the gateway",
        "itself, and why its parser refused a message. Made from the tables in the sources",
        "(`conf/diag.def`, `gateway/chain/reason.def`, `gateway/http/http_error.def`) by",
        "`tests/docs.sh --write`.",
        "",
        "## Configuration",
        "",
        "Codes never change their meaning. SP01: the file; SP02: values; SP03: expressions;",
        "SP04: the whole.",
        "",
        "| code | what is wrong | what to do |",
        "|---|---|---|",
    ]
    for _, code, cause, remedy in rows(
        "conf/diag.def", "DIAG", rf"(\w+),\s*{WORDS},\s*{WORDS},\s*{WORDS}"
    ):
        lines.append(f"| `{plain(code)}` | {plain(cause)} | {plain(remedy)} |")
    lines += [
        "",
        "## Answers of the gateway",
        "",
        "The reason stands in the audit record (`event.reason`, `sallyport.reason`) and in the",
        "`reason` member of a problem document. The text is what the page says to the visitor.",
        "",
        "| reason | status | title | text |",
        "|---|---|---|---|",
    ]
    for name, slug, status, title, text in rows(
        "gateway/chain/reason.def", "REASON", rf"(\w+),\s*{WORDS},\s*(\d+),\s*{WORDS},\s*{WORDS}"
    ):
        if name != "NONE":
            lines.append(f"| `{plain(slug)}` | {status} | {plain(title)} | {plain(text)} |")
    lines += [
        "",
        "## Messages that the parser refuses",
        "",
        "The slug stands in `sallyport.detail` of the record. The client sees the status and a",
        "page without the detail. Messages of clients and answers of upstreams go through the",
        "same checks; for an answer of an upstream the client gets 502.",
        "",
        "| detail | status | why |",
        "|---|---|---|",
    ]
    for _, status, slug, text in rows(
        "gateway/http/http_error.def", "HTTP_ERROR", rf"(\w+),\s*(\d+),\s*{WORDS},\s*{WORDS}"
    ):
        lines.append(f"| `{plain(slug)}` | {status} | {plain(text)} |")
    return "\n".join(lines) + "\n"


def security_page(old):
    before, _, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit("docs: SECURITY.md has no place for the process table")
    return before + BEGIN + sallyport("config", "processes") + END + after


def generated():
    """Each page, and what should be in it."""
    security = ROOT / "SECURITY.md"
    yield ROOT / "docs/reference.md", sallyport("config", "manual")
    yield ROOT / "docs/schema.json", sallyport("config", "schema")
    yield ROOT / "docs/errors.md", errors_page()
    yield security, security_page(security.read_text())


def write():
    for page, text in generated():
        page.write_text(text)


def check_generated():
    for page, text in generated():
        good = page.exists() and page.read_text() == text
        yield good, f"{page.relative_to(ROOT)} is not what tests/docs.sh --write makes"


# ---- examples ----

KEY_COMMAND = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
HASH = "$6$saltsaltsalt$" + "a" * 86


def stub(folder, name, pair):
    """A file that an example names, by what its name ends with."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        ".crt": pair[0],
        ".pem": pair[0],
        ".key": pair[1],
        ".txt": "192.0.2.0/24\n",
        ".htpasswd": f"ann:{HASH}\n",
        ".secret": f"{HASH}\n",
        ".jwks": JWKS,
        ".keys": "# none\n",
    }
    path.write_text(texts[path.suffix])
    path.chmod(0o600)


def make_pair(folder):
    command = KEY_COMMAND.split() + ["-subj", "/CN=example.com"]
    command += ["-keyout", folder / "k", "-out", folder / "c"]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "c").read_text(), (folder / "k").read_text()


def examples():
    """(page, line, text) of each configuration that is whole."""
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if match.group(1).startswith("version:"):
                line = text.count("\n", 0, match.start()) + 1
                yield page.relative_to(ROOT), line, match.group(1)


def check_example(pair, text):
    """The finished `sallyport check` of one configuration, in a folder with stubs for its files."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in re.findall(r"(?<![\w/.-])[\w./-]+\.(?:crt|pem|keys|key|txt|htpasswd|secret|jwks)\b", text):
            stub(folder, file, pair)
        config = folder / "sallyport.yaml"
        config.write_text(text)
        return subprocess.run(
            [BINARY, "check", "-c", config], capture_output=True, text=True, timeout=120, env=COMPILING
        )


def check_examples():
    """Several at a time: each compiles the rule set."""
    found = list(examples())
    yield len(found) > 0, "no page has a whole configuration"
    with tempfile.TemporaryDirectory() as name:
        pair = make_pair(pathlib.Path(name))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda example: check_example(pair, example[2]), found)
        for (page, line, _), done in zip(found, runs):
            yield done.returncode == 0, f"{page}:{line}: {done.stdout}{done.stderr}"


def check_links():
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            target = target.split("#")[0]
            if target and "://" not in target and not target.startswith("mailto:"):
                there = (page.parent / target).exists()
                yield there, f"{page.relative_to(ROOT)}: {target} is not there"


def check_mentions():
    """What the sources name, and the page that must have it."""
    tables = [
        ("gateway/chain/scope.c", r'^\s*\{ "([\w.]+)", EXPR_', "docs/configuration.md", "`{}{}`"),
        ("gateway/stages.c", r"&(\w+)_stage,", "docs/configuration.md", "| `{}` |"),
        ("gateway/cli/verbs.c", r'\.name = "(\w+)"', "docs/operations.md", "`sallyport {}"),
    ]
    for source, pattern, page, form in tables:
        names = re.findall(pattern, (ROOT / source).read_text(), re.MULTILINE)
        text = (ROOT / page).read_text()
        yield len(names) > 0, f"{source}: nothing found"
        for name in names:
            found = any(form.format(name, after) in text for after in ("", '("x")'))
            yield found, f"{page} does not have {name} of {source}"


def check_chain():
    """docs/architecture.md has each phase's stages, in the order of gateway/stages.c."""
    order = re.findall(r"&(\w+)_stage,", (ROOT / "gateway/stages.c").read_text())
    bodies = {}
    for folder in ("geoip", "ratelimit", "rules", "auth"):
        for source in (ROOT / folder).rglob("*.c"):
            pattern = r"^const struct stage_type (\w+)_stage = \{$(.*?)^\};$"
            bodies.update(re.findall(pattern, source.read_text(), re.MULTILINE | re.DOTALL))
    page = (ROOT / "docs/architecture.md").read_text()
    for phase in ("request_head", "request_body", "response_head", "response_body"):
        stages = [name for name in order if f"[PHASE_{phase.upper()}]" in bodies.get(name, "")]
        row = f"| | chain, `{phase}` | " + ", ".join(f"`{name}`" for name in stages)
        yield len(stages) > 0 and row in page, f"docs/architecture.md lacks: {row}"


def main():
    if sys.argv[1:] == ["--write"]:
        write()
        return
    results = [*check_generated(), *check_examples(), *check_links(), *check_mentions(),
               *check_chain()]
    wrong = [why for good, why in results if not good]
    for why in wrong:
        print(f"docs: {why}")
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(1 if wrong else 0)


main()
