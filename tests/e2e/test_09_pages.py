"""Completion and manual pages come out of the one table of verbs."""
import json
import os
import re
import shutil
import subprocess

import pytest

from harness import BINARY, ROOT, command


def said(*arguments):
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


VERBS = re.findall(r"^  ([a-z]+) +\S", said("help").split("\n\n", 2)[2], re.M)


def complete(*words):
    """What bash offers for the last of the words."""
    script = said("completion", "bash") + f"""
COMP_WORDS=(sallyport {' '.join(repr(word) for word in words)}); COMP_CWORD={len(words)}
_sallyport; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=20, cwd="/usr")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes():
    assert set(VERBS) >= {"run", "explain", "replay", "audit"}
    assert sorted(complete("")) == sorted(VERBS)
    assert complete("rel") == ["reload"]
    assert complete("ban", "") == ["list", "add", "del", "why"]
    assert complete("ban", "d") == ["del"]
    assert {"--config", "-c", "--wait", "--output"} <= set(complete("reload", "-"))
    assert complete("reload", "-o", "") == ["human", "json"]
    assert "bin" in complete("run", "-c", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_verb_and_option_is_there(shell):
    script = said("completion", shell)
    for verb in VERBS:
        assert re.search(rf"\b{verb}\b", script), verb
        for flag in re.findall(r"--([a-z-]+)", said("help", verb)):
            assert flag in script, (verb, flag)
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, timeout=20).returncode == 0


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_manual_pages(verb):
    page = said("manpage", *([verb] if verb else []))
    assert page.startswith(".TH SALLYPORT") and ".SH NAME" in page
    for flag in re.findall(r"--([a-z-]+)", said("help", verb)) if verb else ():
        assert f"\\-\\-{flag}" in page
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, done.stderr
        assert "sallyport" in done.stdout


def test_installed(tmp_path):
    done = subprocess.run([os.path.join(ROOT, "packaging/install-pages"), BINARY, str(tmp_path)], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    pages = sorted(os.listdir(tmp_path / "man/man8"))
    assert pages == sorted(["sallyport.8"] + [f"sallyport-{verb}.8" for verb in VERBS])
    for path in ("bash-completion/completions/sallyport", "zsh/site-functions/_sallyport",
                 "fish/vendor_completions.d/sallyport.fish"):
        assert (tmp_path / path).stat().st_size > 1000


def test_misuse_is_said():
    for arguments in (["completion"], ["completion", "csh"], ["manpage", "nothing"]):
        assert command(*arguments).returncode == 2


def test_every_verb_speaks_json():
    """All that answer with something but a document of another form, or with what they serve."""
    table = json.loads(said("help", "-o", "json"))
    assert [verb["name"] for verb in table] == VERBS
    assert {verb["name"] for verb in table if "output" not in [option["name"] for option in verb["options"]]} == \
        {"run", "completion", "manpage"}
    assert json.loads(said("help", "ban", "-o", "json")) == next(verb for verb in table if verb["name"] == "ban")
