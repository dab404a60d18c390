"""The Core Rule Set that is tested: its files, and what its tests are written for."""
import os
import re

SETUPS = ["../crs-setup.conf", "../crs-setup.conf.example", "/etc/modsecurity/crs/crs-setup.conf"]

# What the tests of each generation are written for, on top of the set-up file.
LIMITS = {"crs_validate_utf8_encoding": 1, "arg_name_length": 100, "arg_length": 400,
          "max_num_args": 255, "combined_file_sizes": 65535}
GENERATIONS = {
    3: {"limits": {"total_arg_length": 64000}, "actions": ["ctl:ruleRemoveById=910000"]},
    4: {"limits": {"total_arg_length": 6400, "max_file_size": 64100}, "actions": []},
}
PARANOIA = ["paranoia_level", "executing_paranoia_level", "blocking_paranoia_level",
            "detection_paranoia_level"]


class RuleSet:
    """Where the rules are, and of which generation."""

    def __init__(self, folder, setup):
        rules = os.path.join(folder, "rules")
        self.rules = os.path.abspath(rules if os.path.isdir(rules) else folder)
        self.setup = [os.path.abspath(path) for path in setup or self.find_setup()]
        text = self.read("REQUEST-901-INITIALIZATION.conf")
        version = re.search(r"OWASP_CRS/(\d)", text)
        self.generation = int(version.group(1)) if version else 4

    def read(self, name):
        with open(os.path.join(self.rules, name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def find_setup(self):
        for place in SETUPS:
            path = os.path.join(self.rules, place)
            if os.path.exists(path):
                return [path]
        raise SystemExit("no crs-setup.conf beside the rules: --setup FILE")

    def before(self, paranoia=4):
        """The directive that sets what the tests rely upon."""
        generation = GENERATIONS.get(self.generation, GENERATIONS[4])
        actions = ["id:900005", "phase:1", "nolog", "pass", "t:none"] + generation["actions"]
        actions += [f"setvar:tx.{name}={paranoia}" for name in PARANOIA]
        limits = {**LIMITS, **generation["limits"]}
        actions += [f"setvar:tx.{name}={value}" for name, value in limits.items()]
        return f'SecAction "{",".join(actions)}"\n'

    def write_before(self, folder, paranoia=4):
        path = os.path.join(folder, "before.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.before(paranoia))
        return path

    def loaded(self, folder, paranoia=4):
        """All files in the order in which they are loaded, for the drivers."""
        names = sorted(name for name in os.listdir(self.rules) if name.endswith(".conf"))
        return [*self.setup, self.write_before(folder, paranoia),
                *(os.path.join(self.rules, name) for name in names)]
