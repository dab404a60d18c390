"""`sallyport import modsecurity`: a ModSecurity set-up as a configuration, and what is lost."""
import os
import tempfile

import pytest

from harness import command

SETTINGS = r"""
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyLimitAction Reject
SecResponseBodyAccess On
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
"""

SETUP = r"""
SecDefaultAction "phase:1,log,auditlog,pass"
SecAction "id:900000,phase:1,pass,nolog,t:none,setvar:tx.paranoia_level=2"
SecAction "id:900110,phase:1,pass,nolog,t:none,setvar:tx.inbound_anomaly_score_threshold=7"
SecAction "id:900990,phase:1,pass,nolog,t:none,setvar:tx.crs_setup_version=340"
"""

CRS = {
    "REQUEST-901-INITIALIZATION.conf": """
SecAction "id:901001,phase:1,pass,nolog,t:none,setvar:tx.anomaly_score=0"
""",
    "REQUEST-942-APPLICATION-ATTACK-SQLI.conf": """
SecRule ARGS "@rx union" "id:942100,phase:2,deny,log,t:none,tag:'attack-sqli'"
SecRule ARGS "@rx select" "id:942200,phase:2,deny,log,t:none,tag:'attack-sqli'"
SecRule REQUEST_COOKIES "@rx select" "id:942300,phase:2,deny,log,t:none"
""",
}

BEFORE = r"""
SecRule REQUEST_FILENAME "@streq /edit" "id:1001,phase:1,pass,nolog,ctl:ruleRemoveTargetById=942100;ARGS:text"
"""

AFTER = r"""
SecRuleRemoveById 942200
SecRuleUpdateTargetById 942300 "!REQUEST_COOKIES:session,!ARGS"
"""

MAIN = """
Include settings.conf
Include crs/crs-setup.conf
Include before.conf
Include crs/rules/*.conf
Include after.conf
"""


@pytest.fixture
def setup():
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)

        def write(**changed):
            files = {"main.conf": MAIN, "settings.conf": SETTINGS, "before.conf": BEFORE, "after.conf": AFTER,
                     "crs/crs-setup.conf": SETUP, **{"crs/rules/" + name: text for name, text in CRS.items()}}
            files.update({name.replace("_", ".") + ".conf": text for name, text in changed.items()})
            for name, text in files.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as file:
                    file.write(text)
            done = command("import", "modsecurity", os.path.join(folder, "main.conf"))
            with open(os.path.join(folder, "sallyport.yaml"), "w") as file:
                file.write(done.stdout)
            return folder, done

        yield write


def check(folder):
    done = command("check", "-c", os.path.join(folder, "sallyport.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rules(folder):
    done = command("rules", "list", "-c", os.path.join(folder, "sallyport.yaml"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_whole(setup):
    folder, done = setup()
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("mode: detect", "body_limit: 13107200", "response: true", "response_limit: 524288",
                 "ruleset: crs", f'path: "{folder}/crs/rules/"', f'setup: ["{folder}/crs/crs-setup.conf"]',
                 "paranoia: 2", "inbound: 7",
                 '{rules: [942100], fields: ["args:text"], paths: ["/edit"], reason:',
                 "{rules: [942200], reason:",
                 '{rules: [942300], fields: ["cookie:session", "args"], reason:'):
        assert part in done.stdout, part
    assert "seclang" not in done.stdout and "skip_unsupported" not in done.stdout
    check(folder)
    assert any("942200" in line and "removed" in line for line in rules(folder).splitlines())


def test_rules_stay_in_their_file(setup):
    """What a file excludes is said once: by the file that is named, or by `exclude`."""
    folder, done = setup(after=AFTER + 'SecRule ARGS "@rx evil" "id:2001,phase:2,deny,log"\n')
    assert done.returncode == 0, done.stderr
    assert f'after: ["{folder}/after.conf"]' in done.stdout
    assert "942200" not in done.stdout and "942100" in done.stdout
    check(folder)
    assert "2001" in rules(folder)


def losses(folder, done):
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert lines.pop().startswith(f"{len(lines)} not carried over")
    return [line.removeprefix(folder + "/") for line in lines]


def test_losses(setup):
    folder, done = setup(settings="""SecRuleEngine On
SecRequestBodyLimit 10
SecRequestBodyNoFilesLimit 131072
SecResponseBodyLimitAction Reject
SecAuditLog /var/log/x
SecArgumentSeparator ";"
""")
    found = losses(folder, done)
    assert [line.split(" ")[0] for line in found] == [
        f"settings.conf:{n}:" for n in (2, 3, 4, 6)] + [found[4].split(" ")[0]]
    assert found[4].endswith("see `audit`") and "settings.conf:5:" in found[4]
    assert "mode: block" in done.stdout and "body_limit: 1024" in done.stdout
    check(folder)


def test_what_would_weaken_stays_out(setup):
    """Neither exclusions that a block confines, nor those that stand before what they mean."""
    folder, done = setup(after='<LocationMatch "^/a">\nSecRuleRemoveById 942100\n</LocationMatch>\n',
                         before="SecRuleRemoveById 942300\n")
    found = losses(folder, done)
    assert "exclude:" not in done.stdout
    assert any(line.startswith("after.conf:1: LocationMatch") for line in found), found
    assert any("before.conf:1: no rule that stands before this line" in line for line in found), found


def test_other_conditions_stay_seclang(setup):
    """A prefix that ends inside of a segment, a changed value, an answer: `exclude` says none of them."""
    for rule in ('"@beginsWith /ed" "id:1001,phase:1,pass,nolog,ctl:ruleRemoveById=942100"',
                 '"@streq /edit" "id:1001,phase:1,pass,nolog,t:lowercase,ctl:ruleRemoveById=942100"',
                 '"!@streq /edit" "id:1001,phase:1,pass,nolog,ctl:ruleRemoveById=942100"',
                 '"@streq /edit" "id:1001,phase:1,deny,log,ctl:ruleRemoveById=942100"',
                 '"@streq /edit" "id:1001,phase:1,pass,nolog,ctl:ruleRemoveById=942100,setvar:tx.x=1"',
                 '"@streq /edit" "id:1001,phase:1,pass,nolog,ctl:ruleEngine=Off"'):
        folder, done = setup(before=f"SecRule REQUEST_FILENAME {rule}\n")
        assert done.returncode == 0, done.stderr
        assert f'before: ["{folder}/before.conf"]' in done.stdout and "942100" not in done.stdout, rule
        check(folder)


def test_folder_is_wider_and_told(setup):
    folder, done = setup(
        before='SecRule REQUEST_FILENAME "@beginsWith /ed/" "id:1001,phase:1,pass,nolog,ctl:ruleRemoveById=942100"\n')
    assert 'paths: ["/ed/**"]' in done.stdout
    assert losses(folder, done)[0].startswith("before.conf:1: SecRule /ed/**: ")
    check(folder)


def test_conditional_value_stays_with_the_setup(setup):
    folder, done = setup(before='SecRule REMOTE_ADDR "@ipMatch 192.0.2.1" '
                                '"id:1001,phase:1,pass,nolog,setvar:tx.paranoia_level=4"\n')
    assert done.returncode == 0, done.stderr
    assert "paranoia:" not in done.stdout and "before:" in done.stdout
    check(folder)


def test_rest_of_a_file_that_includes_others(setup):
    folder, done = setup(main=MAIN + 'SecRule ARGS "@rx evil" "id:2001,phase:2,deny,log"\nSecRuleRemoveById 942300\n')
    found = losses(folder, done)
    assert len(found) == 1 and found[0].startswith("main.conf:7: SecRule ARGS: stands in a file that includes others")
    assert "{rules: [942300], reason:" in done.stdout
    check(folder)


def test_folder_with_odd_name(setup):
    """What stands in a path cannot end the text that it is written into."""
    folder, _ = setup()
    odd = os.path.join(folder, 'a"b\\c$(x)\nd')
    os.mkdir(odd)
    with open(os.path.join(odd, "rules.conf"), "w") as file:
        file.write('SecRule ARGS "@rx evil" "id:2001,phase:2,deny,log"\n')
    done = command("import", "modsecurity", os.path.join(odd, "rules.conf"))
    with open(os.path.join(folder, "sallyport.yaml"), "w") as file:
        file.write(done.stdout)
    assert done.returncode == 3 and "ruleset: none" in done.stdout  # the mode is said nowhere
    check(folder)
    assert "2001" in rules(folder)


def test_what_cannot_be_read(setup):
    folder, done = setup(main="Include nowhere.conf\n")
    assert (done.returncode, done.stdout) == (2, "") and "nowhere.conf" in done.stderr
    folder, done = setup(main="Include main.conf\n")
    assert (done.returncode, done.stdout) == (2, "") and "include one another" in done.stderr
    assert command("import", "nginx", "x").returncode == 2
    assert command("import", "modsecurity").returncode == 2
