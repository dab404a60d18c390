#!/usr/bin/env python3
"""Includes point down the layers, start at the root, and never go round.

A folder may include itself and every folder of a row above its own in LAYERS, but none of its own
row: neighbours do not know one another. The last row is the one exception: it is one layer.
"""
import os
import re
import sys

LAYERS = [
    ["gateway/base"],
    ["conf", "gateway/net", "gateway/http"],
    ["gateway/http1", "gateway/http2", "gateway/audit"],
    ["gateway/chain"],
    ["gateway/upstream", "gateway/store"],
    ["geoip", "ratelimit", "auth", "rules"],
    ["gateway/acme"],
    ["gateway", "gateway/process", "gateway/steward", "gateway/cli"],
]
RANK = {folder: rank for rank, row in enumerate(LAYERS) for folder in row}
TOP = len(LAYERS) - 1
ROOTS = ["gateway", "geoip", "ratelimit", "auth", "rules", "conf"]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def layer_of(path):
    """The longest folder of the table that holds the file; None where there is none."""
    folder = os.path.dirname(path)
    while folder and folder not in RANK:
        folder = os.path.dirname(folder)
    return folder or None


def complaint(includer, included):
    """Why the one may not include the other, or None."""
    upper, lower = layer_of(includer), layer_of(included)
    if lower is None:
        return "is in no layer: includes start at the root"
    if upper == lower or RANK[lower] < RANK[upper] or RANK[lower] == RANK[upper] == TOP:
        return None
    if RANK[lower] == RANK[upper]:
        return f"{upper} and {lower} are neighbours and do not know one another"
    return f"{lower} is above {upper}"


def complaints(files):
    """`files` maps paths to contents. Yields one line for each include that is wrong."""
    for path, content in sorted(files.items()):
        layer = layer_of(path)
        # Only gateway/ itself holds files that are in no deeper folder of the table.
        if layer is None or (layer == "gateway" and os.path.dirname(path) != "gateway"):
            yield f"{path}: its folder is in no layer"
            continue
        for match in INCLUDE.finditer(content):
            line = content.count("\n", 0, match.start()) + 1
            why = complaint(path, match.group(1))
            if why:
                yield f"{path}:{line}: {match.group(1)}: {why}"


def self_test():
    """The table catches what it is for; each row: includer, included, whether that is allowed."""
    cases = [
        ("gateway/base/text.c", "gateway/base/text.h", True),
        ("gateway/base/text.c", "gateway/net/loop.h", False),
        ("gateway/http/head.c", "gateway/base/span.h", True),
        ("gateway/http/head.c", "gateway/net/loop.h", False),
        ("gateway/net/conn.c", "gateway/http/head.h", False),
        ("conf/yaml.c", "gateway/http/uri.h", False),
        ("gateway/http1/session.c", "gateway/http/stream.h", True),
        ("gateway/http2/session.c", "gateway/http1/session.h", False),
        ("gateway/chain/run.c", "gateway/audit/record.h", True),
        ("gateway/audit/record.c", "gateway/chain/txn.h", False),
        ("gateway/upstream/pool.c", "gateway/store/shared.h", False),
        ("auth/basic.c", "gateway/upstream/exchange.h", True),
        ("auth/basic.c", "ratelimit/gcra.h", False),
        ("rules/seclang/lex.c", "rules/values.h", True),
        ("rules/seclang/lex.c", "auth/basic.h", False),
        ("rules/waf.c", "gateway/flow.h", False),
        ("gateway/stages.c", "rules/stage.h", True),
        ("gateway/process/worker.c", "gateway/flow.h", True),
        ("gateway/flow.c", "gateway/process/worker.h", True),
        ("gateway/flow.c", "flow.h", False),
        ("gateway/elsewhere/new.c", "gateway/base/span.h", False),
    ]
    for includer, included, allowed in cases:
        found = list(complaints({includer: f'#include <x.h>\n#include "{included}"\n'}))
        if (not found) != allowed:
            sys.exit(f"layers: self-test: {includer} -> {included}: {found or 'not caught'}")


def main():
    self_test()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    files = {}
    for root in ROOTS:
        for folder, _, names in os.walk(root):
            for name in names:
                if name.endswith((".c", ".h", ".def")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        files[path] = file.read()
    wrong = list(complaints(files))
    print("\n".join(wrong + [f"layers: {len(files)} files, {len(wrong)} includes against the order"]))
    sys.exit(1 if wrong else 0)


main()
