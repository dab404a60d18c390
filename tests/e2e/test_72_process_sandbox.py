"""What a role gave up is gone: seen from outside in /proc, and from inside by trying."""
import os

import pytest

from harness import Sallyport, eventually, has_faults, plain

SERVING = ["worker", "recorder", "steward"]
ACTS = {"open": SERVING[:1], "create": SERVING, "exec": SERVING, "fork": SERVING, "family": SERVING, "raw": SERVING,
        "bind": SERVING, "signal": SERVING, "ptrace": SERVING, "code": SERVING, "root": SERVING}


def proc_status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def is_dead_or_sealed(pid):
    try:
        return proc_status(pid)["Seccomp"] == "2"
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return False


@pytest.mark.parametrize("role", SERVING)
def test_seen_from_outside(role, origin):
    with Sallyport(plain(origin)) as gateway:
        pid = gateway.one(role)
        eventually(lambda: is_dead_or_sealed(pid), what="a filter")
        status = proc_status(pid)
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
        if os.geteuid() == 0:
            assert int(status["CapBnd"], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("role", SERVING)
def test_user_is_switched(role, origin):
    with Sallyport(plain(origin, server={"user": "nobody"})) as gateway:
        pid = gateway.one(role)
        eventually(lambda: is_dead_or_sealed(pid), what="a filter")
        status = proc_status(pid)
        assert set(status["Uid"].split()) == {"65534"}
        assert "0" not in status["Gid"].split() and "0" not in status["Groups"].split()
        assert proc_status(gateway.pid)["Uid"].split()[0] == "0"


def test_worker_holds_no_file(origin):
    """Sockets, pipes and anonymous memory only; nothing by which it could speak for its generation."""
    with Sallyport(plain(origin)) as gateway:
        gateway.ask()
        pid = gateway.one("worker")
        targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2]
        assert [t for t in targets if not t.startswith(("socket:", "pipe:", "anon_inode:", "/memfd:"))] == []


@pytest.mark.skipif(not has_faults(), reason="this build takes no probes")
@pytest.mark.parametrize("role,act", [(role, act) for act, roles in ACTS.items() for role in roles])
def test_act_is_stopped(role, act, origin):
    def ended():
        for line in gateway.stderr:
            if "probe ended" in line:
                assert '"outcome":"stopped"' in line, line
                return True
        # Killed by the filter: the parent tells the signal, SIGSYS.
        return any("probe begins" in line for line in gateway.stderr) and \
            any('"signal":31' in line for line in gateway.stderr)

    with Sallyport(plain(origin), env={"SALLYPORT_PROBE": f"{role}:{act}"}) as gateway:
        eventually(ended, 10, f"{role} to be stopped at {act}")
