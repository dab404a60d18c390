"""What several files share: test certificates, made once with the openssl command."""
import collections
import fcntl
import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402

Pair = collections.namedtuple("Pair", "cert key")


class Authority:
    """A certification authority and what it has signed."""

    def __init__(self, folder, name="ca"):
        self.folder, self.serial = str(folder), 0
        self.ca = self._pair(name)
        self._openssl("req", "-x509", "-key", self.ca.key, "-out", self.ca.cert, "-days", "30", "-subj",
                      f"/CN=Test {name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def _pair(self, name):
        pair = Pair(*(os.path.join(self.folder, f"{name}.{x}") for x in ("crt", "key")))
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pair.key)
        os.chmod(pair.key, 0o644)
        return pair

    def issue(self, name, *hosts, client=False, names=None):
        pair = self._pair(name)
        self.serial += 1
        names = names or ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts) or "DNS:nobody.test"
        extensions = os.path.join(self.folder, name + ".ext")
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={names}\nextendedKeyUsage={'clientAuth' if client else 'serverAuth'}\n")
        request = os.path.join(self.folder, name + ".csr")
        self._openssl("req", "-new", "-key", pair.key, "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca.cert, "-CAkey", self.ca.key, "-set_serial",
                      str(self.serial), "-days", "30", "-extfile", extensions, "-out", pair.cert)
        return pair


    def revocations(self, name, *revoked, until="+10d"):
        """A list of revoked certificates, in force until then (faketime is not needed: openssl takes the end)."""
        folder = os.path.join(self.folder, name + ".d")
        os.makedirs(folder)
        with open(os.path.join(folder, "index"), "w") as index:
            for pair in revoked:
                serial = subprocess.run(["openssl", "x509", "-in", pair.cert, "-noout", "-serial"], check=True,
                                        capture_output=True, text=True).stdout.strip().split("=")[1]
                index.write(f"R\t490101000000Z\t250101000000Z\t{serial}\tunknown\t/CN=x\n")
        config, path = os.path.join(folder, "cnf"), os.path.join(self.folder, name + ".crl")
        with open(config, "w") as file:
            file.write(f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index\ndefault_md=sha256\n")
        ends = ["-crldays", "10"] if until == "+10d" else ["-crl_lastupdate", "200101000000Z", "-crl_nextupdate", until]
        self._openssl("ca", "-gencrl", "-config", config, "-cert", self.ca.cert, "-keyfile", self.ca.key, "-out", path,
                      *ends)
        return path


def pytest_runtest_logreport(report):
    """Who failed, for tests/e2e.sh."""
    if report.failed and "E2E_FAILED" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(os.environ["E2E_FAILED"], "a", encoding="utf-8") as file:
            file.write(report.nodeid + "\n")


@pytest.fixture(scope="session", autouse=True)
def open_folders(tmp_path_factory):
    """The gateway's processes are nobody's, and have to reach what lies in a test's folder."""
    folder, top = str(tmp_path_factory.getbasetemp()), tempfile.gettempdir()
    while folder not in (top, "/"):
        os.chmod(folder, 0o755)
        folder = os.path.dirname(folder)


@pytest.fixture(scope="session", autouse=True)
def compiled_rules():
    """Processes that run side by side compile the Core Rule Set once, before the tests that have little time."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    with open(os.path.join(harness.CACHE, "e2e.lock"), "a") as lock, tempfile.NamedTemporaryFile("w") as file:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file.write('{"version": 1, "sites": [{"host": "*", "upstream": "http://127.0.0.1:1"}]}')
        file.flush()
        done = harness.command("check", "-c", file.name, timeout=600, env=harness.COMPILING)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for path in (folder, folder.parent, folder.parent.parent):
        os.chmod(path, 0o755)
    return Authority(folder)


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki2"), "other")


@pytest.fixture(scope="module")
def origin():
    with harness.Origin() as origin:
        yield origin
