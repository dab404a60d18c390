"""Compiled rules are kept from one start to the next, and compiling stalls nobody."""
import os
import shutil
import tempfile
import time

import pytest

from harness import Load, Sallyport, command, eventually, plain


@pytest.fixture
def cache():
    folder = tempfile.mkdtemp(prefix="sallyport-cache-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def config(origin, ruleset="none", **server):
    """With one rule of its own: a pack takes long to compile."""
    rule = {"name": "own", "match": "<script[^>]*>", "in": ["args"], "do": "block"}
    return plain(origin, server, waf={"mode": "block", "ruleset": ruleset, "rules": [rule]})


def compiled(gateway):
    """What the log says about compiling since the start."""
    return [line for line in gateway.stderr if '"compiling rules"' in line]


def serves_and_blocks(gateway):
    assert gateway.ask().status == 200
    assert gateway.ask(path="/?a=%3Cscript%3Ealert(1)%3C/script%3E").status == 403


def entries(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith(".entry"))


def test_cold_then_warm(origin, cache):
    environment = {"CACHE_DIRECTORY": cache}
    with Sallyport(config(origin), environment) as gateway:
        assert compiled(gateway)
        serves_and_blocks(gateway)
    made = entries(cache)
    assert made
    for name in made:
        assert os.stat(os.path.join(cache, name)).st_mode & 0o7777 == 0o600
    with Sallyport(config(origin), environment) as gateway:
        assert not compiled(gateway)
        serves_and_blocks(gateway)
    assert entries(cache) == made


def test_option(origin, cache):
    folder = os.path.join(cache, "of", "the", "file")
    with Sallyport(config(origin, cache=folder)) as gateway:
        serves_and_blocks(gateway)
    assert entries(folder)
    assert os.stat(folder).st_mode & 0o7777 == 0o700
    for name in entries(folder):
        os.unlink(os.path.join(folder, name))
    with Sallyport(config(origin, cache="off"), {"CACHE_DIRECTORY": folder}) as gateway:
        assert compiled(gateway)
        serves_and_blocks(gateway)
    assert not entries(folder)


def test_folder_that_others_can_write(origin, cache):
    os.chmod(cache, 0o777)
    with Sallyport(config(origin), {"CACHE_DIRECTORY": cache}) as gateway:
        assert any("no cache of compiled rules" in line and "0700" in line for line in gateway.stderr)
        assert compiled(gateway)
        serves_and_blocks(gateway)
    assert not entries(cache)


def test_damaged_files(origin, cache):
    environment = {"CACHE_DIRECTORY": cache}
    with Sallyport(config(origin), environment):
        pass
    for index, name in enumerate(entries(cache)):
        path = os.path.join(cache, name)
        if index % 3 == 0:
            with open(path, "r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))
        elif index % 3 == 1:
            os.truncate(path, 100)
        else:
            os.chmod(path, 0o622)
    with Sallyport(config(origin), environment) as gateway:
        assert any("file of the cache is not used" in line for line in gateway.stderr)
        assert compiled(gateway)
        serves_and_blocks(gateway)
    with Sallyport(config(origin), environment) as gateway:
        assert not compiled(gateway)


def test_check_fills_it(origin, cache):
    environment = {"CACHE_DIRECTORY": cache}
    with Sallyport(config(origin), environment, start=False) as gateway:
        done = command("check", "-c", gateway.config_path, env=gateway.environment, timeout=100)
        assert done.returncode == 0, done.stderr
        gateway.start()
        assert not compiled(gateway)


def test_who_asks_no_rules_compiles_none(origin, cache):
    with Sallyport(config(origin, "core"), {"CACHE_DIRECTORY": cache}, start=False) as gateway:
        for words in ("users list", "keys list", "sessions list", "top --count 1", "status", "limits list"):
            command(*words.split(), "-c", gateway.config_path, env=gateway.environment, timeout=60)
            assert not entries(cache), words


def test_cold_reload_stalls_nobody(origin, cache):
    """The old generation answers while the new one compiles."""
    with Sallyport(plain(origin), {"CACHE_DIRECTORY": cache}) as gateway, Load(gateway, threads=2, pause=0.005) as load:
        eventually(lambda: load.done, what="first answer")
        before, began = load.done, time.monotonic()
        done = gateway.reload(config(origin, "core"), timeout=400)
        took = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert load.done - before > 20, "nobody was served during the reload"
        assert not load.failures
        # Compiling takes seconds, on a busy machine minutes; who waited for it would wait for all of it.
        assert max(b - a for a, b in zip(load.times, load.times[1:])) < max(2, took / 2)
        assert compiled(gateway)
        serves_and_blocks(gateway)
