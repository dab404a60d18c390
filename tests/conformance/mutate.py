"""Rule sets that are like one that is there, and not it: for comparisons of two engines.

What rules mean changes, and stays valid: ids are renumbered, targets shuffled, letters of patterns
altered; actions that change the run (ctl, skipAfter, setvar, capture, multiMatch, transformations)
come by chance; some rules are copied, some negated, some gone.
"""
import os
import random
import re
import shutil

ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)', re.DOTALL)
ID = re.compile(r"\bid:'?(\d+)'?")
ID_LISTS = re.compile(r"((?:ruleRemove(?:Target)?ById=|SecRule(?:UpdateTarget|Remove)ById )\"?)([\d-]+)")
WORD = re.compile(r"(?<![\\?<:\w])[a-z]{4,}(?![\w>:])")
TAGS = ["attack-sqli", "attack-xss", "attack-protocol", "paranoia-level/2", "OWASP_CRS", "attack-rce"]
VARIABLES = ["ARGS", "ARGS:id", "ARGS:x", "ARGS_NAMES", "REQUEST_COOKIES", "REQUEST_COOKIES:sid",
             "REQUEST_HEADERS:User-Agent", "REQUEST_HEADERS", "REQUEST_BODY", "REQUEST_FILENAME", "XML",
             "ARGS:/^[an]/", "ARGS:a[b]", "ARGS_NAMES:/x$/", "REQUEST_COOKIES:/s/", "TX:/^seen_/"]
SETVARS = ["setvar:'tx.mutant_%{rule.id}=+1'", "setvar:'tx.mutant_a=%{MATCHED_VAR}'",
           "setvar:'tx.mutant_%{MATCHED_VAR_NAME}=%{tx.0}'", "setvar:'!tx.mutant_a'",
           "setvar:tx.Mutant_b", "setvar:'tx.mutant_c=+%{tx.critical_anomaly_score}'",
           "setvar:'tx.mutant_c=-3'", "setvar:'tx.mutant_d=%{TX.mutant_a}%{UNIQUE_ID}'"]
TRANSFORMS = ["lowercase", "urlDecodeUni", "removeWhitespace", "compressWhitespace", "htmlEntityDecode",
              "removeNulls", "cmdLine", "base64Decode", "length", "normalizePath", "jsDecode", "none",
              "replaceComments", "hexEncode", "sha1", "utf8toUnicode", "cssDecode"]


class Directive:
    """A logical line: its name and its arguments, or other text kept as it is."""

    def __init__(self, text):
        self.text = text
        self.arguments = None
        stripped = text.lstrip()
        if re.match(r"(SecRule|SecAction|SecMarker)\s", stripped):
            joined = re.sub(r"\\\r?\n\s*", " ", stripped)
            found = [quoted if bare == "" else bare for quoted, bare in ARGUMENT.findall(joined)]
            self.arguments = found[1:]
            self.name = found[0]

    def is_rule(self):
        return self.arguments is not None and self.name == "SecRule" and len(self.arguments) >= 2

    def actions(self):
        return self.arguments[2] if len(self.arguments) > 2 else ""

    def identifier(self):
        found = ID.search(self.actions()) if self.is_rule() else None
        return int(found.group(1)) if found else None

    def write(self):
        if self.arguments is None:
            return self.text
        return self.name + " " + " ".join(f'"{argument}"' for argument in self.arguments) + "\n"


def directives_of(text):
    lines, pending = [], ""
    for line in text.splitlines(keepends=True):
        pending += line
        comment = pending.lstrip().startswith("#")
        if not line.rstrip("\r\n").endswith("\\") or comment:
            lines.append(Directive(pending))
            pending = ""
    if pending:
        lines.append(Directive(pending))
    return lines


class Mutator:
    def __init__(self, seed, strength=6):
        self.random, self.strength = random.Random(seed), strength
        self.shift = self.random.randrange(1, 9) * 10_000_000
        self.ids, self.markers, self.passed = [], [], 0

    def chance(self, percent):
        return self.random.random() * 100 < percent * self.strength / 6

    def learn(self, directives):
        self.ids += [found for found in (item.identifier() for item in directives) if found]
        self.markers += [item.arguments[0] for item in directives
                         if item.arguments and item.name == "SecMarker"]

    def renumbered(self, text):
        text = ID.sub(lambda found: f"id:{int(found.group(1)) + self.shift}", text)

        def move(found):
            ends = [str(int(end) + self.shift) for end in found.group(2).split("-")]
            return found.group(1) + "-".join(ends)
        return ID_LISTS.sub(move, text)

    def altered(self, operator):
        """The operator; of patterns a letter of some of their words is changed."""
        if operator.lstrip("!").startswith("@") and not operator.lstrip("!").startswith("@rx"):
            return operator

        def change(found):
            word = found.group()
            if not self.chance(25):
                return word
            at = self.random.randrange(len(word))
            return word[:at] + self.random.choice("aeiourstn") + word[at + 1:]
        return WORD.sub(change, operator)

    def some_id(self):
        first = self.random.choice(self.ids) + self.shift
        return f"{first}-{first + self.random.randrange(60)}" if self.chance(30) else str(first)

    def control(self):
        tag, variable = self.random.choice(TAGS), self.random.choice(VARIABLES)
        return self.random.choice([
            f"ctl:ruleRemoveById={self.some_id()}",
            f"ctl:ruleRemoveTargetById={self.some_id()};{variable}",
            f"ctl:ruleRemoveTargetByTag={tag};{variable}",
            f"ctl:ruleRemoveByTag={tag}",
            "ctl:forceRequestBodyVariable=On",
            "ctl:ruleEngine=DetectionOnly",
        ])

    def mutate_actions(self, rule, head):
        added = []
        if self.chance(4):
            added.append(self.random.choice(SETVARS))
        if self.chance(3):
            added.append("t:" + self.random.choice(TRANSFORMS))
        if self.chance(2):
            added.append("capture")
        if self.chance(1):
            added.append("multiMatch")
        if self.chance(1.5):
            added.append(self.control())
        ahead = self.markers[self.passed:]
        if head and ahead and self.chance(1) and "skipAfter" not in rule.actions():
            added.append("skipAfter:" + self.random.choice(ahead[:20]))
        if len(rule.arguments) < 3:
            rule.arguments.append("")
        kept = rule.arguments[2].strip()
        rule.arguments[2] = ",".join(([kept] if kept else []) + added)
        if rule.arguments[2] == "":
            del rule.arguments[2]

    def mutate(self, rule):
        if self.chance(30):
            targets = rule.arguments[0].split("|")
            if "/" not in rule.arguments[0]:
                self.random.shuffle(targets)
            rule.arguments[0] = "|".join(targets)
        rule.arguments[1] = operator = self.altered(rule.arguments[1])
        if self.chance(0.5):
            rule.arguments[1] = operator[1:] if operator.startswith("!") else "!" + operator
        self.mutate_actions(rule, rule.identifier() is not None)

    def copies(self, rule):
        """The rule once more under another id, with other letters."""
        if rule.identifier() is None or "chain" in rule.actions() or not self.chance(5):
            return []
        copy = Directive(rule.write())
        copy.arguments[2] = ID.sub(lambda found: f"id:{int(found.group(1)) + 500_000_000}",
                                   copy.arguments[2])
        copy.arguments[1] = self.altered(copy.arguments[1])
        return [copy]

    def file(self, directives):
        out, chained = [], False
        for item in directives:
            if not item.is_rule():
                self.passed += item.arguments is not None and item.name == "SecMarker"
                out.append(self.renumbered(item.write()))
                continue
            link, chained = chained, bool(re.search(r"(^|[,\s])chain([,\s]|$)", item.actions()))
            if not link and not chained and self.chance(0.5):
                continue
            self.mutate(item)
            made = [item] + (self.copies(item) if not link else [])
            out += [self.renumbered(rule.write()) for rule in made]
        return "".join(out)


def mutate_files(paths, folder, seed, strength=6):
    """Writes mutants of the files into `folder`, lists of words beside them; returns their paths."""
    mutator = Mutator(seed, strength)
    parsed = []
    for path in paths:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            parsed.append(directives_of(file.read()))
        mutator.learn(parsed[-1])
    written = []
    for number, (path, directives) in enumerate(zip(paths, parsed)):
        target = os.path.join(folder, f"{number:03}-{os.path.basename(path)}")
        with open(target, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(mutator.file(directives))
        written.append(target)
        beside = os.path.dirname(path) or "."
        for name in os.listdir(beside):
            link = os.path.join(folder, name)
            if name.endswith(".data") and not os.path.exists(link):
                shutil.copy(os.path.join(beside, name), link)
    return written
